package onpath

import "github.com/mptcp-go/mptcp/internal/wire/packet"

// rewrite changes the TCP header of segments in place; f tells nothing, it changes.
func rewrite(f func(v *view, d Dir)) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		if v, ok := locate(p); ok {
			v.begin()
			f(&v, d)
			v.end()
		}
		emit(p, d)
	})
}

// TrafficClass rewrites the TOS or traffic class byte of matching packets to t&keep|set. Bleaching of ECN
// is (^3, 0), marking everything (0xFF, 3), a changed DSCP (3, dscp<<2).
func TrafficClass(m Match, keep, set uint8) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		if t, ok := trafficClass(p); ok && m(p, d) {
			setTrafficClass(p, t&keep|set)
		}
		emit(p, d)
	})
}

// Any matches everything.
func Any([]byte, Dir) bool { return true }

// BleachECN makes every packet one of a transport without ECN.
func BleachECN() Element { return TrafficClass(Any, ^uint8(packet.ECNMask), 0) }

// MarkECN marks matching packets of ECN-capable transports as having met congestion.
func MarkECN(m Match) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		if m(p, d) {
			mark(p)
		}
		emit(p, d)
	})
}

// Flags takes flags off matching segments and puts others on, without a look at what that means: FIN and URG
// where there were none, SYNs without ECN.
func Flags(m Match, off, on packet.Flags) Element {
	return Where(m, rewrite(func(v *view, _ Dir) { v.setFlags(v.tcp.Flags()&^off | on) }))
}

// Urgent makes the data of matching segments urgent up to its last byte.
func Urgent(m Match) Element {
	return Where(m, rewrite(func(v *view, _ Dir) {
		v.setFlags(v.tcp.Flags() | packet.URG)
		v.setUrgent(uint16(len(v.tcp.Payload())))
	}))
}
