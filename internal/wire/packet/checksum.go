package packet

import "net/netip"

// Protocol numbers of the IP header.
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoICMPv6 = 58
)

// Pseudo is the sum of the pseudo-header that protects a transport segment of n bytes: RFC 9293 section
// 3.1 for IPv4, RFC 8200 section 8.1 for IPv6. The two differ in layout and not in their sum.
func Pseudo(src, dst netip.Addr, proto uint8, n int) (s Sum) {
	for _, a := range [...]netip.Addr{src, dst} {
		if a.Is4() {
			b := a.As4()
			s.Add(b[:])
		} else {
			b := a.As16()
			s.Add(b[:])
		}
	}
	s.AddUint32(uint32(n))
	s.AddUint32(uint32(proto))
	return s
}

// Update is the checksum of data in which a 16-bit word has changed from old to new, without a look at the
// rest: HC' = ~(~HC + ~m + m') (RFC 1624 section 3, equation 3).
func Update(checksum, old, new uint16) uint16 {
	v := uint32(^checksum) + uint32(^old) + uint32(new)
	v = v>>16 + v&0xFFFF
	v = v>>16 + v&0xFFFF
	return ^uint16(v)
}

// Update32 is Update for a 32-bit field, such as a sequence number or an IPv4 address.
func Update32(checksum uint16, old, new uint32) uint16 {
	checksum = Update(checksum, uint16(old>>16), uint16(new>>16))
	return Update(checksum, uint16(old), uint16(new))
}

// acceptable is the rule for the checksum of a received segment. A packet from this machine, or from one
// whose offloads reach up to us (veth, a merged super-segment), has only the pseudo-header's sum in the
// field, not complemented: the kernel calls it CHECKSUM_PARTIAL and vouches for the rest. Everything else
// must verify in full. A stranger can write the pseudo-header's sum, too: a checksum is no protection from
// him in any case. What lies apart follows segment, whose length is even then.
func acceptable(src, dst netip.Addr, segment TCP, apart []byte) bool {
	s := Pseudo(src, dst, ProtoTCP, len(segment)+len(apart))
	if segment.Checksum() == s.Fold() {
		return true
	}
	s.Add(segment)
	s.Add(apart)
	return s.Fold() == 0xFFFF
}
