package options

import "fmt"

// Unknown is any other option, kept raw: kind, length and body.
type Unknown struct {
	Raw [MaxLen]byte
	N   uint8
}

// ParseUnknown keeps any well-formed option as it is.
func ParseUnknown(r Raw) (Unknown, error) {
	if n := Size(r); n <= 0 || n != len(r) {
		return Unknown{}, r.bad(1, "a length byte that is not the option's length", len(r))
	}
	var u Unknown
	u.N = uint8(copy(u.Raw[:], r))
	return u, nil
}

// Len is 1 to 40.
func (u Unknown) Len() int { return min(int(u.N), len(u.Raw)) }

// Append appends the encoding to dst.
func (u Unknown) Append(dst []byte) []byte { return append(dst, u.Raw[:u.Len()]...) }

func (u Unknown) String() string {
	if s, ok := Raw(u.Raw[:u.Len()]).Subtype(); ok {
		return fmt.Sprintf("%s len=%d", s, u.N)
	}
	return fmt.Sprintf("kind %d len=%d", u.Raw[0], u.N)
}
