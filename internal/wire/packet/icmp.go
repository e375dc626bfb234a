package packet

import (
	"encoding/binary"
	"net/netip"
)

// Trouble is what an ICMP error says of a segment, whatever the IP version.
type Trouble uint8

const (
	// TroubleTransient: net or host unreachable, no route, time exceeded and the like. "Since these
	// Unreachable messages indicate soft error conditions, a TCP implementation MUST NOT abort the
	// connection (MUST-56)" (RFC 9293 section 3.9.2.2).
	TroubleTransient Trouble = iota + 1
	// TroublePort: no such port or protocol there: a hard error.
	TroublePort
	// TroubleProhibited: a filter on the way.
	TroubleProhibited
	// TroubleTooBig: fragmentation needed and DF set, or packet too big. MTU says what fits.
	TroubleTooBig
	// TroubleParameter: somebody did not understand the header: a soft error, too.
	TroubleParameter
)

var troubleNames = [...]string{
	TroubleTransient: "unreachable", TroublePort: "port unreachable", TroubleProhibited: "administratively prohibited",
	TroubleTooBig: "packet too big", TroubleParameter: "parameter problem",
}

// String names the trouble in words.
func (t Trouble) String() string {
	if int(t) < len(troubleNames) {
		return troubleNames[t]
	}
	return "unknown"
}

// ICMPError is an ICMP or ICMPv6 error that quotes the beginning of a TCP segment. Nobody signs it: only
// its quotation shows that its author has seen the segment, so check that Seq lies in what is in flight
// (RFC 5927 section 4.1).
type ICMPError struct {
	From       netip.Addr // who sent the error: a router, or the destination
	Trouble    Trouble
	Type, Code uint8          // as in the message
	MTU        int            // with TroubleTooBig: of the next hop, in bytes of IP packet; 0: an old router that does not say
	Src, Dst   netip.AddrPort // of the quoted segment: Src is ours
	Seq        uint32         // of the quoted segment
}

// ParseICMP parses an IP packet of either version that carries such an error. Messages that are no errors,
// or that quote something else than TCP, are ErrProtocol.
func ParseICMP(b []byte) (ICMPError, error) {
	if len(b) == 0 {
		return ICMPError{}, ErrTruncated
	}
	if b[0]>>4 != 6 {
		h, m, err := split4(b)
		if err != nil {
			return ICMPError{}, err
		}
		if h.Protocol() != ProtoICMP {
			return ICMPError{}, ErrProtocol
		}
		return ParseICMPv4(h.Src(), m)
	}
	h, proto, m, err := split6(b)
	if err != nil {
		return ICMPError{}, err
	}
	if proto != ProtoICMPv6 {
		return ICMPError{}, ErrProtocol
	}
	s := Pseudo(h.Src(), h.Dst(), ProtoICMPv6, len(m))
	s.Add(m)
	if s.Fold() != 0xFFFF {
		return ICMPError{}, ErrChecksum
	}
	return ParseICMPv6(h.Src(), m)
}

// icmpHeaderLen is the length of what comes before the quotation, in both versions.
const icmpHeaderLen = 8

// ParseICMPv4 parses an ICMP message (RFC 792) that came from from.
func ParseICMPv4(from netip.Addr, m []byte) (ICMPError, error) {
	if len(m) < icmpHeaderLen {
		return ICMPError{}, ErrTruncated
	}
	if (Sum{acc: sumOf(m)}).Fold() != 0xFFFF {
		return ICMPError{}, ErrChecksum
	}
	e := ICMPError{From: from, Type: m[0], Code: m[1], Trouble: trouble4(m[0], m[1])}
	if e.Trouble == 0 {
		return ICMPError{}, ErrProtocol
	}
	if e.Trouble == TroubleTooBig {
		e.MTU = int(binary.BigEndian.Uint16(m[6:])) // RFC 1191 section 4
	}
	h, n, err := header4(m[icmpHeaderLen:])
	if err != nil {
		return ICMPError{}, err
	}
	if binary.BigEndian.Uint16(h[6:])&0x1FFF != 0 {
		return ICMPError{}, ErrFragment // not the first one: no TCP header in it
	}
	if h.Protocol() != ProtoTCP {
		return ICMPError{}, ErrProtocol
	}
	return e.quote(h.Src(), h.Dst(), h[n:])
}

// ParseICMPv6 parses an ICMPv6 message (RFC 4443) that came from from. Its checksum covers a pseudo-header
// that is not here: the caller, or the kernel, has verified it.
func ParseICMPv6(from netip.Addr, m []byte) (ICMPError, error) {
	if len(m) < icmpHeaderLen {
		return ICMPError{}, ErrTruncated
	}
	e := ICMPError{From: from, Type: m[0], Code: m[1], Trouble: trouble6(m[0], m[1])}
	if e.Trouble == 0 {
		return ICMPError{}, ErrProtocol
	}
	if e.Trouble == TroubleTooBig {
		e.MTU = int(min(binary.BigEndian.Uint32(m[4:]), MaxPacket))
	}
	q := m[icmpHeaderLen:]
	h, err := header6(q)
	if err != nil {
		return ICMPError{}, err
	}
	proto, segment, err := skipExtensions(h.NextHeader(), q[IPv6HeaderLen:])
	if err != nil {
		return ICMPError{}, err
	}
	if proto != ProtoTCP {
		return ICMPError{}, ErrProtocol
	}
	return e.quote(h.Src(), h.Dst(), segment)
}

// quote fills in what the first eight bytes of the quoted TCP header say: all that RFC 792 promises.
func (e ICMPError) quote(src, dst netip.Addr, b []byte) (ICMPError, error) {
	if len(b) < 8 {
		return ICMPError{}, ErrTruncated
	}
	e.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	e.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	e.Seq = binary.BigEndian.Uint32(b[4:])
	return e, nil
}

// trouble4 sorts ICMP types and codes (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1). Source
// Quench is none: "TCP implementations MUST silently discard any received ICMP Source Quench messages
// (MUST-55)" (RFC 9293 section 3.9.2.2).
func trouble4(typ, code uint8) Trouble {
	const unreachable, timeExceeded, parameterProblem = 3, 11, 12
	switch typ {
	case unreachable:
		switch code {
		case 2, 3:
			return TroublePort
		case 4:
			return TroubleTooBig
		case 9, 10, 13:
			return TroubleProhibited
		}
		return TroubleTransient
	case timeExceeded:
		return TroubleTransient
	case parameterProblem:
		return TroubleParameter
	}
	return 0
}

// trouble6 sorts ICMPv6 types and codes (RFC 4443 section 3).
func trouble6(typ, code uint8) Trouble {
	const unreachable, tooBig, timeExceeded, parameterProblem = 1, 2, 3, 4
	switch typ {
	case unreachable:
		switch code {
		case 1, 5, 6:
			return TroubleProhibited
		case 4:
			return TroublePort
		}
		return TroubleTransient
	case tooBig:
		return TroubleTooBig
	case timeExceeded:
		return TroubleTransient
	case parameterProblem:
		return TroubleParameter
	}
	return 0
}
