package tcp

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// naive is a byte array with a mark for each byte that is there. The last one never is.
type naive struct {
	bytes [4001]byte
	here  [4001]bool
}

func (n *naive) add(off int, b []byte) {
	for i, v := range b {
		if !n.here[off+i] {
			n.bytes[off+i], n.here[off+i] = v, true
		}
	}
}

// The first bytes that arrive for an offset stay, and the islands are what is there, whatever comes in
// which order.
func TestReassemblyAgainstBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r reassembly
		var n naive
		defer r.drop()
		nxt := 1
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if nxt > 3300 {
				break
			}
			off := rapid.IntRange(nxt, min(nxt+600, 3400)).Draw(t, "off")
			size := rapid.IntRange(1, min(600, 4000-off)).Draw(t, "len")
			b := make([]byte, size)
			v := byte(rapid.IntRange(0, 255).Draw(t, "value"))
			for i := range b {
				b[i] = v + byte(i)
			}
			ref := pool.Ref{}
			if rapid.Bool().Draw(t, "large chunk") {
				ref = pool.Copy(b)
			} else {
				c := pool.Get(pool.MaxSize)
				ref = pool.Ref{C: c, B: c.Bytes()[:copy(c.Bytes(), b)]}
			}
			require.True(t, r.add(uint64(off), ref, math.MaxInt))
			ref.Release()
			n.add(off, b)
			require.Equal(t, n.islands(), r.ranges())
			held := 0
			for _, h := range n.here[nxt:] {
				if h {
					held++
				}
			}
			require.Equal(t, held, r.bytes)
			if rapid.Bool().Draw(t, "read") {
				for {
					p, ok := r.next(uint64(nxt))
					if !ok {
						break
					}
					require.Equal(t, n.bytes[nxt:nxt+len(p.B)], p.B)
					for i := range p.B {
						n.here[nxt+i] = false
					}
					nxt += len(p.B)
					p.Release()
				}
				require.False(t, n.here[nxt], "everything in order was read")
				r.passed(uint64(nxt))
			}
			require.Equal(t, r.bytes == 0, r.memory == 0)
		}
	})
}

func (n *naive) islands() (out []Range) {
	for i := 1; i < len(n.here); i++ {
		if n.here[i] && !n.here[i-1] {
			out = append(out, Range{From: uint64(i)})
		}
		if !n.here[i] && n.here[i-1] {
			out[len(out)-1].To = uint64(i)
		}
	}
	return out
}

func (r *reassembly) ranges() (out []Range) {
	for _, i := range r.islands {
		out = append(out, i.Range)
	}
	return out
}

func TestReassemblyIsBounded(t *testing.T) {
	var r reassembly
	defer r.drop()
	taken := 0
	for i := range 10_000 {
		p := pool.Copy([]byte{1})
		if r.add(uint64(2+2*i), p, 1<<30) {
			taken++
		}
		p.Release()
	}
	require.Equal(t, maxIslands, taken, "entries")
	r.drop()
	const limit = 100 << 10
	for i := range 10_000 {
		p := pool.Copy(make([]byte, 1460))
		r.add(uint64(2+1460*i), p, limit)
		p.Release()
	}
	require.LessOrEqual(t, r.memory, limit)
	require.Greater(t, r.memory, limit-4096)
}

// A peer that sends single bytes must not cost a chunk for each.
func TestSmallSegmentsShareChunks(t *testing.T) {
	var r reassembly
	defer r.drop()
	for i := range 2000 {
		p := pool.Copy([]byte{byte(i)})
		require.True(t, r.add(uint64(2+i), p, 1<<20))
		p.Release()
	}
	require.Equal(t, 1, r.pieces.Len())
	require.Equal(t, pool.Sizes[0], r.memory)
}
