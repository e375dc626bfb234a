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
)

// acks decides when to acknowledge.
type acks struct {
	owed    int           // ACKs to be sent at once
	delayed bool          // one is due by timerDelayedAck
	bytes   int           // payload received since the last ACK left
	quick   int           // segments to be acknowledged at once still
	refill  int           // what quick becomes after a silence
	last    time.Duration // when payload came last
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

// data notes payload in order: "an ACK SHOULD be generated for at least every second full-sized
// segment" (RFC 5681 section 4.2).
func (a *acks) data(now time.Duration, c *Conn, n int) {
	if now-a.last > quietAfter && !a.answers {
		a.quick = a.refill
	}
	a.last = now
	a.bytes += n
	if a.quick > 0 {
		a.quick--
		a.at()
		return
	}
	if a.bytes >= 2*c.rcv.mss {
		a.at()
		return
	}
	a.delay(now, c)
}

// delay wants an ACK soon, with the next segment if one leaves before.
func (a *acks) delay(now time.Duration, c *Conn) {
	if !a.delayed {
		a.delayed = true
		c.timers.set(timerDelayedAck, now+delayedAck)
	}
}

// expire is the end of the delay: the answer that the ACK has waited for did not come.
func (a *acks) expire() {
	a.delayed, a.answers = false, false
	a.at()
}

// sent notes that a segment with the newest ACK has left; data says that it has payload.
func (a *acks) sent(c *Conn, data bool) {
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
		c.ack.delay(now, c)
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
