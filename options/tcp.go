package options

import (
	"encoding/binary"
	"fmt"
)

// TCP option kinds that this package decodes.
const (
	KindEOL           = 0
	KindNOP           = 1
	KindMSS           = 2
	KindWindowScale   = 3
	KindSACKPermitted = 4
	KindSACK          = 5
	KindTimestamps    = 8
)

type (
	// EOL ends the option list (RFC 9293 section 3.2).
	EOL struct{}
	// NOP is padding between options (RFC 9293 section 3.2).
	NOP struct{}
	// MSS is the largest segment, in bytes, that the sender takes (RFC 9293 section 3.7.1).
	MSS struct{ Size uint16 }
	// WindowScale is the left shift of the sender's window fields (RFC 7323 section 2.2). Above 14 it
	// counts as 14, which is for the receiver to see to.
	WindowScale struct{ Shift uint8 }
	// SACKPermitted allows SACK toward its sender (RFC 2018 section 2).
	SACKPermitted struct{}
	// SACK lists what arrived out of order (RFC 2018 section 3).
	SACK struct {
		N      uint8 // blocks in use, 1 to 4
		Blocks [4]SACKBlock
	}
	// SACKBlock is a run of received bytes, by sequence number; Right is the first one after it.
	SACKBlock struct{ Left, Right uint32 }
	// Timestamps are the sender's clock and the echo of the receiver's (RFC 7323 section 3.2).
	Timestamps struct{ Value, Echo uint32 }
)

func decodeTCP(r Raw) (Option, error) {
	if n := Size(r); n <= 0 || n != len(r) {
		return nil, r.bad(1, "a length byte that is not the option's length", len(r))
	}
	switch r[0] {
	case KindEOL:
		return EOL{}, nil
	case KindNOP:
		return NOP{}, nil
	case KindMSS:
		return box(ParseMSS(r))
	case KindWindowScale:
		return box(ParseWindowScale(r))
	case KindSACKPermitted:
		if len(r) != 2 {
			return nil, r.badLen()
		}
		return SACKPermitted{}, nil
	case KindSACK:
		return box(ParseSACK(r))
	case KindTimestamps:
		return box(ParseTimestamps(r))
	}
	return box(ParseUnknown(r))
}

// is checks that r is a whole option of this kind and length.
func (r Raw) is(kind uint8, n int) error {
	if r.Kind() != kind || len(r) < 2 {
		return r.bad(0, "another kind than was asked for", int(r.Kind()))
	}
	if len(r) != n || int(r[1]) != n {
		return r.badLen()
	}
	return nil
}

// ParseMSS decodes the maximum segment size option.
func ParseMSS(r Raw) (MSS, error) {
	if err := r.is(KindMSS, 4); err != nil {
		return MSS{}, err
	}
	return MSS{Size: binary.BigEndian.Uint16(r[2:])}, nil
}

// ParseWindowScale decodes the window scale option.
func ParseWindowScale(r Raw) (WindowScale, error) {
	if err := r.is(KindWindowScale, 3); err != nil {
		return WindowScale{}, err
	}
	return WindowScale{Shift: r[2]}, nil
}

// ParseSACK decodes a SACK option of 1 to 4 blocks.
func ParseSACK(r Raw) (SACK, error) {
	n := (len(r) - 2) / 8
	if n < 1 || n > 4 {
		return SACK{}, r.badLen()
	}
	if err := r.is(KindSACK, 2+8*n); err != nil {
		return SACK{}, err
	}
	s := SACK{N: uint8(n)}
	for i := range n {
		at := r[2+8*i:]
		s.Blocks[i] = SACKBlock{Left: binary.BigEndian.Uint32(at), Right: binary.BigEndian.Uint32(at[4:])}
	}
	return s, nil
}

// ParseTimestamps decodes the timestamps option.
func ParseTimestamps(r Raw) (Timestamps, error) {
	if err := r.is(KindTimestamps, 10); err != nil {
		return Timestamps{}, err
	}
	return Timestamps{Value: binary.BigEndian.Uint32(r[2:]), Echo: binary.BigEndian.Uint32(r[6:])}, nil
}

func (EOL) Len() int           { return 1 }
func (NOP) Len() int           { return 1 }
func (MSS) Len() int           { return 4 }
func (WindowScale) Len() int   { return 3 }
func (SACKPermitted) Len() int { return 2 }
func (s SACK) Len() int        { return 2 + 8*len(s.used()) }
func (Timestamps) Len() int    { return 10 }

func (s *SACK) used() []SACKBlock { return s.Blocks[:min(int(s.N), len(s.Blocks))] }

func (EOL) Append(dst []byte) []byte { return append(dst, KindEOL) }

func (NOP) Append(dst []byte) []byte { return append(dst, KindNOP) }

func (m MSS) Append(dst []byte) []byte {
	return binary.BigEndian.AppendUint16(append(dst, KindMSS, 4), m.Size)
}

func (w WindowScale) Append(dst []byte) []byte { return append(dst, KindWindowScale, 3, w.Shift) }

func (SACKPermitted) Append(dst []byte) []byte { return append(dst, KindSACKPermitted, 2) }

func (s SACK) Append(dst []byte) []byte {
	dst = append(dst, KindSACK, uint8(s.Len()))
	for _, b := range s.used() {
		dst = binary.BigEndian.AppendUint32(dst, b.Left)
		dst = binary.BigEndian.AppendUint32(dst, b.Right)
	}
	return dst
}

func (t Timestamps) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(append(dst, KindTimestamps, 10), t.Value)
	return binary.BigEndian.AppendUint32(dst, t.Echo)
}

func (EOL) String() string           { return "EOL" }
func (NOP) String() string           { return "NOP" }
func (m MSS) String() string         { return fmt.Sprintf("MSS %d", m.Size) }
func (w WindowScale) String() string { return fmt.Sprintf("WSCALE %d", w.Shift) }
func (SACKPermitted) String() string { return "SACK_PERMITTED" }

func (s SACK) String() string {
	out := "SACK"
	for _, b := range s.used() {
		out += fmt.Sprintf(" %d-%d", b.Left, b.Right)
	}
	return out
}

func (t Timestamps) String() string { return fmt.Sprintf("TS val=%d ecr=%d", t.Value, t.Echo) }
