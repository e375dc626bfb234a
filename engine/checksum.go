package engine

import (
	"encoding/binary"
	"math/bits"
)

// onesSum is the ones' complement sum of RFC 1071 over bytes that come in pieces of any length. The
// zero onesSum is that of no bytes.
type onesSum struct {
	acc uint64
	odd bool // an odd number of bytes is in: the next piece begins in the low half of a word
}

// add continues the sum with b.
func (s *onesSum) add(b []byte) {
	v := sumWords(b)
	if s.odd {
		// RFC 1071 section 2(B): a sum shifted by one byte is the sum with its bytes swapped.
		v = bits.ReverseBytes16(v)
	}
	s.addWord(v)
	s.odd = s.odd != (len(b)&1 == 1)
}

// addWord adds a 16-bit word; only where an even number of bytes is in is it what follows them.
func (s *onesSum) addWord(v uint16) { s.acc += uint64(v) }

// fold is the sum as 16 bits. 0 and 0xffff are the same number.
func (s *onesSum) fold() uint16 { return foldSum(s.acc) }

func foldSum(v uint64) uint16 {
	v = v>>32 + v&0xffffffff
	v = v>>32 + v&0xffffffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	return uint16(v)
}

// sumWords is the folded sum of b's big-endian 16-bit words, an odd last byte padded with a zero on
// the right. It adds eight bytes at a time, the carry coming back in at the bottom: 2^64 is 1 modulo
// 65535 (RFC 1071 section 2(C)).
func sumWords(b []byte) uint16 {
	var sum, carry uint64
	for len(b) >= 32 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	var last [8]byte
	copy(last[:], b)
	sum, carry = bits.Add64(sum, binary.BigEndian.Uint64(last[:]), carry)
	sum, carry = bits.Add64(sum, 0, carry)
	return foldSum(sum>>32 + sum&0xffffffff + carry)
}

// addPseudo adds the pseudo-header of RFC 8684 section 3.3.1, figure 10: "the data sequence number
// used in the pseudo-header is always the 64-bit value, irrespective of what length is used in the DSS
// option itself".
func (s *onesSum) addPseudo(dsn uint64, ssn uint32, dataLen uint16) {
	s.acc += dsn>>32 + dsn&0xffffffff + uint64(ssn) + uint64(dataLen)
}

// dssChecksum is the checksum of a DSS whose mapping covers p: dataLen is the option's data-level
// length, which counts a DATA_FIN that p does not have.
func dssChecksum(dsn uint64, ssn uint32, dataLen uint16, p []byte) uint16 {
	var s onesSum
	s.addPseudo(dsn, ssn, dataLen)
	s.addWord(sumWords(p))
	return ^s.fold()
}

// EmptyChecksum is the checksum of a DATA_FIN without data, which has the number dsn: "The checksum in this
// case will only cover the pseudo-header" (RFC 8684 section 3.3.3).
func EmptyChecksum(dsn uint64) uint16 { return dssChecksum(dsn, 0, 1, nil) }

// WithoutFIN is the checksum of a mapping whose checksum counts a DATA_FIN, once that travels elsewhere: the
// data-level length is one less.
func WithoutFIN(checksum uint16) uint16 { return ^foldSum(uint64(^checksum) + 0xfffe) }

// payloadSum is what the payload of a mapping must sum up to for checksum to be right. It does not
// depend on whether the option counts a DATA_FIN, so that a mapping repeated with a DATA_FIN that it
// first came without can be seen to be the same.
func payloadSum(dsn uint64, ssn uint32, dataLen, checksum uint16) uint16 {
	var s onesSum
	s.addPseudo(dsn, ssn, dataLen)
	s.addWord(checksum)
	return sumKey(^s.fold())
}

// sumKey makes sums comparable: of the two zeros of ones' complement it takes 0.
func sumKey(v uint16) uint16 {
	if v == 0xffff {
		return 0
	}
	return v
}
