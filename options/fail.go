package options

import (
	"encoding/binary"
	"fmt"
)

// MPFail is MP_FAIL (section 3.7).
type MPFail struct {
	DSN uint64 // of the first byte of the mapping that failed
}

// ParseMPFail decodes MP_FAIL.
func ParseMPFail(r Raw) (MPFail, error) {
	if err := r.expect(SubMPFail, 12, 12); err != nil {
		return MPFail{}, err
	}
	return MPFail{DSN: binary.BigEndian.Uint64(r[4:])}, nil
}

// Len is 12.
func (f MPFail) Len() int { return 12 }

// Append appends the encoding to dst.
func (f MPFail) Append(dst []byte) []byte {
	dst = append(dst, Kind, 12, uint8(SubMPFail)<<4, 0)
	return binary.BigEndian.AppendUint64(dst, f.DSN)
}

func (f MPFail) String() string { return fmt.Sprintf("MP_FAIL dsn=0x%016x", f.DSN) }
