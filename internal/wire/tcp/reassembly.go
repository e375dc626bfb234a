package tcp

import (
	"slices"
	"sort"

	"github.com/mptcp-go/mptcp/internal/deque"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/recovery"
)

// Range is a run of offsets.
type Range = recovery.Range

// maxIslands bounds how many separate runs of bytes wait for what is missing before them. A segment that
// would make one more is dropped, as if it had been lost: what SACK has promised is never thrown away.
const maxIslands = 256

// reassembly holds what arrived out of order. Of bytes that arrive twice the first ones stay: a segment is
// cut to what is not there yet, so that nobody can swap bytes that have been acknowledged selectively.
type reassembly struct {
	pieces  deque.Deque[piece] // ascending, not overlapping
	islands []island           // the runs that the pieces make, ascending, not touching
	serial  uint64             // of the newest arrival
	bytes   int                // payload held
	memory  int                // what the chunks of the pieces take
}

// piece is a stretch of payload.
type piece struct {
	off uint64
	ref pool.Ref
	own bool // the chunk is ours alone: there may be room behind the bytes
}

func (p *piece) end() uint64 { return p.off + uint64(len(p.ref.B)) }

// island is a run of bytes without a gap.
type island struct {
	Range
	serial uint64 // of the newest segment in it: RFC 2018 section 4 reports that one first
	told   bool   // the peer has been told of it as it is
}

// add takes what of p, which begins at off, is new. It keeps references of its own. Memory beyond limit is
// not taken: then, or with too many islands, it says false and has done nothing.
func (r *reassembly) add(off uint64, p pool.Ref, limit int) bool {
	if p.Loan() != nil {
		p = p.Own()
		defer p.Release()
	}
	to := off + uint64(len(p.B))
	if !r.fits(off, to, cost(p), limit) {
		return false
	}
	r.serial++
	for from := off; from < to; {
		i := sort.Search(r.pieces.Len(), func(i int) bool { return r.pieces.At(i).end() > from })
		gap := to
		if i < r.pieces.Len() {
			next := r.pieces.At(i)
			if next.off <= from {
				from = next.end()
				continue
			}
			gap = min(gap, next.off)
		}
		r.put(i, from, p.Slice(int(from-off), int(gap-off)))
		from = gap
	}
	r.mark(off, to)
	return true
}

// cost is what keeping p takes: a chunk of which it fills too little is not kept, its bytes are copied.
func cost(p pool.Ref) int {
	n := len(p.B)
	if !wasteful(p) {
		return p.C.Cap()
	}
	for _, size := range pool.Sizes {
		if n <= size {
			return size
		}
	}
	return n
}

func wasteful(p pool.Ref) bool { return p.C == nil || 4*len(p.B) < p.C.Cap() }

// fits says whether the run [from, to) may be added.
func (r *reassembly) fits(from, to uint64, cost, limit int) bool {
	if r.memory+cost > limit {
		return false
	}
	if len(r.islands) < maxIslands {
		return true
	}
	i := r.islandAt(from)
	return i < len(r.islands) && r.islands[i].From <= to
}

// put inserts p, all of which is new, before the i-th piece.
func (r *reassembly) put(i int, off uint64, p pool.Ref) {
	r.bytes += len(p.B)
	if !wasteful(p) {
		r.memory += p.C.Cap()
		r.insert(i, piece{off: off, ref: p.Retain()})
		return
	}
	if i > 0 {
		prev := r.pieces.At(i - 1)
		if n := len(prev.ref.B); prev.own && prev.end() == off && n+len(p.B) <= prev.ref.C.Cap() {
			b := prev.ref.C.Bytes()
			copy(b[n:], p.B)
			prev.ref.B = b[:n+len(p.B)]
			return
		}
	}
	p = pool.Copy(p.B)
	r.memory += p.C.Cap()
	r.insert(i, piece{off: off, ref: p, own: true})
}

func (r *reassembly) insert(i int, p piece) {
	if i == r.pieces.Len() {
		r.pieces.Push(p)
		return
	}
	r.pieces.Insert(i, p)
}

// islandAt is the index of the first island that ends at from or later.
func (r *reassembly) islandAt(from uint64) int {
	return sort.Search(len(r.islands), func(i int) bool { return r.islands[i].To >= from })
}

// mark notes that [from, to) is here, and melts what it touches into one island.
func (r *reassembly) mark(from, to uint64) {
	i := r.islandAt(from)
	j := i
	for j < len(r.islands) && r.islands[j].From <= to {
		from, to = min(from, r.islands[j].From), max(to, r.islands[j].To)
		j++
	}
	whole := island{Range: Range{From: from, To: to}, serial: r.serial}
	if i == j {
		r.islands = append(r.islands, island{})
		copy(r.islands[i+1:], r.islands[i:])
		r.islands[i] = whole
		return
	}
	r.islands[i] = whole
	r.islands = append(r.islands[:i+1], r.islands[j:]...)
}

// next takes the first piece off if it has bytes at nxt, cut to what comes from there on. Pieces that lie
// wholly before are released on the way.
func (r *reassembly) next(nxt uint64) (pool.Ref, bool) {
	for r.pieces.Len() > 0 && r.pieces.At(0).off <= nxt {
		p := r.pieces.Pop()
		r.bytes -= len(p.ref.B)
		r.memory -= p.ref.C.Cap()
		if p.end() > nxt {
			return p.ref.Slice(int(nxt-p.off), len(p.ref.B)), true
		}
		p.ref.Release()
	}
	return pool.Ref{}, false
}

// passed forgets the islands before nxt: they are delivered.
func (r *reassembly) passed(nxt uint64) {
	i := 0
	for i < len(r.islands) && r.islands[i].To <= nxt {
		i++
	}
	if i > 0 {
		r.islands = append(r.islands[:0], r.islands[i:]...)
	}
	if len(r.islands) > 0 && r.islands[0].From < nxt {
		r.islands[0].From = nxt
	}
}

// has says whether all of [from, to) is here.
func (r *reassembly) has(from, to uint64) bool {
	i := r.islandAt(from)
	return i < len(r.islands) && r.islands[i].From <= from && to <= r.islands[i].To
}

// newest fills dst with islands, the one that changed last first: "The first SACK block … MUST specify the
// contiguous block of data containing the segment which triggered this ACK" (RFC 2018 section 4). Where several
// have changed since the last ACK and do not all fit, those come first that have not been told.
func (r *reassembly) newest(dst []Range) int {
	for n := range dst {
		best := -1
		for i := range r.islands {
			if !slices.Contains(dst[:n], r.islands[i].Range) && (best < 0 || r.islands[i].before(&r.islands[best])) {
				best = i
			}
		}
		if best < 0 {
			return n
		}
		r.islands[best].told = true
		dst[n] = r.islands[best].Range
	}
	return len(dst)
}

// before says whether x is to be reported before y.
func (x *island) before(y *island) bool {
	if x.told != y.told {
		return y.told
	}
	return x.serial > y.serial
}

// news says whether there is an island that the peer has not been told of as it is.
func (r *reassembly) news() bool {
	for i := range r.islands {
		if !r.islands[i].told {
			return true
		}
	}
	return false
}

// drop releases everything.
func (r *reassembly) drop() {
	for r.pieces.Len() > 0 {
		r.pieces.Pop().ref.Release()
	}
	*r = reassembly{}
}
