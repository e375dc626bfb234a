package recovery

import "time"

// maxRecords bounds the scoreboard. The peer can split records by its SACK blocks, the owner makes one
// for every instant at which it sends.
const maxRecords = 1 << 14

// maxRecord is the most bytes in a record that grows by what leaves at the same instant: a
// super-segment of the largest size that IP has.
const maxRecord = 64 << 10

// none is the number of no record.
const none int32 = -1

// state is where the bytes of a record are.
type state uint8

const (
	flying state = iota // in the network, as far as is known
	sacked              // arrived, above a hole
	lost                // to be sent again
)

// marks are what else is known of a record.
type marks uint8

const (
	retransmitted marks = 1 << iota // ever: an ACK does not tell which copy it is for
	untimed                         // holds bytes that left at different times: no round-trip sample
	appLimited                      // left while the application, not the window, was the limit
	excused                         // its loss says nothing about congestion
)

// record is a run of bytes with a common fate. The records cover the bytes from SND.UNA to SND.NXT
// without a hole, in order.
type record struct {
	from, to    uint64
	sentAt      time.Duration // of the latest transmission
	delivered   int64         // rateSampler's state when it left
	deliveredAt time.Duration
	firstSentAt time.Duration
	prev, next  int32 // neighbours in the list by time of those that fly
	train       uint32
	state       state
	marks       marks
}

func (r *record) len() int64                          { return int64(r.to - r.from) }
func (r *record) has(m marks) bool                    { return r.marks&m != 0 }
func (r *record) original() bool                      { return r.marks&retransmitted == 0 }
func (r *record) timed() bool                         { return r.marks&untimed == 0 }
func (r *record) rtt(now time.Duration) time.Duration { return max(now-r.sentAt, time.Microsecond) }

// scoreboard holds the records, in order of offset through a ring of numbers, and those that fly in a
// list in order of their latest transmission: "a separate doubly linked list ordered by
// Segment.xmit_ts" (RFC 8985 section 6.2), so that finding the losses costs no more than there are.
type scoreboard struct {
	slab       []record
	free       int32 // chained by next
	order      ring
	head, tail int32 // by time

	una, nxt uint64
	fack     uint64 // RACK.fack: the highest offset that the peer has acknowledged in any way
	holes    uint64 // no record below it is lost: where the search for one starts

	train    uint32        // the last one
	departed time.Duration // when it did
	rear     uint64        // where it ends

	flying, sacked, lost int64 // bytes in each state
}

func (b *scoreboard) init() { b.free, b.head, b.tail = none, none, none }

func (b *scoreboard) trim() {
	b.slab, b.order = nil, ring{}
	b.init()
}

func (b *scoreboard) at(pos int) *record { return &b.slab[b.order.at(pos)] }

// first is the record at SND.UNA; nil when nothing is outstanding.
func (b *scoreboard) first() *record {
	if b.order.n == 0 {
		return nil
	}
	return b.at(0)
}

// last is the record before SND.NXT; nil when nothing is outstanding.
func (b *scoreboard) last() *record {
	if b.order.n == 0 {
		return nil
	}
	return b.at(b.order.n - 1)
}

// find returns the position of the record that holds off, for una <= off < nxt.
func (b *scoreboard) find(off uint64) int {
	lo, hi := 0, b.order.n-1
	for lo < hi {
		mid := int(uint(lo+hi+1) / 2)
		if b.at(mid).from <= off {
			lo = mid
		} else {
			hi = mid - 1
		}
	}
	return lo
}

func (b *scoreboard) alloc() int32 {
	if h := b.free; h != none {
		b.free = b.slab[h].next
		return h
	}
	b.slab = append(b.slab, record{})
	return int32(len(b.slab) - 1)
}

func (b *scoreboard) release(h int32) {
	b.slab[h] = record{next: b.free}
	b.free = h
}

func (b *scoreboard) count(st state) *int64 {
	switch st {
	case flying:
		return &b.flying
	case sacked:
		return &b.sacked
	default:
		return &b.lost
	}
}

// push appends a record that flies from now on.
func (b *scoreboard) push(r record) {
	h := b.alloc()
	b.slab[h] = r
	b.order.pushBack(h)
	b.flying += r.len()
	b.nxt = r.to
	b.link(h)
}

// extend lets the last record grow to to.
func (b *scoreboard) extend(to uint64) {
	r := b.last()
	b.flying += int64(to - r.to)
	r.to, b.nxt = to, to
}

// set moves the record at pos into another state, or, if it flies again, to its place in time.
func (b *scoreboard) set(pos int, st state) {
	h := b.order.at(pos)
	r := &b.slab[h]
	if r.state == flying {
		b.unlink(h)
	}
	*b.count(r.state) -= r.len()
	r.state = st
	*b.count(st) += r.len()
	switch st {
	case flying:
		b.link(h)
	case lost:
		b.holes = min(b.holes, r.from)
	}
}

// split cuts the record at pos in two at off, which lies inside it. It reports whether there was room.
func (b *scoreboard) split(pos int, off uint64) bool {
	if b.order.n >= maxRecords {
		return false
	}
	h := b.alloc()
	g := b.order.at(pos)
	r := &b.slab[g]
	b.slab[h] = *r
	b.slab[h].from, r.to = off, off
	b.order.insert(pos+1, h)
	if r.state == flying {
		b.linkAfter(h, g)
	}
	return true
}

// cut makes a boundary at off, unless the bytes there have arrived, and returns the position of the
// record that begins there or next. False: the scoreboard is full.
func (b *scoreboard) cut(off uint64) (int, bool) {
	if off >= b.nxt {
		return b.order.n, true
	}
	pos := b.find(off)
	switch r := b.at(pos); {
	case r.from == off:
		return pos, true
	case r.state == sacked:
		return pos + 1, true
	}
	return pos + 1, b.split(pos, off)
}

// drop takes the first record out: it is acknowledged.
func (b *scoreboard) drop() {
	h := b.order.at(0)
	r := &b.slab[h]
	if r.state == flying {
		b.unlink(h)
	}
	*b.count(r.state) -= r.len()
	b.order.popFront()
	b.release(h)
}

// shorten takes the bytes below off from the first record, which ends above it.
func (b *scoreboard) shorten(off uint64) {
	r := b.first()
	*b.count(r.state) -= int64(off - r.from)
	r.from = off
}

// merge joins the record at pos with the one before it where nothing tells them apart any more.
func (b *scoreboard) merge(pos int) bool {
	if pos <= 0 || pos >= b.order.n {
		return false
	}
	g, h := b.order.at(pos-1), b.order.at(pos)
	p, r := &b.slab[g], &b.slab[h]
	if p.state != r.state {
		return false
	}
	switch r.state {
	case lost:
		return false // its past is wanted again if it was not lost after all
	case flying:
		if p.train != r.train || p.sentAt != r.sentAt || p.marks != r.marks || p.delivered != r.delivered || p.len()+r.len() > maxRecord {
			return false
		}
		b.unlink(h)
	}
	p.to = r.to
	b.order.remove(pos)
	b.release(h)
	return true
}

// link puts a record into the list by time. Ties are in order of offset, as RACK_sent_after has it.
func (b *scoreboard) link(h int32) {
	r := &b.slab[h]
	after := b.tail
	for after != none && b.slab[after].place().after(r.place()) {
		after = b.slab[after].prev
	}
	b.linkAfter(h, after)
}

// linkAfter puts h behind g; none: to the front.
func (b *scoreboard) linkAfter(h, g int32) {
	next := b.head
	if g != none {
		next = b.slab[g].next
		b.slab[g].next = h
	} else {
		b.head = h
	}
	if next != none {
		b.slab[next].prev = h
	} else {
		b.tail = h
	}
	b.slab[h].prev, b.slab[h].next = g, next
}

func (b *scoreboard) unlink(h int32) {
	r := &b.slab[h]
	if r.prev != none {
		b.slab[r.prev].next = r.next
	} else {
		b.head = r.next
	}
	if r.next != none {
		b.slab[r.next].prev = r.prev
	} else {
		b.tail = r.prev
	}
	r.prev, r.next = none, none
}

// place is where in the order of sending some bytes stand. RFC 8985 section 6.2 orders by time and, "If
// Segment.xmit_ts equals RACK.xmit_ts", by offset. An owner that handles events in batches sends much at
// one instant, retransmissions after new data too, which offsets would put in the wrong order: so what
// left at one instant in ascending order is a train, and trains are numbered.
type place struct {
	train uint32
	end   uint64
}

func (r *record) place() place { return place{r.train, r.to} }

// after is RACK_sent_after. Numbers of trains may wrap.
func (p place) after(q place) bool {
	d := int32(p.train - q.train)
	return d > 0 || d == 0 && p.end > q.end
}

// depart numbers the train of bytes that leave at once.
func (b *scoreboard) depart(now time.Duration, from, to uint64) {
	if now != b.departed || from < b.rear {
		b.train++
	}
	b.departed, b.rear = now, to
}
