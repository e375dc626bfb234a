package packet

import (
	"net/netip"
	"strings"
)

// Flags are the control bits of the TCP header (RFC 9293 section 3.1).
type Flags uint8

const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

var flagNames = [8]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

// Has reports whether all of g are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

// String lists the flags that are set, as in "SYN|ACK".
func (f Flags) String() string {
	var set []string
	for i, n := range flagNames {
		if f>>i&1 != 0 {
			set = append(set, n)
		}
	}
	return strings.Join(set, "|")
}

// ECN field: the lower two bits of TOS and traffic class (RFC 3168 section 5).
const (
	ECNMask   = 3
	ECNNotECT = 0
	ECNECT1   = 1
	ECNECT0   = 2
	ECNCE     = 3
)

// DefaultTTL is the time to live of a segment that does not say (RFC 9293 section 3.9.2, RFC 1700).
const DefaultTTL = 64

// MaxPieces is how many pieces the payload of a segment may lie in.
const MaxPieces = 8

// Segment is one TCP segment with its addresses, as a value: what has arrived, or what is to be sent.
//
// The payload of a received segment is one piece, Payload, a view into the packet. The payload of a segment
// to be sent may lie in up to MaxPieces pieces: Payload, then those of More up to the first empty one. They
// are part of the value, so that copying a Segment needs no memory beside it.
type Segment struct {
	Src, Dst netip.AddrPort // without zone: IfIndex says where a link-local address belongs
	Seq, Ack uint32
	Flags    Flags
	TTL      uint8  // or hop limit; 0 when sending: DefaultTTL; 0 when received: not known
	TOS      uint8  // or traffic class, with the ECN field
	Window   uint16 // as in the header, not scaled
	Urgent   uint16
	IfIndex  int    // the interface to leave through, 0: the route's; or arrived on, 0: not known
	Options  []byte // at most MaxOptions bytes; padded with zeros when sent

	Payload []byte
	More    [MaxPieces - 1][]byte // sending only

	// SegSize, when sending, is the number of payload bytes in each of the segments that the kernel or the
	// device is to split this one into; 0: it is to go as it is. The options are repeated on each.
	SegSize int
}

// PayloadLen is the number of bytes in all pieces.
func (s *Segment) PayloadLen() int {
	n := len(s.Payload)
	for _, p := range s.More {
		if len(p) == 0 {
			break
		}
		n += len(p)
	}
	return n
}

// AddPiece puts b behind the payload; false when all pieces are taken. An empty b is no piece. b is not
// copied.
func (s *Segment) AddPiece(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	if len(s.Payload) == 0 {
		s.Payload = b
		return true
	}
	for i := range s.More {
		if len(s.More[i]) == 0 {
			s.More[i] = b
			return true
		}
	}
	return false
}

// AppendPayload appends the bytes of all pieces to dst.
func (s *Segment) AppendPayload(dst []byte) []byte {
	dst = append(dst, s.Payload...)
	for _, p := range s.More {
		if len(p) == 0 {
			break
		}
		dst = append(dst, p...)
	}
	return dst
}

// SeqLen is the segment's length in sequence numbers: the payload, and one each for SYN and FIN.
func (s *Segment) SeqLen() int {
	n := s.PayloadLen()
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return n
}

// HeaderLen is the length in bytes of the IP and TCP headers, with the options padded.
func (s *Segment) HeaderLen() int {
	n := IPv6HeaderLen
	if s.Dst.Addr().Is4() {
		n = IPv4HeaderLen
	}
	return n + TCPHeaderLen + (len(s.Options)+3)&^3
}

// Len is the length in bytes of the whole IP packet.
func (s *Segment) Len() int { return s.HeaderLen() + s.PayloadLen() }

// PacketLen is the length in bytes of the longest packet that leaves: of s itself or, of a super-segment, of its first part.
func (s *Segment) PacketLen() int {
	if s.SegSize > 0 {
		return s.HeaderLen() + min(s.SegSize, s.PayloadLen())
	}
	return s.Len()
}

// Cut is the segment that carries n bytes of the payload of s from its byte from on, with the same options: how
// a super-segment is split where nobody else does it. As with TSO, FIN and PSH stay on the last segment, and
// CWR on the first.
func (s *Segment) Cut(from, n int) Segment {
	c := *s
	c.SegSize = 0
	c.Payload, c.More = nil, [MaxPieces - 1][]byte{}
	c.Seq += uint32(from)
	if from > 0 {
		c.Flags &^= CWR
	}
	if from+n < s.PayloadLen() {
		c.Flags &^= FIN | PSH
	}
	for i := -1; i < len(s.More) && n > 0; i++ {
		p := s.Payload
		if i >= 0 {
			p = s.More[i]
		}
		if from >= len(p) {
			from -= len(p)
			continue
		}
		p = p[from:min(len(p), from+n)]
		from, n = 0, n-len(p)
		c.AddPiece(p)
	}
	return c
}
