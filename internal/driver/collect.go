package driver

import "time"

// A path that has plenty under way gains nothing from getting a little more at once, and each system
// call costs both sides, the peer above all when it has to be woken for it. So what the application
// writes to such a path collects into runs. Whoever is about to wait writes it out, and so does the
// alarm: the application may never come back.
const (
	// runSize is what collects at most, in bytes.
	runSize = 256 << 10
	// plenty is how much must be under way on the path: written, and not DATA_ACKed.
	plenty = 512 << 10
	// collectTime is how long data waits at most. A timer that is due sooner than calm disturbs small
	// messages; here there are none.
	collectTime = time.Millisecond
	// company is what must be under way for the end of a write to wait for the next one where packets are made: a
	// super-segment. Every acknowledgement asks anew whether that is so.
	company = 64 << 10
)

// collects says whether what a flow has queued waits for more.
func (c *Conn) collects(now time.Duration, f *flow) bool {
	n, alone := f.f.Queued()
	switch {
	case f.raw == nil || n == 0 || n >= runSize || !alone, !c.writes(),
		c.eng.Outstanding(f.id)-int64(n) < plenty:
		f.collect = 0
		return false
	}
	if f.collect == 0 {
		f.collect = now + collectTime
	}
	return now < f.collect
}

// writes says whether the application may write more, and flows would take it.
func (c *Conn) writes() bool {
	return !c.wr.blocked && !c.life.closed && len(c.life.flushes) == 0 && c.eng.Backlog() == 0
}

// moreComes says whether the end of what a packet flow has to send had better wait for what the application writes
// next.
func (c *Conn) moreComes(now time.Duration, f *packetFlow) bool {
	return c.writes() && c.eng.Unacknowledged() >= company && (f.collect == 0 || now < f.collect)
}
