package wire

import (
	"testing"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Whatever the order in which segments are cut, declared, sent again and acknowledged: every byte keeps its
// data sequence number, a mapping that was declared stays as it is, and no segment crosses two.
func TestMappingsKeepTheirShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m txMappings
		var dsn []uint64 // of each byte; the first has offset 1
		declared := map[uint64]txMapping{}
		next, sent, una := uint64(1000), uint64(1), uint64(1)
		checksum := rapid.Bool().Draw(t, "checksum")
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				n := rapid.SampledFrom([]int{1, 100, 1448, 20000, 32768}).Draw(t, "n")
				if rapid.IntRange(0, 4).Draw(t, "gap") == 0 {
					next += 7 // what went to another subflow
				}
				m.push(engine.Mapping{DSN: next, SSN: uint32(m.next()), Len: n, HasChecksum: checksum})
				for range n {
					dsn = append(dsn, next)
					next++
				}
			case 1, 2: // new data, or, from the front, old data
				off := sent
				if rapid.Bool().Draw(t, "again") {
					off = una
				}
				left := int(uint64(len(dsn)) + 1 - off)
				if left <= 0 {
					continue
				}
				n := min(left, rapid.SampledFrom([]int{536, 1448, 64 * 1024}).Draw(t, "size"))
				n = m.limit(off, n, n)
				require.Positive(t, n)
				x := *m.declare(off, n)
				require.LessOrEqual(t, off+uint64(n), x.end(), "one mapping for all of it")
				require.LessOrEqual(t, x.n, maxDataLen)
				for i := range n {
					require.Equal(t, dsn[off-1+uint64(i)], x.dsn+(off-x.off)+uint64(i))
				}
				if old, ok := declared[x.off]; ok {
					require.Equal(t, old, x)
				}
				declared[x.off] = x
				sent = max(sent, off+uint64(n))
			case 3:
				una += rapid.Uint64Range(0, sent-una).Draw(t, "acked")
				m.ack(una)
			}
		}
	})
}

// Small writes that wait together leave under one mapping, up to what its length counts, which ends where a
// segment does.
func TestMappingsAreLong(t *testing.T) {
	var m txMappings
	for i := range 10 {
		m.push(engine.Mapping{DSN: 5 + uint64(i)*20000, Len: 20000})
	}
	require.Equal(t, 1448, m.limit(1, 1448, 1448))
	x := *m.declare(1, 1448)
	require.Equal(t, 65535/1448*1448, x.n)
	y := *m.declare(x.end(), 1448)
	require.Equal(t, x.dsn+uint64(x.n), y.dsn)
	m.push(engine.Mapping{DSN: 5 + 200000, Len: 10, DataFIN: true})
	z := m.declare(y.end(), 1448)
	require.False(t, z.fin, "the DATA_FIN is behind the last byte")
	z = m.declare(z.end(), 1448)
	require.True(t, z.fin)
	require.EqualValues(t, z.n+1, z.dataLen())
	require.Equal(t, m.end, z.end())
}

// A mapping that has not begun takes what follows on it, one that is declared or has a checksum or a DATA_FIN does not.
func TestMappingsThatGrow(t *testing.T) {
	for name, m := range map[string]engine.Mapping{"plain": {}, "checksum": {HasChecksum: true}, "DATA_FIN": {DataFIN: true}} {
		t.Run(name, func(t *testing.T) {
			var x txMappings
			m.DSN, m.Len = 5, 100
			x.push(m)
			want := 100
			if name == "plain" {
				want = 5000
			}
			require.Equal(t, want, x.limit(1, 5000, 5000))
			x.declare(1, 100)
			require.Equal(t, 100, x.limit(1, 5000, 5000))
		})
	}
}
