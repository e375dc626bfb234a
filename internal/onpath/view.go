package onpath

import (
	"encoding/binary"
	"net/netip"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// view is a TCP segment in its packet, to be changed in place. Its checksums follow the changes without
// being computed anew: one that was wrong stays wrong, as on a real path.
type view struct {
	ip     []byte // the IP header
	tcp    packet.TCP
	sumIP  uint16
	sumTCP uint16
}

// locate finds the TCP header. False: no whole TCP segment directly behind an IP header.
func locate(p []byte) (v view, ok bool) {
	n := packet.IPv6HeaderLen
	end := 0
	switch {
	case len(p) < packet.IPv4HeaderLen:
		return view{}, false
	case p[0]>>4 == 4:
		h := packet.IPv4(p)
		n, end = h.HeaderLen(), h.TotalLen()
		if h.Protocol() != packet.ProtoTCP || h.Fragment() || n < packet.IPv4HeaderLen {
			return view{}, false
		}
	case p[0]>>4 == 6 && len(p) >= n:
		h := packet.IPv6(p)
		end = n + h.PayloadLen()
		if h.NextHeader() != packet.ProtoTCP {
			return view{}, false
		}
	default:
		return view{}, false
	}
	if end > len(p) || end < n+packet.TCPHeaderLen {
		return view{}, false
	}
	v = view{ip: p[:n:n], tcp: packet.TCP(p[n:end:end])}
	if h := v.tcp.HeaderLen(); h < packet.TCPHeaderLen || h > len(v.tcp) {
		return view{}, false
	}
	return v, true
}

// begin is called before a change of headers or addresses, end after it.
func (v *view) begin() { v.sumIP, v.sumTCP = v.sums() }

func (v *view) end() {
	ip, tcp := v.sums()
	if v.is4() {
		h := v.ip
		binary.BigEndian.PutUint16(h[10:], packet.Update(packet.IPv4(h).Checksum(), v.sumIP, ip))
	}
	binary.BigEndian.PutUint16(v.tcp[16:], packet.Update(v.tcp.Checksum(), v.sumTCP, tcp))
}

// sums are those of the IP header, and of what the TCP checksum covers: addresses and TCP header.
func (v *view) sums() (ip, tcp uint16) {
	var a, b packet.Sum
	if v.is4() {
		a.Add(v.ip)
		b.Add(v.ip[12:20])
	} else {
		b.Add(v.ip[8:40])
	}
	b.Add(v.tcp[:v.tcp.HeaderLen()])
	return a.Fold(), b.Fold()
}

func (v *view) is4() bool { return v.ip[0]>>4 == 4 }

func (v *view) src() netip.AddrPort { return netip.AddrPortFrom(v.addr(12, 8), v.tcp.SrcPort()) }
func (v *view) dst() netip.AddrPort { return netip.AddrPortFrom(v.addr(16, 24), v.tcp.DstPort()) }

func (v *view) addr(at4, at6 int) netip.Addr {
	if v.is4() {
		return netip.AddrFrom4([4]byte(v.ip[at4:]))
	}
	return netip.AddrFrom16([16]byte(v.ip[at6:]))
}

// setSrc and setDst leave an address of the other family out.
func (v *view) setSrc(a netip.AddrPort) { v.setAddr(a, 12, 8, 0) }
func (v *view) setDst(a netip.AddrPort) { v.setAddr(a, 16, 24, 2) }

func (v *view) setAddr(a netip.AddrPort, at4, at6, port int) {
	switch {
	case a.Addr().Is4() && v.is4():
		b := a.Addr().As4()
		copy(v.ip[at4:], b[:])
	case a.Addr().Is6() && !v.is4():
		b := a.Addr().As16()
		copy(v.ip[at6:], b[:])
	default:
		return
	}
	binary.BigEndian.PutUint16(v.tcp[port:], a.Port())
}

func (v *view) setSeq(n uint32)         { binary.BigEndian.PutUint32(v.tcp[4:], n) }
func (v *view) setAck(n uint32)         { binary.BigEndian.PutUint32(v.tcp[8:], n) }
func (v *view) setFlags(f packet.Flags) { v.tcp[13] = byte(f) }
func (v *view) setWindow(n uint16)      { binary.BigEndian.PutUint16(v.tcp[14:], n) }
func (v *view) setUrgent(n uint16)      { binary.BigEndian.PutUint16(v.tcp[18:], n) }

func (v *view) has(f packet.Flags) bool { return v.tcp.Flags().Has(f) }

// seqLen is how many sequence numbers the segment takes.
func (v *view) seqLen() uint32 {
	n := uint32(len(v.tcp.Payload()))
	if v.has(packet.SYN) {
		n++
	}
	if v.has(packet.FIN) {
		n++
	}
	return n
}

// trafficClass is the TOS or traffic class byte.
func trafficClass(p []byte) (uint8, bool) {
	switch {
	case len(p) >= packet.IPv4HeaderLen && p[0]>>4 == 4:
		return p[1], true
	case len(p) >= packet.IPv6HeaderLen && p[0]>>4 == 6:
		return packet.IPv6(p).TrafficClass(), true
	}
	return 0, false
}

// setTrafficClass changes it in a packet that has one.
func setTrafficClass(p []byte, t uint8) {
	if p[0]>>4 == 6 {
		p[0], p[1] = 6<<4|t>>4, t<<4|p[1]&15
		return
	}
	old := binary.BigEndian.Uint16(p)
	p[1] = t
	binary.BigEndian.PutUint16(p[10:], packet.Update(packet.IPv4(p).Checksum(), old, binary.BigEndian.Uint16(p)))
}

// render is the packet of a segment; nil where it does not fit into one.
func render(s *packet.Segment) []byte {
	p, err := s.Append(make([]byte, 0, s.Len()), packet.FullChecksum)
	if err != nil {
		return nil
	}
	return p
}
