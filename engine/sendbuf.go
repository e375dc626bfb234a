package engine

import (
	"github.com/mptcp-go/mptcp/internal/pool"
)

// maxMapping is the most payload that one mapping covers: half of the largest chunk, so that a chunk
// which the application fills with one 64-KiB write splits into two equal records rather than one of
// 65,535 bytes (the limit of a DSS's length, RFC 8684 section 3.3.1) and one of a single byte.
const maxMapping = pool.MaxSize / 2

// sendBuffer holds what the application wrote and the peer has not DATA_ACKed: bytes una to end of
// the data sequence space, of which those below nxt are mapped to subflows.
type sendBuffer struct {
	chunks []sendChunk // in order; chunks[head:] are in use
	head   int
	first  uint64 // the first byte ever
	una    uint64 // oldest byte not DATA_ACKed
	nxt    uint64 // next byte to be mapped
	end    uint64 // next byte the application writes
	limit  int64  // bytes between una and end at the most
	mem    Memory // the chunks' capacity is charged to it; nil: unlimited
	last   byte   // the byte before una: what a window probe repeats (see persist.go)
	broke  bool   // the budget had nothing left, and nothing has been acknowledged since
}

type sendChunk struct {
	c     *pool.Chunk
	start uint64 // data sequence number of its first byte
	n     int    // bytes in use
	free  bool   // not charged to the memory budget
}

func (b *sendBuffer) init(first uint64, limit int64, mem Memory) {
	b.first, b.una, b.nxt, b.end = first, first, first, first
	b.limit, b.mem = limit, mem
}

func (b *sendBuffer) unsent() int64  { return int64(b.end - b.nxt) }
func (b *sendBuffer) unacked() int64 { return int64(b.nxt - b.una) }
func (b *sendBuffer) size() int64    { return int64(b.end - b.una) }

// Backlog is how many written bytes no subflow has been given yet.
func (c *Conn) Backlog() int64 { return c.snd.unsent() }

// Unacknowledged is how many bytes subflows have been given that are not DATA_ACKed.
func (c *Conn) Unacknowledged() int64 { return c.snd.unacked() }

// backlog is how many bytes may wait unsent: what keeps the flows busy while the application is woken. More would only be
// memory that has left the caches by the time it is sent.
const backlog = 1 << 20

// room is how many bytes write would take now, as far as is known of the memory budget: once that was used up, none until
// something is acknowledged. stuck says that nothing is under way and the peer's
// window is shut: then the buffer takes what it can.
func (b *sendBuffer) room(stuck bool) int64 {
	free := b.limit - b.size()
	if b.broke {
		return 0
	}
	if stuck {
		return free
	}
	return min(free, backlog-b.unsent())
}

// write copies what fits of p into room bytes and returns how much that was.
func (b *sendBuffer) write(p []byte, room int64) int {
	total := 0
	for len(p) > 0 && room > 0 {
		free := b.tail(len(p))
		if len(free) == 0 {
			break
		}
		n := copy(free[:min(int64(len(free)), room)], p)
		room -= int64(n)
		b.chunks[len(b.chunks)-1].n += n
		b.end += uint64(n)
		p = p[n:]
		total += n
	}
	return total
}

// tail returns the free part of the last chunk, and adds a chunk when there is none. It is empty
// when the memory budget is used up; a connection that holds nothing always gets its first chunk.
func (b *sendBuffer) tail(want int) []byte {
	if b.head < len(b.chunks) {
		t := &b.chunks[len(b.chunks)-1]
		if t.n < t.c.Cap() {
			return t.c.Bytes()[t.n:]
		}
	}
	size := want
	if b.unsent() > int64(pool.Sizes[0]) { // a backlog builds up: larger records soon
		size = pool.MaxSize
	}
	c := pool.Get(min(size, pool.MaxSize))
	free := b.mem != nil && !b.mem.Grab(int64(c.Cap()))
	if free && b.head < len(b.chunks) {
		c.Release()
		b.broke = true
		return nil
	}
	b.compact()
	b.chunks = append(b.chunks, sendChunk{c: c, start: b.end, free: free})
	return c.Bytes()
}

// append takes over a chunk that is full, unless the memory budget is used up.
func (b *sendBuffer) append(c *pool.Chunk) bool {
	if b.mem != nil && !b.mem.Grab(int64(c.Cap())) {
		return false
	}
	b.compact()
	b.chunks = append(b.chunks, sendChunk{c: c, start: b.end, n: c.Cap()})
	b.end += uint64(c.Cap())
	return true
}

// compact moves the chunks in use to the front of their array before it would grow.
func (b *sendBuffer) compact() {
	if len(b.chunks) < cap(b.chunks) || b.head == 0 {
		return
	}
	n := copy(b.chunks, b.chunks[b.head:])
	clear(b.chunks[n:])
	b.chunks, b.head = b.chunks[:n], 0
}

// ref returns the bytes from dsn on: at most max, and never across a chunk's end. The reference
// belongs to the caller.
func (b *sendBuffer) ref(dsn uint64, max int) pool.Ref {
	lo, hi := b.head, len(b.chunks)
	for lo+1 < hi { // the last chunk that starts at or before dsn
		mid := (lo + hi) / 2
		if int64(dsn-b.chunks[mid].start) >= 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	t := &b.chunks[lo]
	off := int(dsn - t.start)
	n := min(max, t.n-off)
	return pool.Ref{C: t.c, B: t.c.Bytes()[off : off+n : off+n]}.Retain()
}

// ack releases everything below dsn.
func (b *sendBuffer) ack(dsn uint64) {
	if dsn == b.una {
		return
	}
	for b.head < len(b.chunks) {
		t := &b.chunks[b.head]
		done := int64(dsn - t.start)
		if done <= 0 {
			break
		}
		b.last = t.c.Bytes()[min(int(done), t.n)-1]
		full := int(done) >= t.n
		// The last chunk stays while it has room for more, unless nothing is left to hold it for.
		if !full || (b.head == len(b.chunks)-1 && t.n < t.c.Cap() && dsn != b.end) {
			break
		}
		b.release(t)
		b.head++
	}
	b.una, b.broke = dsn, false
	if b.head == len(b.chunks) {
		b.chunks, b.head = b.chunks[:0], 0
	}
}

func (b *sendBuffer) release(t *sendChunk) {
	if b.mem != nil && !t.free {
		b.mem.Free(int64(t.c.Cap()))
	}
	t.c.Release()
	*t = sendChunk{}
}

// drop releases everything: the connection is over. The numbers stay and tell what was not delivered.
func (b *sendBuffer) drop() {
	for ; b.head < len(b.chunks); b.head++ {
		b.release(&b.chunks[b.head])
	}
	b.chunks, b.head = nil, 0
}
