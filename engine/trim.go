package engine

import "time"

// trimAfter is how long a connection has carried nothing when it gives back what it kept for speed.
const trimAfter = time.Second

// Trimmer is what a Flow may implement besides: Trim gives back memory that it keeps for speed. It is
// called when the connection has been quiet for a while.
type Trimmer interface{ Trim() }

// checkTrim gives back the arrays of queues that have been empty for trimAfter, so that an idle
// connection costs little. It is called when the timer fires, as it does some time after every transfer.
func (c *Conn) checkTrim(now time.Duration) {
	if c.closed() || c.time.trimmed {
		return
	}
	last := time.Duration(0)
	for _, s := range c.flows {
		last = max(last, s.tx.since, s.tx.lastRx)
	}
	if c.sent.n > 0 || c.rcv.q.buffered() > 0 {
		return // more happens, and then the timer is armed again
	}
	if at := last + trimAfter; at > now {
		c.time.arm(at)
		return
	}
	c.time.trimmed = true
	c.sent.trim()
	c.snd.trim()
	c.rcv.q.queue.refs.Trim()
	c.rcv.q.store.trim()
	for _, s := range c.flows {
		s.rx.held.refs.Trim()
		s.rx.maps.Trim()
		if t, ok := s.f.(Trimmer); ok {
			t.Trim()
		}
	}
}

// trim gives the ring back when it is empty.
func (q *sentQueue) trim() {
	if q.n == 0 {
		q.drop()
	}
}

// trim gives the array back when it is empty.
func (b *sendBuffer) trim() {
	if b.head == len(b.chunks) {
		b.chunks, b.head = nil, 0
	}
}
