package onpath

import (
	"encoding/binary"
	"io"
)

// dice draws chances from a source of random bytes. A source that fails is a source of zeros: what it
// decides has probability above zero then and happens, which no test overlooks.
type dice struct{ r io.Reader }

func (d dice) uint64() uint64 {
	var b [8]byte
	if _, err := io.ReadFull(d.r, b[:]); err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b[:])
}

// roll is true with probability p. It draws only when there is something to decide.
func (d dice) roll(p float64) bool {
	return p > 0 && (p >= 1 || d.float() < p)
}

// float is uniform in [0, 1).
func (d dice) float() float64 { return float64(d.uint64()>>11) / (1 << 53) }

// below is uniform in [0, n); n is positive.
func (d dice) below(n int64) int64 { return int64(d.float() * float64(n)) }
