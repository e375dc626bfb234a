package options

import "fmt"

// Raw is one encoded option, kind byte first: a view into the bytes it was read from.
type Raw []byte

// Kind is the TCP option kind; an empty Raw has kind 0 (EOL).
func (r Raw) Kind() uint8 {
	if len(r) == 0 {
		return KindEOL
	}
	return r[0]
}

// Subtype is the MPTCP subtype. ok is false when r is no MPTCP option, or too short to have one.
func (r Raw) Subtype() (s Subtype, ok bool) {
	if len(r) < 3 || r[0] != Kind {
		return 0, false
	}
	return Subtype(r[2] >> 4), true
}

// Bytes is the whole encoding, kind byte first.
func (r Raw) Bytes() []byte { return r }

// Size is the length in bytes of the option that b begins with, without regard to whether b holds all
// of it. 0: b is too short to tell. Negative: no option begins like this (its length byte is below 2
// or above MaxLen).
func Size(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	if b[0] == KindEOL || b[0] == KindNOP {
		return 1
	}
	if len(b) < 2 {
		return 0
	}
	if b[1] < 2 || b[1] > MaxLen {
		return -1
	}
	return int(b[1])
}

// Next takes the first option off b: the header's option area, or options back to back in a stream.
//
// EOL and NOP are options of one byte. What follows an EOL is padding and is dropped, so that rest is
// empty. An empty b gives a nil Raw. On an error, which is a *ParseError, rest is nil: where one
// length is wrong, nothing after it can be found.
func Next(b []byte) (r Raw, rest []byte, err error) {
	n := Size(b)
	switch {
	case len(b) == 0:
		return nil, nil, nil
	case n < 0:
		return nil, nil, &ParseError{Kind: b[0], Offset: 1, Problem: "a length byte outside 2 to 40", Got: int(b[1])}
	case n == 0:
		return nil, nil, &ParseError{Kind: b[0], Offset: 1, Problem: "no length byte", Got: len(b), Truncated: true}
	case n > len(b):
		return nil, nil, &ParseError{Kind: b[0], Offset: 1, Problem: "a length beyond the bytes there are", Got: n, Truncated: true}
	case b[0] == KindEOL:
		return Raw(b[:1:1]), nil, nil
	}
	return Raw(b[:n:n]), b[n:], nil
}

// ParseError says why bytes are not a well-formed option.
type ParseError struct {
	Kind      uint8   // of the option at fault
	Subtype   Subtype // with HasSub
	HasSub    bool
	Offset    int    // of the byte at fault, from the beginning of the option
	Problem   string // what is wrong
	Got       int    // the value found there
	Truncated bool   // the option may go on where the bytes end
}

func (e *ParseError) Error() string {
	name := fmt.Sprintf("kind %d", e.Kind)
	if e.HasSub {
		name = e.Subtype.String()
	}
	return fmt.Sprintf("options: %s, byte %d: %s (%d)", name, e.Offset, e.Problem, e.Got)
}

// expect checks that r is a whole MPTCP option of this subtype with a length from lo to hi.
func (r Raw) expect(s Subtype, lo, hi int) error {
	got, ok := r.Subtype()
	switch {
	case !ok:
		return &ParseError{Kind: r.Kind(), Problem: "not an MPTCP option", Got: int(r.Kind())}
	case got != s:
		return &ParseError{Kind: Kind, Subtype: got, HasSub: true, Offset: 2, Problem: "another subtype than was asked for", Got: int(got)}
	case int(r[1]) != len(r):
		return r.bad(1, "a length byte that is not the option's length", int(r[1]))
	case len(r) < lo || len(r) > hi:
		return r.badLen()
	}
	return nil
}

func (r Raw) bad(offset int, problem string, got int) error {
	s, ok := r.Subtype()
	return &ParseError{Kind: r.Kind(), Subtype: s, HasSub: ok, Offset: offset, Problem: problem, Got: got}
}

func (r Raw) badLen() error { return r.bad(1, "a length that this option does not have", len(r)) }
