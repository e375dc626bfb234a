package tcp

import "time"

const (
	// delayedAck is how long an ACK may wait for company. It "MUST be generated within 500 ms of the arrival
	// of the first unacknowledged packet" (RFC 5681 section 4.2).
	delayedAck = 40 * time.Millisecond
	// quietAfter is a silence after which a peer may begin anew with a small window.
	quietAfter = 200 * time.Millisecond
	// maxOwed bounds the duplicate ACKs that one batch of segments calls for.
	maxOwed = 16
	// ackSpacing is what a path must give each ACK of a batch that is acknowledged in steps: up to 8,000 segments a
	// second have one for every second of theirs. Beyond, they would cost more than they tell.
	ackSpacing = 250 * time.Microsecond
	// maxSteps bounds the ACKs of one batch, and maxStepped its bytes: one super-segment. More at once is a fast path's.
	maxSteps, maxStepped = 16, 64 << 10
)

// An ACK of what a Read takes with more behind it waits for that, since the reader is back in a moment, but no longer than
// heldAck, and not for more than heldBytes: each has the sender work, on this host perhaps, and on this very processor.
const (
	heldAck   = time.Millisecond
	heldBytes = 512 << 10
)

// acks decides when to acknowledge.
type acks struct {
	owed    int           // ACKs to be sent at once
	delayed bool          // one is due by timerDelayedAck
	bytes   int           // payload received since the last ACK left
	quick   int           // segments to be acknowledged at once still
	refill  int           // what quick becomes after a silence
	last    time.Duration // when payload came last
	behind  int           // bytes that the next ACK stays behind RCV.NXT, and each after it two segments less
	left    time.Duration // when an ACK left last
	answers bool          // the program answers what arrives: ACKs had better wait for the answer
	first   bool          // one of those owed leaves before any data
}

func (a *acks) start(quick int) { *a = acks{quick: quick, refill: quick} }

// at wants an ACK at once.
func (a *acks) at() { a.owed = max(a.owed, 1) }

// duplicate wants an ACK at once for a segment out of order. Without SACK each of them counts at the other
// end, where three make a fast retransmit; with SACK the newest says it all.
func (a *acks) duplicate(sack bool) {
	if sack {
		a.at()
		return
	}
	a.owed = min(a.owed+1, maxOwed)
}

// data notes payload in order, with more on its way to the program or not: "an ACK SHOULD be generated for at least every second full-sized
// segment" (RFC 5681 section 4.2).
func (a *acks) data(now time.Duration, c *Conn, n int, more bool) {
	if now-a.last > quietAfter && !a.answers {
		a.quick = a.refill
	}
	a.last = now
	a.bytes += n
	switch {
	case a.quick > 0:
		a.quick--
	case a.bytes < 2*c.rcv.mss:
		a.delay(now, c, delayedAck)
		return
	case more && a.bytes < heldBytes:
		a.delay(now, c, heldAck)
		return
	}
	a.at()
	if a.behind = 0; a.bytes <= maxStepped {
		paid := int(min((now-a.left)/ackSpacing, maxSteps)) // bounded before it is an int: that may have 32 bits
		a.behind = 2 * c.rcv.mss * min((a.bytes-1)/(2*c.rcv.mss), paid)
	}
}

// delay wants an ACK after a while, with the next segment if one leaves before.
func (a *acks) delay(now time.Duration, c *Conn, while time.Duration) {
	if at := now + while; !a.delayed || at < c.timers.at[timerDelayedAck] {
		a.delayed = true
		c.timers.set(timerDelayedAck, at)
	}
}

// expire is the end of the delay: the answer that the ACK has waited for did not come.
func (a *acks) expire() {
	a.delayed, a.answers = false, false
	a.at()
}

// number is the acknowledgment number of a segment of this kind that leaves now. Segments that come in one piece, since
// a link or the kernel has put them together, are acknowledged two at a time while there is time for that: the slow start of
// many peers, Linux's among them, counts the ACKs of a round trip to notice that the path is full (HyStart, RFC 9406).
func (a *acks) number(c *Conn, kind Kind) uint64 {
	if kind != KindACK {
		return c.rcv.nxt
	}
	return c.rcv.nxt - uint64(a.behind)
}

// sent notes that a segment with an ACK has left at now; data says that it has payload.
func (a *acks) sent(now time.Duration, c *Conn, data bool) {
	a.left = now
	if a.behind > 0 && !data {
		a.behind = max(0, a.behind-2*c.rcv.mss)
		return
	}
	a.behind = 0
	if data && a.bytes > 0 {
		a.answers, a.quick = true, 0
	}
	if a.owed > 0 {
		a.owed--
	}
	if data {
		a.owed = 0
	}
	a.bytes, a.delayed, a.first = 0, false, false
	c.timers.stop(timerDelayedAck)
}

// Ack tells that the extension has something to say: with the next segment, or alone a little later.
func (c *Conn) Ack(now time.Duration) {
	if c.state.synchronized() {
		c.ack.delay(now, c, delayedAck)
	}
}

// AckNow tells that the extension has something to say at once: a duplicate ACK, if nothing else leaves. That
// no more than two of these leave in a row (RFC 8684 section 3) is for the extension to see to.
func (c *Conn) AckNow(time.Duration) {
	if c.state.synchronized() {
		c.ack.at()
	}
}

// AckFirst is AckNow for what must not travel with data: the ACK leaves before any.
func (c *Conn) AckFirst(now time.Duration) {
	c.AckNow(now)
	c.ack.first = c.ack.owed > 0
}
