package onpath

import (
	"encoding/binary"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// MTU loses packets longer than Bytes. With Tell it answers them as a router does (RFC 1191 section 4,
// RFC 4443 section 3.2), from the destination's address, for it has none itself; without, it is the black hole
// of RFC 2923.
type MTU struct {
	Bytes int
	Tell  bool
}

// Process implements Element.
func (m MTU) Process(_ time.Duration, p []byte, d Dir, emit Emit) {
	if len(p) <= m.Bytes {
		emit(p, d)
		return
	}
	if !m.Tell {
		return
	}
	if q := tooBig(p, m.Bytes); q != nil {
		emit(q, d.Reverse())
	}
}

// tooBig is the ICMP error that answers p.
func tooBig(p []byte, mtu int) []byte {
	const icmpHeader, quoted4, quoted6 = 8, 28, 1232
	switch {
	case len(p) >= packet.IPv4HeaderLen && p[0]>>4 == 4:
		quote := p[:min(len(p), max(quoted4, packet.IPv4(p).HeaderLen()+8))]
		n := packet.IPv4HeaderLen + icmpHeader + len(quote)
		q := make([]byte, packet.IPv4HeaderLen, n)
		q[0], q[8], q[9] = 4<<4|5, packet.DefaultTTL, packet.ProtoICMP
		binary.BigEndian.PutUint16(q[2:], uint16(n))
		copy(q[12:], p[16:20])
		copy(q[16:], p[12:16])
		putSum(q[10:], packet.Sum{}, q)
		q = append(q, 3, 4, 0, 0, 0, 0, byte(mtu>>8), byte(mtu))
		q = append(q, quote...)
		m := q[packet.IPv4HeaderLen:]
		putSum(m[2:], packet.Sum{}, m)
		return q
	case len(p) >= packet.IPv6HeaderLen && p[0]>>4 == 6:
		quote := p[:min(len(p), quoted6)]
		n := icmpHeader + len(quote)
		q := make([]byte, packet.IPv6HeaderLen, packet.IPv6HeaderLen+n)
		q[0], q[6], q[7] = 6<<4, packet.ProtoICMPv6, packet.DefaultTTL
		binary.BigEndian.PutUint16(q[4:], uint16(n))
		copy(q[8:], p[24:40])
		copy(q[24:], p[8:24])
		q = append(q, 2, 0, 0, 0, 0, 0, byte(mtu>>8), byte(mtu))
		q = append(q, quote...)
		m := q[packet.IPv6HeaderLen:]
		putSum(m[2:], packet.Pseudo(packet.IPv6(q).Src(), packet.IPv6(q).Dst(), packet.ProtoICMPv6, n), m)
		return q
	}
	return nil
}

// putSum completes a checksum that is zero as yet.
func putSum(field []byte, s packet.Sum, b []byte) {
	s.Add(b)
	binary.BigEndian.PutUint16(field, s.Checksum())
}
