package engine

import (
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/seqnum"
)

// reassembly puts the data of one connection back into order (RFC 8684 section 3.3.4: "a segment is
// placed in the connection-level in-order or out-of-order queue"). What is in order waits for the
// application, what is not waits for the bytes before it.
//
// It is bounded three times: the caller lets nothing in beyond the window's right edge (inWindow);
// the out-of-order store has a ceiling in entries and in memory per payload byte; and the chunks held
// are charged to Memory. At a bound out-of-order data is dropped, which RFC 8684 section 3.3.2
// allows: "a receiver has the freedom to drop segments after acknowledgment at the subflow level".
// It has not been DATA_ACKed, so the peer sends it again. Data at rcvNxt is always taken: only it
// can free what is held, so refusing it could block the connection for good.
type reassembly struct {
	nxt     uint64
	queue   refQueue
	store   outOfOrder
	budget  budget
	discard bool // nobody will read: count the bytes, keep none
}

// init starts an empty reassembly that expects rcvNxt. A nil mem is unlimited.
func (r *reassembly) init(rcvNxt uint64, mem Memory) {
	*r = reassembly{nxt: rcvNxt, budget: budget{mem: mem}}
}

// rcvNxt is the next data sequence number expected: the DATA_ACK, as long as no DATA_FIN is in.
func (r *reassembly) rcvNxt() uint64 { return r.nxt }

// end is where the data ends that has arrived.
func (r *reassembly) end() uint64 {
	if n := r.store.entries.Len(); n > 0 {
		return r.store.entries.At(n - 1).end()
	}
	return r.nxt
}

// buffered is the number of bytes in order that the application has not read.
func (r *reassembly) buffered() int { return r.queue.bytes }

// outOfOrder is the number of bytes held behind a hole.
func (r *reassembly) outOfOrder() int64 { return int64(r.store.bytes) }

// pinned is the memory behind all that is held, in bytes of chunks.
func (r *reassembly) pinned() int64 { return r.queue.pinned + r.store.pinned }

// inWindow is how many of the n bytes from dsn on lie below the right edge of the window; the caller
// drops the rest before insert.
func inWindow(dsn uint64, n int, rightEdge uint64) int {
	room := seqnum.Diff(rightEdge, dsn)
	return int(max(0, min(room, int64(n))))
}

// insert takes over p, whose first byte is dsn. It returns how many bytes became in order by it
// (out-of-order data behind it included), how many of p's were there already, and how many of p's were
// dropped at a bound. "An implementation SHOULD treat the first data that is received at a subflow
// for the data sequence space as the data that should be delivered to the application, and any
// subsequent data for that sequence space SHOULD be ignored" (RFC 8684 section 3.3.1).
func (r *reassembly) insert(dsn uint64, p pool.Ref) (newInOrder, dup, dropped int) {
	if dsn == r.nxt && r.store.entries.Len() == 0 {
		n := p.Len()
		r.admit(p)
		return n, 0, 0
	}
	start := r.nxt
	p, dsn, dup = r.trimOld(p, dsn)
	for p.Len() > 0 && dsn == r.nxt {
		n := p.Len()
		if r.store.entries.Len() > 0 {
			n = int(min(int64(n), seqnum.Diff(r.store.entries.At(0).dsn, dsn)))
		}
		r.admit(p.Slice(0, n).Retain())
		p.B, dsn = p.B[n:], dsn+uint64(n)
		r.pull()
		var old int
		p, dsn, old = r.trimOld(p, dsn)
		dup += old
	}
	old, dropped := r.store.insert(dsn, p, &r.budget, r.discard)
	p.Release()
	return int(r.nxt - start), dup + old, dropped
}

// trimOld cuts off what lies below rcvNxt.
func (r *reassembly) trimOld(p pool.Ref, dsn uint64) (pool.Ref, uint64, int) {
	old := int(max(0, min(seqnum.Diff(r.nxt, dsn), int64(p.Len()))))
	p.B = p.B[old:]
	return p, dsn + uint64(old), old
}

// admit queues p, which lies at rcvNxt.
func (r *reassembly) admit(p pool.Ref) {
	r.nxt += uint64(p.Len())
	if r.discard {
		p.Release()
		return
	}
	before := r.queue.pinned
	r.queue.push(p)
	r.budget.adjust(r.queue.pinned - before)
}

// pull moves to the in-order queue what has become in order, and drops what has become old.
func (r *reassembly) pull() {
	for r.store.entries.Len() > 0 && seqnum.Diff(r.store.entries.At(0).dsn, r.nxt) <= 0 {
		before := r.pinned()
		e := r.store.pop()
		old := min(seqnum.Diff(r.nxt, e.dsn), int64(e.n))
		r.nxt += uint64(int64(e.n) - old)
		if !r.discard {
			e.p.B = e.p.B[old:]
			r.queue.push(e.p)
		}
		r.budget.adjust(r.pinned() - before)
	}
}

// direct says that n bytes at rcvNxt went straight to the application, nothing being queued before
// them.
func (r *reassembly) direct(n int) {
	r.nxt += uint64(n)
	r.pull()
}

// read copies in-order bytes to b.
func (r *reassembly) read(b []byte) int {
	before := r.queue.pinned
	n := r.queue.read(b)
	r.budget.adjust(r.queue.pinned - before)
	return n
}

// next takes the next in-order piece off; the caller releases it.
func (r *reassembly) next() (pool.Ref, bool) {
	if r.queue.bytes == 0 {
		return pool.Ref{}, false
	}
	before := r.queue.pinned
	p := r.queue.pop()
	r.budget.adjust(r.queue.pinned - before)
	return p, true
}

// drop releases all data. What arrives from now on is counted, so that it is DATA_ACKed, and thrown
// away; the peer sees a receiver that reads everything.
func (r *reassembly) drop() {
	r.discard = true
	r.queue.drop()
	r.store.forget()
	r.budget.adjust(-r.budget.held)
}

// budget is one connection's account with Memory.
type budget struct {
	mem  Memory
	held int64 // bytes in use here
	over int64 // of these, what Memory refused and we had to take all the same
}

// grab asks for n bytes more.
func (b *budget) grab(n int64) bool {
	if n > 0 && b.mem != nil && !b.mem.Grab(n) {
		return false
	}
	b.held += n
	return true
}

// adjust changes the account by n bytes and does not take no for an answer.
func (b *budget) adjust(n int64) {
	switch {
	case n > 0:
		if !b.grab(n) {
			b.held += n
			b.over += n
		}
	case n < 0:
		b.held += n
		forgiven := min(b.over, -n)
		b.over -= forgiven
		if b.mem != nil && -n > forgiven {
			b.mem.Free(-n - forgiven)
		}
	}
}
