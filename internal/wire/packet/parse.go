package packet

import (
	"encoding/binary"
	"net/netip"
)

// Parse parses an IP packet of either version that carries a TCP segment. Options and Payload of the result
// are views into b. What lies behind the packet's own length, such as Ethernet's padding, is ignored.
func Parse(b []byte) (Segment, error) {
	if len(b) == 0 {
		return Segment{}, ErrTruncated
	}
	if b[0]>>4 == 6 {
		return Parse6(b)
	}
	return Parse4(b)
}

// Parse4 is Parse for IPv4 alone.
func Parse4(b []byte) (Segment, error) {
	h, payload, err := split4(b)
	if err != nil {
		return Segment{}, err
	}
	return carried4(h, payload, nil)
}

// Parse4Apart is Parse4 for a packet of which payload lies elsewhere: b has the headers, and nothing else.
func Parse4Apart(b, payload []byte) (Segment, error) {
	h, n, err := header4(b)
	switch {
	case err != nil:
		return Segment{}, err
	case h.TotalLen() != len(b)+len(payload):
		return Segment{}, ErrTruncated
	}
	if err := sound4(h, n); err != nil {
		return Segment{}, err
	}
	return carried4(h, b[n:], payload)
}

// carried4 parses the segment in an IPv4 packet.
func carried4(h IPv4, b, payload []byte) (Segment, error) {
	if h.Protocol() != ProtoTCP {
		return Segment{}, ErrProtocol
	}
	s, err := ParseTCPApart(h.Src(), h.Dst(), b, payload)
	s.TTL, s.TOS = h.TTL(), h.TOS()
	return s, err
}

// Parse6 is Parse for IPv6 alone.
func Parse6(b []byte) (Segment, error) {
	h, proto, payload, err := split6(b)
	if err != nil {
		return Segment{}, err
	}
	if proto != ProtoTCP {
		return Segment{}, ErrProtocol
	}
	s, err := ParseTCP(h.Src(), h.Dst(), payload)
	s.TTL, s.TOS = h.HopLimit(), h.TrafficClass()
	return s, err
}

// ParseTCP parses a segment from its TCP header on: all of b, with the addresses that its IP header had.
// TTL and TOS are left zero.
func ParseTCP(src, dst netip.Addr, b []byte) (Segment, error) { return ParseTCPApart(src, dst, b, nil) }

// ParseTCPApart is ParseTCP for a segment of which payload lies elsewhere: b has the header, and nothing else. With a nil payload
// nothing does.
func ParseTCPApart(src, dst netip.Addr, b, payload []byte) (Segment, error) {
	if len(b) < TCPHeaderLen {
		return Segment{}, ErrTruncated
	}
	h := TCP(b)
	if n := h.HeaderLen(); n < TCPHeaderLen || n > len(b) || payload != nil && n != len(b) {
		return Segment{}, ErrHeaderLength
	}
	if !acceptable(src, dst, h, payload) {
		return Segment{}, ErrChecksum
	}
	if payload == nil {
		payload = h.Payload()
	}
	return Segment{
		Src: netip.AddrPortFrom(src, h.SrcPort()), Dst: netip.AddrPortFrom(dst, h.DstPort()),
		Seq: h.Seq(), Ack: h.Ack(), Flags: h.Flags(), Window: h.Window(), Urgent: h.Urgent(),
		Options: h.Options(), Payload: payload,
	}, nil
}

// split4 checks an IPv4 header and returns it with what the packet carries.
func split4(b []byte) (h IPv4, payload []byte, err error) {
	h, n, err := header4(b)
	switch {
	case err != nil:
		return nil, nil, err
	case h.TotalLen() < n:
		return nil, nil, ErrHeaderLength
	case h.TotalLen() > len(b):
		return nil, nil, ErrTruncated
	}
	if err := sound4(h, n); err != nil {
		return nil, nil, err
	}
	return h, b[n:h.TotalLen():h.TotalLen()], nil
}

// sound4 checks the header, of n bytes, of a packet that is there in full.
func sound4(h IPv4, n int) error {
	switch {
	case Sum{acc: sumOf(h[:n])}.Fold() != 0xFFFF:
		return ErrChecksum
	case h.Fragment():
		return ErrFragment
	}
	return nil
}

// header4 checks that b begins with an IPv4 header, of n bytes.
func header4(b []byte) (h IPv4, n int, err error) {
	switch {
	case len(b) == 0:
		return nil, 0, ErrTruncated
	case b[0]>>4 != 4:
		return nil, 0, ErrVersion
	case len(b) < IPv4HeaderLen:
		return nil, 0, ErrTruncated
	}
	h = IPv4(b)
	switch n = h.HeaderLen(); {
	case n < IPv4HeaderLen:
		return nil, 0, ErrHeaderLength
	case n > len(b):
		return nil, 0, ErrTruncated
	}
	return h, n, nil
}

// split6 checks an IPv6 header and its extension headers and returns what the packet carries.
func split6(b []byte) (h IPv6, proto uint8, payload []byte, err error) {
	h, err = header6(b)
	if err != nil {
		return nil, 0, nil, err
	}
	end := IPv6HeaderLen + h.PayloadLen()
	if end > len(b) {
		return nil, 0, nil, ErrTruncated
	}
	proto, payload, err = skipExtensions(h.NextHeader(), b[IPv6HeaderLen:end:end])
	return h, proto, payload, err
}

// header6 checks that b begins with an IPv6 header.
func header6(b []byte) (IPv6, error) {
	switch {
	case len(b) == 0:
		return nil, ErrTruncated
	case b[0]>>4 != 6:
		return nil, ErrVersion
	case len(b) < IPv6HeaderLen:
		return nil, ErrTruncated
	}
	return IPv6(b), nil
}

// Extension headers that may stand before a segment (RFC 8200 section 4).
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extDestination = 60

	maxExtensions = 8 // RFC 8504 section 5.3 lets a host set such a limit
)

// skipExtensions walks over the extension headers at the beginning of b.
func skipExtensions(next uint8, b []byte) (proto uint8, payload []byte, err error) {
	for range maxExtensions {
		n := 8
		switch next {
		case extHopByHop, extRouting, extDestination:
			if len(b) >= 2 {
				n = 8 + 8*int(b[1])
			}
		case extFragment:
		default:
			return next, b, nil
		}
		if n > len(b) {
			return 0, nil, ErrTruncated
		}
		// A fragment header with offset 0 and no more fragments: "isolated from other packets/fragments"
		// (RFC 6946 section 4), a whole packet.
		if next == extFragment && binary.BigEndian.Uint16(b[2:])&0xFFF9 != 0 {
			return 0, nil, ErrFragment
		}
		next, b = b[0], b[n:]
	}
	return 0, nil, ErrProtocol
}
