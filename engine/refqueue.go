package engine

import (
	"github.com/mptcp-go/mptcp/internal/deque"
	"github.com/mptcp-go/mptcp/internal/pool"
)

// A short piece pins its whole chunk, up to 64 KiB for one byte. While what is held is little that
// does not matter and nothing is copied; beyond packSlack bytes of chunks, and more than packRatio
// bytes of chunk per byte of payload, pieces that use less than half of their chunk are copied
// together into chunks of packSize.
const (
	packSize  = 16 << 10
	packSlack = 64 << 10
	packRatio = 2
)

// chunkCost is what p costs in memory: its chunk's capacity, however little of it p uses.
func chunkCost(p pool.Ref) int64 {
	if p.C == nil {
		return 0
	}
	return int64(p.C.Cap())
}

// joinCost is what p costs when prev is held already: nothing if they share a chunk.
func joinCost(prev, p pool.Ref) int64 {
	if p.C == prev.C {
		return 0
	}
	return chunkCost(p)
}

// wasteful says whether p should be packed rather than held as it is, given what is held besides:
// pinned bytes of chunks (p's included) for payload bytes (p's included).
func wasteful(p pool.Ref, pinned int64, payload int) bool {
	return p.Len() <= packSize && packRatio*int64(p.Len()) < chunkCost(p) &&
		pinned > packSlack+packRatio*int64(payload)
}

// packer copies short pieces one behind the other into shared chunks.
type packer struct {
	c *pool.Chunk // the chunk being filled, one reference; nil: none
	n int         // bytes of it in use
}

func (k *packer) fits(n int) bool { return k.c != nil && n <= k.c.Cap()-k.n }

// add copies b, at most packSize bytes, and returns a reference to the copy.
func (k *packer) add(b []byte) pool.Ref {
	if !k.fits(len(b)) {
		k.drop()
		k.c = pool.Get(packSize)
	}
	k.c.Retain()
	from := k.n
	k.n += copy(k.c.Bytes()[from:], b)
	return pool.Ref{C: k.c, B: k.c.Bytes()[from:k.n:k.n]}
}

// extend copies b, which must fit, behind p, which must be the packer's latest piece.
func (k *packer) extend(p pool.Ref, b []byte) pool.Ref {
	from := k.n - p.Len()
	k.n += copy(k.c.Bytes()[k.n:], b)
	return pool.Ref{C: p.C, B: k.c.Bytes()[from:k.n:k.n]}
}

// undo takes back the latest n bytes, which nobody refers to any more.
func (k *packer) undo(n int) { k.n -= n }

func (k *packer) drop() {
	if k.c != nil {
		k.c.Release()
	}
	k.c, k.n = nil, 0
}

// refQueue is a byte stream held as references, first in, first out. The zero refQueue is empty.
type refQueue struct {
	refs   deque.Deque[pool.Ref]
	bytes  int
	pinned int64  // bytes of chunks behind refs; neighbours in one chunk count it once
	pack   packer // for short pieces
	packed bool   // the last ref is the packer's latest piece
}

// push appends p, whose reference it takes over.
func (q *refQueue) push(p pool.Ref) {
	n := p.Len()
	if n == 0 {
		p.Release()
		return
	}
	q.bytes += n
	cost := joinCost(q.last(), p)
	switch {
	case q.packed && packRatio*int64(n) < chunkCost(p) && q.pack.fits(n):
		// Behind a packed piece the copy costs no memory at all.
		last := q.refs.At(q.refs.Len() - 1)
		*last = q.pack.extend(*last, p.B)
		p.Release()
		return
	case wasteful(p, q.pinned+cost, q.bytes):
		c := q.pack.add(p.B)
		p.Release()
		p, cost, q.packed = c, joinCost(q.last(), c), true
	default:
		q.packed = false
	}
	q.refs.Push(p)
	q.pinned += cost
}

func (q *refQueue) last() pool.Ref {
	if n := q.refs.Len(); n > 0 {
		return *q.refs.At(n - 1)
	}
	return pool.Ref{}
}

// pop takes the first piece off, with its reference; the queue must not be empty.
func (q *refQueue) pop() pool.Ref {
	p := q.refs.Pop()
	q.bytes -= p.Len()
	if q.refs.Len() == 0 {
		q.pinned, q.packed = 0, false
		q.pack.drop()
	} else {
		q.pinned -= joinCost(*q.refs.At(0), p)
	}
	return p
}

// take takes at most n bytes of the first piece off; the result has a reference of its own.
func (q *refQueue) take(n int) pool.Ref {
	first := q.refs.At(0)
	if n >= first.Len() {
		return q.pop()
	}
	p := first.Slice(0, n).Retain()
	first.B = first.B[n:]
	q.bytes -= n
	return p
}

// read copies to b what fits and takes it off.
func (q *refQueue) read(b []byte) int {
	n := 0
	for n < len(b) && q.refs.Len() > 0 {
		first := q.refs.At(0)
		m := copy(b[n:], first.B)
		n += m
		if m == first.Len() {
			q.pop().Release()
			continue
		}
		first.B = first.B[m:]
		q.bytes -= m
	}
	return n
}

// drop releases everything.
func (q *refQueue) drop() {
	for q.refs.Len() > 0 {
		q.pop().Release()
	}
}
