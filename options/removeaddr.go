package options

import "fmt"

// RemoveAddr is REMOVE_ADDR (section 3.4.2): 1 to 37 address ids.
type RemoveAddr struct {
	N   uint8
	IDs [37]uint8
}

// ParseRemoveAddr decodes REMOVE_ADDR.
func ParseRemoveAddr(r Raw) (RemoveAddr, error) {
	if err := r.expect(SubRemoveAddr, 4, MaxLen); err != nil {
		return RemoveAddr{}, err
	}
	var a RemoveAddr
	a.N = uint8(copy(a.IDs[:], r[3:]))
	return a, nil
}

// List is the ids, a view into a.
func (a *RemoveAddr) List() []uint8 { return a.IDs[:a.count()] }

func (a *RemoveAddr) count() int { return min(int(a.N), len(a.IDs)) }

// Len is 3 and the number of ids.
func (a RemoveAddr) Len() int { return 3 + a.count() }

// Append appends the encoding to dst.
func (a RemoveAddr) Append(dst []byte) []byte {
	dst = append(dst, Kind, uint8(a.Len()), uint8(SubRemoveAddr)<<4)
	return append(dst, a.List()...)
}

func (a RemoveAddr) String() string { return fmt.Sprintf("REMOVE_ADDR ids=%d", a.List()) }
