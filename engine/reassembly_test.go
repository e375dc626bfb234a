package engine

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// meter is a Memory with a limit that counts.
type meter struct{ used, limit int64 }

func (m *meter) Grab(n int64) bool {
	if m.used+n > m.limit {
		return false
	}
	m.used += n
	return true
}

func (m *meter) Free(n int64) { m.used -= n }

// fullChunk is a reference to n bytes of a fresh chunk of at least the given capacity.
func fullChunk(capacity int, b []byte) pool.Ref {
	c := pool.Get(max(capacity, len(b)))
	return pool.Ref{C: c, B: c.Bytes()[:copy(c.Bytes(), b)]}
}

// pattern is n bytes of the stream as they look from dsn on.
func pattern(dsn uint64, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		x := dsn + uint64(i)
		b[i] = byte(x*7 + x>>8)
	}
	return b
}

// refCost recomputes what a sequence of refs pins, neighbours in one chunk counted once.
func refCost(refs []pool.Ref) (cost int64) {
	var prev *pool.Chunk
	for _, p := range refs {
		if p.C != nil && p.C != prev {
			cost += int64(p.C.Cap())
		}
		prev = p.C
	}
	return cost
}

// checkReassembly holds the books of r against what it really has.
func checkReassembly(t require.TestingT, r *reassembly) {
	var queued, stored []pool.Ref
	n := 0
	for i := range r.queue.refs.Len() {
		queued = append(queued, *r.queue.refs.At(i))
		n += queued[i].Len()
	}
	require.Equal(t, n, r.buffered())
	require.Equal(t, refCost(queued), r.queue.pinned)
	var behind int64
	for i := range r.store.entries.Len() {
		e := r.store.entries.At(i)
		at := r.nxt
		if i > 0 {
			at = r.store.entries.At(i - 1).end()
		}
		require.Positive(t, e.n)
		require.GreaterOrEqual(t, int64(e.dsn-at), int64(0), "sorted, not overlapping")
		require.True(t, i > 0 || e.dsn != at, "nothing in order stays in the store")
		if !r.discard {
			require.Equal(t, e.n, e.p.Len())
		}
		stored = append(stored, e.p)
		behind += int64(e.n)
	}
	require.Equal(t, behind, r.outOfOrder())
	require.Equal(t, distinctCost(stored), r.store.pinned)
	require.LessOrEqual(t, r.store.entries.Len(), maxOutOfOrder)
	require.Equal(t, r.pinned(), r.budget.held)
	if m, ok := r.budget.mem.(*meter); ok {
		require.Equal(t, r.budget.held-r.budget.over, m.used)
	}
}

// distinctCost recomputes what refs pin, each chunk counted once.
func distinctCost(refs []pool.Ref) (cost int64) {
	seen := map[*pool.Chunk]bool{}
	for _, p := range refs {
		if p.C != nil && !seen[p.C] {
			seen[p.C] = true
			cost += int64(p.C.Cap())
		}
	}
	return cost
}

// Pieces that two paths bring in turns, each out of a chunk of its own: no chunk counts once for every piece in it.
func TestPiecesOfTwoPathsInTurnsCountTheirChunksOnce(t *testing.T) {
	var r reassembly
	r.init(0, nil)
	const n, size = 6, pool.MaxSize / 3 // too long to be packed
	chunks := [2]pool.Ref{fullChunk(pool.MaxSize, nil), fullChunk(pool.MaxSize, nil)}
	for i := range n {
		c := chunks[i%2].C
		at := i / 2 * size
		_, _, dropped := r.insert(uint64(1+i*size), pool.Ref{C: c, B: c.Bytes()[at : at+size]}.Retain())
		require.Zero(t, dropped, "piece %d", i)
	}
	checkReassembly(t, &r)
	require.EqualValues(t, 2*pool.MaxSize, r.pinned())
	chunks[0].Release()
	chunks[1].Release()
	r.drop()
}

func TestRFC8684Section334InOrderAndOutOfOrder(t *testing.T) {
	type in struct {
		at, n               int
		inOrder, dup, dropd int
	}
	for _, c := range []struct {
		name  string
		in    []in
		ready int
	}{
		{"in order", []in{{0, 10, 10, 0, 0}, {10, 5, 5, 0, 0}}, 15},
		{"hole filled", []in{{10, 10, 0, 0, 0}, {0, 10, 20, 0, 0}}, 20},
		{"wholly old", []in{{0, 10, 10, 0, 0}, {2, 5, 0, 5, 0}}, 10},
		{"old head", []in{{0, 10, 10, 0, 0}, {5, 10, 5, 5, 0}}, 15},
		{"window probe: one old byte (Linux)", []in{{0, 10, 10, 0, 0}, {9, 1, 0, 1, 0}}, 10},
		{"before the first byte", []in{{-5, 5, 0, 5, 0}, {-5, 8, 3, 5, 0}}, 3},
		{"same hole twice", []in{{10, 10, 0, 0, 0}, {10, 10, 0, 10, 0}}, 0},
		{"tail known", []in{{10, 10, 0, 0, 0}, {0, 15, 20, 5, 0}}, 20},
		{"spans two entries", []in{{10, 5, 0, 0, 0}, {20, 5, 0, 0, 0}, {0, 30, 30, 10, 0}}, 30},
		{"spans entries out of order", []in{{10, 5, 0, 0, 0}, {20, 5, 0, 0, 0}, {5, 30, 0, 10, 0}, {0, 5, 35, 0, 0}}, 35},
		{"inside an entry", []in{{10, 20, 0, 0, 0}, {15, 5, 0, 5, 0}}, 0},
		{"empty", []in{{0, 0, 0, 0, 0}}, 0},
	} {
		for _, base := range []uint64{1, 1<<32 - 7, ^uint64(0) - 11} {
			t.Run(c.name, func(t *testing.T) {
				start := pool.Outstanding()
				mem := &meter{limit: 1 << 30}
				var r reassembly
				r.init(base, mem)
				for _, s := range c.in {
					dsn := base + uint64(s.at)
					n, dup, dropped := r.insert(dsn, pool.Copy(pattern(dsn, s.n)))
					require.Equal(t, []int{s.inOrder, s.dup, s.dropd}, []int{n, dup, dropped})
					checkReassembly(t, &r)
				}
				require.Equal(t, base+uint64(c.ready), r.rcvNxt())
				got := make([]byte, 100)
				n := r.read(got)
				require.Equal(t, pattern(base, c.ready), got[:n])
				r.drop()
				require.Zero(t, mem.used)
				require.Equal(t, start, pool.Outstanding())
			})
		}
	}
}

// "an implementation SHOULD treat the first data that is received at a subflow for the data sequence
// space as the data that should be delivered".
func TestRFC8684Section331FirstDataWins(t *testing.T) {
	var r reassembly
	r.init(0, nil)
	r.insert(4, pool.Copy([]byte("first")))
	r.insert(2, pool.Copy([]byte("..SECOND..")))
	r.insert(0, pool.Copy([]byte("ab+++")))
	got := make([]byte, 20)
	require.Equal(t, "ab..firstD..", string(got[:r.read(got)]))
}

func TestInWindow(t *testing.T) {
	edge := uint64(5) // just beyond the wrap of sequence space
	require.Equal(t, 10, inWindow(edge-10, 10, edge))
	require.Equal(t, 10, inWindow(edge-10, 11, edge))
	require.Equal(t, 0, inWindow(edge, 1, edge))
	require.Equal(t, 0, inWindow(edge+1, 1, edge))
	require.Equal(t, 7, inWindow(edge-1<<40, 7, edge))
}

func TestOneByteMappingsAtEverySecondSequenceNumber(t *testing.T) {
	start := pool.Outstanding()
	mem := &meter{limit: 1 << 30}
	var r reassembly
	r.init(0, mem)
	dropped := 0
	for i := range maxOutOfOrder + 1000 {
		dsn := uint64(2*i + 1)
		_, _, d := r.insert(dsn, fullChunk(pool.Sizes[0], pattern(dsn, 1)))
		dropped += d
	}
	checkReassembly(t, &r)
	require.Equal(t, int64(maxOutOfOrder), r.outOfOrder())
	require.Equal(t, 1000, dropped)
	require.LessOrEqual(t, r.pinned(), int64(packSlack+pool.MaxSize+2*packSize))
	r.drop()
	require.Equal(t, start, pool.Outstanding())
	require.Zero(t, mem.used)
}

func TestHolesThatKeepPackedChunksAliveAreBounded(t *testing.T) {
	var r reassembly
	r.init(0, nil)
	// One far byte, then as many near bytes as fill the rest of a packed chunk, which are consumed
	// at once: each round would leave a chunk behind for one byte.
	far, near := uint64(1<<30), uint64(1)
	for range 400 {
		r.insert(far, fullChunk(pool.MaxSize, pattern(far, 1)))
		far -= 2
		for range 2 {
			n := packSize/2 - 1
			r.insert(near, fullChunk(pool.MaxSize, pattern(near, n)))
			near += uint64(n)
		}
		r.insert(r.rcvNxt(), pool.Copy(pattern(r.rcvNxt(), 1)))
		r.read(make([]byte, packSize))
		near = r.rcvNxt() + 1
		checkReassembly(t, &r)
		require.LessOrEqual(t, r.store.pinned, int64(dropSlack+dropRatio*packSize+pool.MaxSize))
	}
	r.drop()
}

func TestInOrderBytesOfShortPiecesDoNotPinTheirChunks(t *testing.T) {
	start := pool.Outstanding()
	var r reassembly
	r.init(0, nil)
	const n = 20_000
	for i := range n {
		r.insert(uint64(i), fullChunk(pool.Sizes[0], pattern(uint64(i), 1)))
	}
	require.Equal(t, n, r.buffered())
	require.LessOrEqual(t, r.pinned(), int64(packSlack+packRatio*n+packSize))
	require.Less(t, r.queue.refs.Len(), 200)
	checkReassembly(t, &r)
	got := make([]byte, n)
	require.Equal(t, n, r.read(got))
	require.True(t, bytes.Equal(pattern(0, n), got))
	require.Equal(t, start, pool.Outstanding())
}

func TestMemoryLimitDropsOutOfOrderButNeverInOrderData(t *testing.T) {
	start := pool.Outstanding()
	mem := &meter{limit: 2 * int64(pool.Sizes[0])}
	var r reassembly
	r.init(0, mem)
	for i := range 4 {
		dsn := uint64(3000 + 1500*i)
		_, _, dropped := r.insert(dsn, pool.Copy(pattern(dsn, 1500)))
		require.Equal(t, 1500*(i/2), dropped*(i/2))
	}
	require.Equal(t, int64(3000), r.outOfOrder())
	n, _, _ := r.insert(0, pool.Copy(pattern(0, 1500)))
	require.Equal(t, 1500, n)
	checkReassembly(t, &r)
	n, _, _ = r.insert(1500, pool.Copy(pattern(1500, 1500)))
	require.Equal(t, 4500, n)
	checkReassembly(t, &r)
	got := make([]byte, 6000)
	require.Equal(t, pattern(0, 6000), got[:r.read(got)])
	require.Zero(t, mem.used)
	require.Zero(t, r.budget.held)
	require.Zero(t, r.budget.over)
	require.Equal(t, start, pool.Outstanding())
}

func TestDroppedReassemblyStillCounts(t *testing.T) {
	start := pool.Outstanding()
	var r reassembly
	r.init(100, nil)
	r.insert(100, pool.Copy(pattern(100, 10)))
	r.insert(120, pool.Copy(pattern(120, 10)))
	r.drop()
	require.Equal(t, start, pool.Outstanding())
	require.Zero(t, r.buffered())
	n, _, _ := r.insert(110, pool.Copy(pattern(110, 15)))
	require.Equal(t, 20, n)
	for i := range 10 {
		r.insert(uint64(200+i), pool.Copy([]byte{1}))
	}
	require.Equal(t, 1, r.store.entries.Len())
	require.Equal(t, uint64(130), r.rcvNxt())
	require.Zero(t, r.buffered())
	require.Equal(t, start, pool.Outstanding())
}

func TestDirectBytesPullAndSupersede(t *testing.T) {
	start := pool.Outstanding()
	var r reassembly
	r.init(0, nil)
	for _, at := range []uint64{10, 25, 40} {
		r.insert(at, pool.Copy(pattern(at, 10)))
	}
	r.direct(30) // all of the first piece, half of the second
	checkReassembly(t, &r)
	require.Equal(t, uint64(35), r.rcvNxt())
	p, ok := r.next()
	require.True(t, ok)
	require.Equal(t, pattern(30, 5), p.B)
	p.Release()
	_, ok = r.next()
	require.False(t, ok)
	r.drop()
	require.Equal(t, start, pool.Outstanding())
}

// modelReassembly is the naive model: a byte per sequence number.
func modelReassembly(t require.TestingT, base uint64, ops []byte) {
	start := pool.Outstanding()
	const window = 1 << 12
	mem := &meter{limit: 1 << 17}
	var r reassembly
	r.init(base, mem)
	seen := map[uint64]byte{}
	nxt, read := base, base
	gone := false
	for len(ops) >= 4 {
		op, a, b, v := ops[0], int(ops[1]), int(ops[2]), ops[3]
		ops = ops[4:]
		switch op % 8 {
		case 6: // read
			buf := make([]byte, a*4)
			for _, x := range buf[:r.read(buf)] {
				require.Equal(t, seen[read], x)
				read++
			}
		case 7:
			switch {
			case a < 4:
				r.drop()
				gone = true
			case !gone && r.buffered() == 0:
				for i := range b {
					if _, ok := seen[nxt+uint64(i)]; !ok {
						seen[nxt+uint64(i)] = 0
					}
				}
				r.direct(b)
				read += uint64(b)
				for ; int64(read-nxt) > 0 || has(seen, nxt); nxt++ {
				}
			}
		default:
			size := b + 1
			if op&0x80 != 0 {
				size *= 40
			}
			dsn := nxt + uint64(a*16) - 256
			size = min(size, inWindow(dsn, size, nxt+window))
			data := bytes.Repeat([]byte{v}, size)
			had := 0
			held := r.outOfOrder() + int64(r.rcvNxt()-base)
			inOrder, dup, dropped := r.insert(dsn, fullChunk(pool.Sizes[int(op>>3)%3], data))
			for i := range data {
				x := dsn + uint64(i)
				if int64(x-nxt) < 0 || has(seen, x) {
					had++
				} else if dropped == 0 {
					seen[x] = v
				}
			}
			require.Equal(t, had, dup)
			require.Equal(t, int64(size-dup-dropped), r.outOfOrder()+int64(r.rcvNxt()-base)-held)
			if dropped > 0 { // ask the store what it kept
				require.Greater(t, mem.used, mem.limit/4)
				relearn(&r, seen, nxt, v)
			}
			before := nxt
			for has(seen, nxt) {
				nxt++
			}
			require.Equal(t, int(nxt-before), inOrder)
		}
		require.Equal(t, nxt, r.rcvNxt())
		if !gone {
			require.Equal(t, int(nxt-read), r.buffered())
		}
		require.LessOrEqual(t, r.store.pinned, int64(dropSlack+dropRatio*window))
		checkReassembly(t, &r)
	}
	r.drop()
	require.Zero(t, mem.used)
	require.Equal(t, start, pool.Outstanding())
}

func has(m map[uint64]byte, x uint64) bool { _, ok := m[x]; return ok }

// relearn adds to the model what the store kept of a piece of which it dropped a part.
func relearn(r *reassembly, seen map[uint64]byte, from uint64, v byte) {
	learn := func(x uint64) {
		if !has(seen, x) {
			seen[x] = v
		}
	}
	for x := from; x != r.rcvNxt(); x++ {
		learn(x)
	}
	for i := range r.store.entries.Len() {
		e := r.store.entries.At(i)
		for x := e.dsn; x != e.end(); x++ {
			learn(x)
		}
	}
}

func FuzzReassembly(f *testing.F) {
	f.Add(uint64(1), []byte{0, 16, 9, 1, 0, 18, 9, 2, 0, 16, 40, 3, 6, 20, 0, 0, 7, 9, 30, 0})
	f.Add(^uint64(100), []byte{0x88, 30, 200, 1, 0x88, 20, 200, 2, 0x80, 16, 255, 3, 6, 255, 0, 0, 7, 0, 0, 0, 1, 16, 3, 1})
	f.Add(uint64(1<<32-50), bytes.Repeat([]byte{0x10, 40, 0, 5, 0x10, 80, 0, 6, 2, 16, 0, 1}, 40))
	f.Fuzz(func(t *testing.T, base uint64, ops []byte) {
		modelReassembly(t, base, ops[:min(len(ops), 4000)])
	})
}

func TestReassemblyProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Uint64().Draw(t, "base")
		modelReassembly(t, base, rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(t, "ops"))
	})
}

func BenchmarkReassemblyInOrder(b *testing.B) {
	var r reassembly
	r.init(1, &meter{limit: 1 << 40})
	c := pool.Get(pool.MaxSize)
	buf := make([]byte, pool.MaxSize)
	b.SetBytes(pool.MaxSize)
	b.ReportAllocs()
	for b.Loop() {
		r.insert(r.rcvNxt(), pool.Ref{C: c, B: c.Bytes()}.Retain())
		r.read(buf)
	}
}

func BenchmarkReassemblyTwoPaths(b *testing.B) {
	var r reassembly
	r.init(1, &meter{limit: 1 << 40})
	c := pool.Get(pool.MaxSize)
	piece := pool.Ref{C: c, B: c.Bytes()[:1460]}
	b.SetBytes(64 * 1460)
	b.ReportAllocs()
	for b.Loop() {
		at := r.rcvNxt()
		for i := range 32 { // the slow path has the first half, and comes second
			r.insert(at+uint64((32+i)*1460), piece.Retain())
		}
		for i := range 32 {
			r.insert(at+uint64(i*1460), piece.Retain())
		}
		for p, ok := r.next(); ok; p, ok = r.next() {
			p.Release()
		}
	}
}
