package options

import "fmt"

// TCPRst is MP_TCPRST (section 3.6).
type TCPRst struct {
	U, V, W   bool // "An implementation of this specification MUST set these flags to 0, and a receiver MUST ignore them."
	Transient bool // T: the path may be tried again
	Reason    uint8
}

// ParseTCPRst decodes MP_TCPRST.
func ParseTCPRst(r Raw) (TCPRst, error) {
	if err := r.expect(SubTCPRst, 4, 4); err != nil {
		return TCPRst{}, err
	}
	return TCPRst{U: r[2]&8 != 0, V: r[2]&4 != 0, W: r[2]&2 != 0, Transient: r[2]&1 != 0, Reason: r[3]}, nil
}

// Len is 4.
func (t TCPRst) Len() int { return 4 }

// Append appends the encoding to dst.
func (t TCPRst) Append(dst []byte) []byte {
	first := uint8(SubTCPRst) << 4
	for i, set := range [...]bool{t.Transient, t.W, t.V, t.U} {
		if set {
			first |= 1 << i
		}
	}
	return append(dst, Kind, 4, first, t.Reason)
}

func (t TCPRst) String() string {
	return fmt.Sprintf("MP_TCPRST reason=%d transient=%t", t.Reason, t.Transient)
}
