package packet

import (
	"encoding/binary"
	"net/netip"
)

// Coverage says what the TCP checksum field of a segment to be sent holds.
type Coverage uint8

const (
	// FullChecksum: the checksum, ready for the wire.
	FullChecksum Coverage = iota
	// PseudoChecksum: the sum of the pseudo-header alone, not complemented, for a kernel or device that
	// computes the rest (CHECKSUM_PARTIAL, virtio's NEEDS_CSUM). The payload is not read.
	PseudoChecksum
)

// AppendHeaders appends the IP header and the TCP header of s to dst. The packet is what it appended with
// the pieces of the payload behind; they are read for the checksum and stay where they are. On an error
// (ErrAddress, ErrOptions, ErrTooLong) dst is returned as it was.
//
// An IPv4 packet is sent with DF set and, being atomic, with ID 0 (RFC 6864 section 4.1).
func (s *Segment) AppendHeaders(dst []byte, cover Coverage) ([]byte, error) {
	src, to := s.Src.Addr(), s.Dst.Addr()
	if src.BitLen() != to.BitLen() || !src.IsValid() {
		return dst, ErrAddress
	}
	payload := s.PayloadLen()
	segment := s.HeaderLen() - IPv6HeaderLen + payload
	longest := MaxPacket
	if to.Is4() {
		segment = s.HeaderLen() - IPv4HeaderLen + payload
		longest = MaxPacket - IPv4HeaderLen
	}
	if segment > longest {
		return dst, ErrTooLong
	}
	if len(s.Options) > MaxOptions {
		return dst, ErrOptions
	}
	if to.Is4() {
		dst = appendIPv4(dst, s, segment)
	} else {
		dst = appendIPv6(dst, s, segment)
	}
	return s.appendTCP(dst, Pseudo(src, to, ProtoTCP, segment), cover), nil
}

// AppendTCP appends the TCP header of s alone, for a link that adds the rest.
func (s *Segment) AppendTCP(dst []byte, cover Coverage) ([]byte, error) {
	src, to := s.Src.Addr(), s.Dst.Addr()
	switch {
	case src.BitLen() != to.BitLen() || !src.IsValid():
		return dst, ErrAddress
	case len(s.Options) > MaxOptions:
		return dst, ErrOptions
	}
	n := TCPHeaderLen + (len(s.Options)+3)&^3 + s.PayloadLen()
	if n > MaxPacket {
		return dst, ErrTooLong
	}
	return s.appendTCP(dst, Pseudo(src, to, ProtoTCP, n), cover), nil
}

// Append appends the whole packet: headers and payload.
func (s *Segment) Append(dst []byte, cover Coverage) ([]byte, error) {
	dst, err := s.AppendHeaders(dst, cover)
	if err != nil {
		return dst, err
	}
	return s.AppendPayload(dst), nil
}

func (s *Segment) appendTCP(dst []byte, sum Sum, cover Coverage) []byte {
	at := len(dst)
	n := TCPHeaderLen + (len(s.Options)+3)&^3
	dst = binary.BigEndian.AppendUint16(dst, s.Src.Port())
	dst = binary.BigEndian.AppendUint16(dst, s.Dst.Port())
	dst = binary.BigEndian.AppendUint32(dst, s.Seq)
	dst = binary.BigEndian.AppendUint32(dst, s.Ack)
	dst = append(dst, byte(n/4)<<4, byte(s.Flags))
	dst = binary.BigEndian.AppendUint16(dst, s.Window)
	dst = append(dst, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, s.Urgent)
	dst = append(dst, s.Options...)
	for len(dst) < at+n {
		// "The content of the header beyond the End of Option List Option MUST be header padding of zeros
		// (MUST-69)" (RFC 9293 section 3.1). An end of options is a zero itself.
		dst = append(dst, 0)
	}
	if cover == PseudoChecksum {
		binary.BigEndian.PutUint16(dst[at+16:], sum.Fold())
		return dst
	}
	sum.Add(dst[at:])
	sum.Add(s.Payload)
	for _, p := range s.More {
		if len(p) == 0 {
			break
		}
		sum.Add(p)
	}
	binary.BigEndian.PutUint16(dst[at+16:], sum.Checksum())
	return dst
}

func appendIPv4(dst []byte, s *Segment, payload int) []byte {
	const dontFragment = 0x40
	at := len(dst)
	dst = append(dst, 4<<4|IPv4HeaderLen/4, s.TOS)
	dst = binary.BigEndian.AppendUint16(dst, uint16(IPv4HeaderLen+payload))
	dst = append(dst, 0, 0, dontFragment, 0, hops(s), ProtoTCP, 0, 0)
	dst = appendAddr4(dst, s.Src.Addr())
	dst = appendAddr4(dst, s.Dst.Addr())
	binary.BigEndian.PutUint16(dst[at+10:], Sum{acc: sumOf(dst[at:])}.Checksum())
	return dst
}

func appendIPv6(dst []byte, s *Segment, payload int) []byte {
	dst = append(dst, 6<<4|s.TOS>>4, s.TOS<<4, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(payload))
	dst = append(dst, ProtoTCP, hops(s))
	src, to := s.Src.Addr().As16(), s.Dst.Addr().As16()
	dst = append(dst, src[:]...)
	return append(dst, to[:]...)
}

func appendAddr4(dst []byte, a netip.Addr) []byte {
	b := a.As4()
	return append(dst, b[:]...)
}

func hops(s *Segment) uint8 {
	if s.TTL == 0 {
		return DefaultTTL
	}
	return s.TTL
}
