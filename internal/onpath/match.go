package onpath

import (
	"github.com/mptcp-go/mptcp/options"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Match tells packets apart.
type Match func(p []byte, d Dir) bool

// And is true when all are.
func And(all ...Match) Match {
	return func(p []byte, d Dir) bool {
		for _, m := range all {
			if !m(p, d) {
				return false
			}
		}
		return true
	}
}

// Not is true when m is not.
func Not(m Match) Match { return func(p []byte, d Dir) bool { return !m(p, d) } }

// Going is true in one direction.
func Going(want Dir) Match { return func(_ []byte, d Dir) bool { return d == want } }

// Flagged matches TCP segments that have all of these flags, and none of without.
func Flagged(with, without packet.Flags) Match {
	return func(p []byte, _ Dir) bool {
		v, ok := locate(p)
		return ok && v.has(with) && v.tcp.Flags()&without == 0
	}
}

// Segments by what they are for.
var (
	IsSYN           = Flagged(packet.SYN, packet.ACK)
	IsSYNACK        = Flagged(packet.SYN|packet.ACK, 0)
	HasSYN          = Flagged(packet.SYN, 0)
	NoSYN           = Flagged(0, packet.SYN)
	IsData    Match = func(p []byte, _ Dir) bool { v, ok := locate(p); return ok && len(v.tcp.Payload()) > 0 }
	IsPureAck Match = func(p []byte, _ Dir) bool {
		v, ok := locate(p)
		return ok && v.tcp.Flags()&^packet.ECE == packet.ACK && len(v.tcp.Payload()) == 0
	}
)

// Option tells TCP options apart.
type Option func(options.Raw) bool

// OfKind matches one kind of option.
func OfKind(kind uint8) Option { return func(r options.Raw) bool { return r.Kind() == kind } }

// MPTCP matches every MPTCP option.
var MPTCP = OfKind(options.Kind)

// OfSubtype matches MPTCP options of one subtype.
func OfSubtype(want options.Subtype) Option {
	return func(r options.Raw) bool { s, ok := r.Subtype(); return ok && s == want }
}

// Carries matches segments that have such an option.
func Carries(o Option) Match {
	return func(p []byte, _ Dir) bool {
		v, ok := locate(p)
		found := false
		if ok {
			eachOption(v.tcp.Options(), func(r options.Raw) bool { found = found || o(r); return !found })
		}
		return found
	}
}

// eachOption walks over the well-formed options until f returns false. The views are into b.
func eachOption(b []byte, f func(options.Raw) bool) {
	for len(b) > 0 {
		r, rest, err := options.Next(b)
		if err != nil || !f(r) {
			return
		}
		b = rest
	}
}
