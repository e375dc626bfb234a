package seqnum

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestExpand32AroundTheWrap(t *testing.T) {
	for _, c := range []struct {
		name     string
		expected uint64
		low      uint32
		want     uint64
	}{
		{"equal", 0x1_0000_0005, 0x0000_0005, 0x1_0000_0005},
		{"ahead", 0x1_0000_0005, 0x0000_0105, 0x1_0000_0105},
		{"behind", 0x1_0000_0105, 0x0000_0005, 0x1_0000_0005},
		{"the lower half wraps: the upper one counts on", 0x1_ffff_fff0, 0x0000_0010, 0x2_0000_0010},
		{"an old packet after the wrap does not count on", 0x2_0000_0010, 0xffff_fff0, 0x1_ffff_fff0},
		{"the whole number wraps", 0xffff_ffff_ffff_fff0, 0x0000_0010, 0x0000_0000_0000_0010},
		{"and back", 0x0000_0000_0000_0010, 0xffff_fff0, 0xffff_ffff_ffff_fff0},
		{"farthest ahead", 0x5_0000_0000, 0x7fff_ffff, 0x5_7fff_ffff},
		{"equally far both ways: the earlier", 0x5_0000_0000, 0x8000_0000, 0x4_8000_0000},
		{"a capture's: 0xe0d41857765eb4ad in four bytes", 0xe0d41857765eb4ad, 0x765eb895, 0xe0d41857765eb895},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, Expand32(c.expected, c.low))
		})
	}
}

// Whatever lies within 2^31 of the expected number survives the way through 32 bits.
func TestExpand32InvertsTruncation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expected := rapid.Uint64().Draw(t, "expected")
		distance := rapid.Int64Range(-1<<31, 1<<31-1).Draw(t, "distance")
		full := expected + uint64(distance)
		require.Equal(t, full, Expand32(expected, uint32(full)))
	})
}

// The naive model: of the three numbers with this lower half around expected, the one whose distance,
// taken in unbounded integers, is least.
func TestExpand32IsTheNearest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expected := rapid.Uint64Range(1<<33, 1<<63).Draw(t, "expected")
		low := rapid.Uint32().Draw(t, "low")
		base := new(big.Int).SetUint64(expected>>32<<32 | uint64(low))
		want, best := uint64(0), new(big.Int)
		for i := int64(-1); i <= 1; i++ {
			n := new(big.Int).Add(base, big.NewInt(i<<32))
			d := new(big.Int).Sub(n, new(big.Int).SetUint64(expected))
			if d.Abs(d); i == -1 || d.Cmp(best) < 0 {
				want, best = n.Uint64(), d
			}
		}
		require.Equal(t, want, Expand32(expected, low))
	})
}

func TestOrderIsThatOfDistances(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.Uint64().Draw(t, "b")
		d := rapid.Int64Range(-1<<63+1, 1<<63-1).Draw(t, "distance")
		a := b + uint64(d)
		require.Equal(t, d, Diff(a, b))
		require.Equal(t, d < 0, Less(a, b))
		require.Equal(t, d <= 0, LessEq(a, b))
		require.Equal(t, d > 0, Less(b, a))
		if d < 0 {
			require.Equal(t, a, Min(a, b))
			require.Equal(t, b, Max(a, b))
		} else {
			require.Equal(t, b, Min(a, b))
			require.Equal(t, a, Max(a, b))
		}
	})
}

func BenchmarkExpand32(b *testing.B) {
	b.ReportAllocs()
	n := uint64(1)<<32 - 100
	for b.Loop() {
		n = Expand32(n, uint32(n)+1448)
	}
}
