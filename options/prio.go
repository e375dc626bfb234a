package options

import "fmt"

// MPPrio is MP_PRIO (section 3.3.8): it changes the priority of the subflow that carries it.
type MPPrio struct{ Backup bool }

// ParseMPPrio decodes MP_PRIO. The 4-byte form of RFC 6824, with an address id, is an error.
func ParseMPPrio(r Raw) (MPPrio, error) {
	if err := r.expect(SubMPPrio, 3, 3); err != nil {
		return MPPrio{}, err
	}
	return MPPrio{Backup: r[2]&1 != 0}, nil
}

// Len is 3.
func (p MPPrio) Len() int { return 3 }

// Append appends the encoding to dst.
func (p MPPrio) Append(dst []byte) []byte {
	first := uint8(SubMPPrio) << 4
	if p.Backup {
		first |= 1
	}
	return append(dst, Kind, 3, first)
}

func (p MPPrio) String() string { return fmt.Sprintf("MP_PRIO backup=%t", p.Backup) }
