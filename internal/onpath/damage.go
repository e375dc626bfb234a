package onpath

import (
	"bytes"
	"encoding/binary"
	"io"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Corrupt flips a random bit of each matching packet, anywhere behind the IP header, as a bad memory on the
// way does. The checksum stays as it was.
func Corrupt(m Match, r io.Reader) Element {
	roll := dice{r}
	return Func(func(p []byte, d Dir, emit Emit) {
		n := packet.IPv4HeaderLen
		if len(p) > 0 && p[0]>>4 == 6 {
			n = packet.IPv6HeaderLen
		}
		if len(p) > n && m(p, d) {
			at := roll.below(int64(len(p)-n) * 8)
			p[n+int(at/8)] ^= 1 << (at % 8)
		}
		emit(p, d)
	})
}

// Checksum is what a box leaves in the checksum field of TCP.
type Checksum uint8

const (
	ChecksumRight   Checksum = iota // computed anew, as a proxy or a NIC does, whatever it was
	ChecksumWrong                   // damaged
	ChecksumZero                    // left out
	ChecksumPartial                 // the pseudo-header's sum alone: an offload that never happened
)

// Process implements Element.
func (c Checksum) Process(_ time.Duration, p []byte, d Dir, emit Emit) {
	if v, ok := locate(p); ok {
		field := v.tcp[16:18]
		switch c {
		case ChecksumWrong:
			field[0] ^= 0x55
		case ChecksumZero:
			field[0], field[1] = 0, 0
		default:
			s := packet.Pseudo(v.src().Addr(), v.dst().Addr(), packet.ProtoTCP, len(v.tcp))
			sum := s.Fold()
			if c == ChecksumRight {
				field[0], field[1] = 0, 0
				s.Add(v.tcp)
				sum = s.Checksum()
			}
			binary.BigEndian.PutUint16(field, sum)
		}
	}
	emit(p, d)
}

// Patch changes payload that contains old into one with with instead, of the same length, and makes the
// checksum right: a gateway that knows better than the application. It does not look across segments.
func Patch(old, with []byte) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		v, ok := locate(p)
		if ok && len(old) > 0 && len(old) == len(with) {
			payload := v.tcp.Payload()
			if at := bytes.Index(payload, old); at >= 0 {
				copy(payload[at:], with)
				ChecksumRight.Process(0, p, d, emit)
				return
			}
		}
		emit(p, d)
	})
}

// Flip inverts the first payload byte of matching segments and makes the checksum right: damage that only
// a checksum of MPTCP's notices.
func Flip(m Match) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		if v, ok := locate(p); ok && len(v.tcp.Payload()) > 0 && m(p, d) {
			v.tcp.Payload()[0] ^= 0xFF
			ChecksumRight.Process(0, p, d, emit)
			return
		}
		emit(p, d)
	})
}
