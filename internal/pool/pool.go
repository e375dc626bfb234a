// Package pool holds the buffers that payload travels in: reference-counted chunks in three size
// classes. A chunk goes back to its class when its last reference is released.
//
// Under -race a released chunk is poisoned, so that a use after release shows up as wrong bytes,
// and Outstanding counts the chunks that nobody has released yet, so that tests can find leaks.
package pool

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Sizes are the capacities of the classes, in bytes, ascending. The largest holds the payload of one
// record (65,535 bytes, the limit of a DSS's 16-bit data-level length, RFC 8684 section 3.3).
var Sizes = [...]int{2 << 10, 16 << 10, 64 << 10}

// MaxSize is the largest capacity that Get hands out.
const MaxSize = 64 << 10

var (
	classes     [len(Sizes)]sync.Pool
	outstanding atomic.Int64
)

// Chunk is a reference-counted buffer. It is safe to retain and release from any goroutine; the
// bytes have one writer at a time, who writes only where no reader looks yet.
type Chunk struct {
	b     []byte
	refs  atomic.Int32
	class int
	loan  *Loan // whose memory b is, if it is not the pool's
}

// Get returns a chunk of capacity at least size (at most MaxSize) with one reference.
func Get(size int) *Chunk {
	for i, s := range Sizes {
		if size > s {
			continue
		}
		c, _ := classes[i].Get().(*Chunk)
		if c == nil {
			c = &Chunk{b: make([]byte, s), class: i}
		}
		c.refs.Store(1)
		outstanding.Add(1)
		return c
	}
	panic(fmt.Sprintf("pool: no chunk holds %d bytes", size))
}

// Bytes is the whole buffer, capacity and length alike.
func (c *Chunk) Bytes() []byte { return c.b }

// Cap is the chunk's capacity in bytes: what it costs in memory, however little of it is used.
func (c *Chunk) Cap() int { return len(c.b) }

// Retain adds a reference. What is lent can't be kept: see Ref.Retain.
func (c *Chunk) Retain() {
	if c.loan != nil {
		panic("pool: retain of what is lent")
	}
	if c.refs.Add(1) <= 1 {
		panic("pool: retain after release")
	}
}

// Release drops a reference; the last one puts the chunk back.
func (c *Chunk) Release() {
	if c.loan != nil {
		return
	}
	switch n := c.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("pool: released twice")
	}
	outstanding.Add(-1)
	poison(c.b)
	classes[c.class].Put(c)
}

// Outstanding is the number of chunks that somebody still holds. At the end of a test binary it is 0.
func Outstanding() int64 { return outstanding.Load() }

// Ref is a range of bytes in a chunk. The zero Ref is empty and belongs to no chunk. Copying a Ref
// does not add a reference: whoever keeps one calls Retain.
type Ref struct {
	C *Chunk
	B []byte
}

// Retain adds a reference to the chunk, if there is one, and returns r; of what is lent it returns a copy.
func (r Ref) Retain() Ref {
	switch {
	case r.Loan() != nil:
		return Copy(r.B)
	case r.C != nil:
		r.C.Retain()
	}
	return r
}

// Release drops a reference.
func (r Ref) Release() {
	if r.C != nil {
		r.C.Release()
	}
}

// Len is the number of bytes.
func (r Ref) Len() int { return len(r.B) }

// Slice is the range [from, to) of r, on the same reference.
func (r Ref) Slice(from, to int) Ref { return Ref{C: r.C, B: r.B[from:to:to]} }

// Copy returns a Ref to a fresh chunk that holds a copy of b (at most MaxSize bytes).
func Copy(b []byte) Ref {
	c := Get(len(b))
	return Ref{C: c, B: c.b[:copy(c.b, b)]}
}
