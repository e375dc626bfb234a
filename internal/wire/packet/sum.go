package packet

import (
	"encoding/binary"
	"math/bits"
)

// Sum is a ones' complement sum in progress (RFC 1071) over bytes that come in pieces of any length. The
// zero Sum is that of no bytes.
//
// The words are added in little-endian order, eight bytes at a time: "The sum of 16-bit integers can be
// computed in either byte order" (RFC 1071 section 2(B)), and only Fold swaps.
type Sum struct {
	acc uint64
	odd bool // an odd number of bytes is in: the next piece begins in the second byte of a word
}

// Add continues the sum with b.
func (s *Sum) Add(b []byte) { s.join(sumOf(b), len(b)) }

// Copy copies the beginning of src to dst, as copy does, continues the sum with what it copied and
// returns how many bytes that were. One pass over memory serves both.
func (s *Sum) Copy(dst, src []byte) int {
	n := min(len(dst), len(src))
	s.join(copySum(dst[:n], src[:n]), n)
	return n
}

// AddUint16 continues the sum with the two bytes of v in network order.
func (s *Sum) AddUint16(v uint16) { s.join(uint64(bits.ReverseBytes16(v)), 2) }

// AddUint32 continues the sum with the four bytes of v in network order.
func (s *Sum) AddUint32(v uint32) { s.join(uint64(bits.ReverseBytes32(v)), 4) }

// AddUint64 continues the sum with the eight bytes of v in network order.
func (s *Sum) AddUint64(v uint64) { s.join(bits.ReverseBytes64(v), 8) }

// Append continues the sum with the bytes that t is the sum of: a payload that was summed while it was
// copied need not be read again.
func (s *Sum) Append(t Sum) {
	n := 0
	if t.odd {
		n = 1
	}
	s.join(t.acc, n)
}

// join adds the sum of n bytes.
func (s *Sum) join(v uint64, n int) {
	if s.odd {
		// A sum shifted by one byte is the sum with its bytes swapped (RFC 1071 section 2(B)). 2^64-1 is a
		// multiple of 2^16-1, so that turning the whole word by eight bits is the same thing.
		v = bits.RotateLeft64(v, 8)
	}
	sum, carry := bits.Add64(s.acc, v, 0)
	s.acc = sum + carry // cannot carry again: a sum that wrapped is at most 2^64-2
	s.odd = s.odd != (n&1 == 1)
}

// Fold is the sum in 16 bits, as the header field's value, not complemented. 0 is the sum of zeros alone;
// any other multiple of 65,535 is 0xFFFF.
func (s Sum) Fold() uint16 {
	v := s.acc>>32 + s.acc&0xFFFFFFFF
	v = v>>32 + v&0xFFFFFFFF
	v = v>>16 + v&0xFFFF
	v = v>>16 + v&0xFFFF
	v = v>>16 + v&0xFFFF
	return bits.ReverseBytes16(uint16(v))
}

// Checksum is the complement of the sum: what a checksum field holds.
func (s Sum) Checksum() uint16 { return ^s.Fold() }

// sumOf is the sum of b's words, an odd last byte padded with a zero on the right. The carries of eight
// additions are chained, which the processor does in one instruction each.
func sumOf(b []byte) uint64 {
	var sum, c uint64
	for len(b) >= 64 {
		w := b[:64:64]
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w), 0)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[8:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[16:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[24:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[32:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[40:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[48:]), c)
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(w[56:]), c)
		sum += c
		b = b[64:]
	}
	return sumTail(sum, b)
}

// sumTail adds the words of b, which is short.
func sumTail(sum uint64, b []byte) uint64 {
	var c uint64
	for len(b) >= 8 {
		sum, c = bits.Add64(sum, binary.LittleEndian.Uint64(b), 0)
		sum += c
		b = b[8:]
	}
	sum, c = bits.Add64(sum, lastWord(b), 0)
	return sum + c
}

// lastWord is the word of fewer than eight bytes.
func lastWord(b []byte) (v uint64) {
	if len(b) >= 4 {
		v = uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
		for i, x := range b {
			v |= uint64(x) << (32 + 8*i)
		}
		return v
	}
	for i, x := range b {
		v |= uint64(x) << (8 * i)
	}
	return v
}

// copySum copies src to dst, which is as long, and returns the sum of its words.
func copySum(dst, src []byte) uint64 {
	var sum, c uint64
	for len(src) >= 32 && len(dst) >= 32 {
		r, w := src[:32:32], dst[:32:32]
		v0, v1 := binary.LittleEndian.Uint64(r), binary.LittleEndian.Uint64(r[8:])
		v2, v3 := binary.LittleEndian.Uint64(r[16:]), binary.LittleEndian.Uint64(r[24:])
		binary.LittleEndian.PutUint64(w, v0)
		binary.LittleEndian.PutUint64(w[8:], v1)
		binary.LittleEndian.PutUint64(w[16:], v2)
		binary.LittleEndian.PutUint64(w[24:], v3)
		sum, c = bits.Add64(sum, v0, 0)
		sum, c = bits.Add64(sum, v1, c)
		sum, c = bits.Add64(sum, v2, c)
		sum, c = bits.Add64(sum, v3, c)
		sum += c
		src, dst = src[32:], dst[32:]
	}
	copy(dst, src)
	return sumTail(sum, src)
}
