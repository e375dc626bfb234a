package options

import "fmt"

// Private is the private-use subtype 0xF (section 8): this project's carriers use Type to tell messages apart.
type Private struct {
	Flags uint8 // low 4 bits of the first byte
	Type  uint8
	Data  [36]byte
	N     uint8 // bytes of Data in use
}

// ParsePrivate decodes an option of the private-use subtype. Other people's may look different: a
// carrier reads these only where it knows whose they are.
func ParsePrivate(r Raw) (Private, error) {
	if err := r.expect(SubPrivate, 4, MaxLen); err != nil {
		return Private{}, err
	}
	p := Private{Flags: r[2] & 0xF, Type: r[3]}
	p.N = uint8(copy(p.Data[:], r[4:]))
	return p, nil
}

// Payload is the part of Data in use, a view into p.
func (p *Private) Payload() []byte { return p.Data[:min(int(p.N), len(p.Data))] }

// Len is 4 and the number of bytes of Data in use.
func (p Private) Len() int { return 4 + min(int(p.N), len(p.Data)) }

// Append appends the encoding to dst.
func (p Private) Append(dst []byte) []byte {
	dst = append(dst, Kind, uint8(p.Len()), uint8(SubPrivate)<<4|p.Flags&0xF, p.Type)
	return append(dst, p.Payload()...)
}

// String leaves the payload out.
func (p Private) String() string {
	return fmt.Sprintf("PRIVATE type=%d flags=%#x len=%d", p.Type, p.Flags&0xF, p.Len())
}
