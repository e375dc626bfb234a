package options

import "encoding/binary"

// Fastclose is MP_FASTCLOSE (section 3.5).
type Fastclose struct {
	ReceiverKey uint64 // of the host that this option is sent to
}

// ParseFastclose decodes MP_FASTCLOSE.
func ParseFastclose(r Raw) (Fastclose, error) {
	if err := r.expect(SubFastclose, 12, 12); err != nil {
		return Fastclose{}, err
	}
	return Fastclose{ReceiverKey: binary.BigEndian.Uint64(r[4:])}, nil
}

// Len is 12.
func (f Fastclose) Len() int { return 12 }

// Append appends the encoding to dst.
func (f Fastclose) Append(dst []byte) []byte {
	dst = append(dst, Kind, 12, uint8(SubFastclose)<<4, 0)
	return binary.BigEndian.AppendUint64(dst, f.ReceiverKey)
}

// String leaves the key out.
func (f Fastclose) String() string { return "MP_FASTCLOSE" }
