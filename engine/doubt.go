package engine

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// A proxy on the path acknowledges what the peer never gets, and who only receives sends nothing whose
// acknowledgement could fail to come. So a subflow is also doubted, and stale until its peer itself
// answers on it, when the oldest byte that it carries is long overdue while other subflows work, and
// when it keeps silent although it was asked, while data comes in on others.
const (
	minPatience = 500 * time.Millisecond // for the answer to a question: a stall costs less than a false alarm
	maxSilence  = 2 * time.Second
	askAgain    = 600 * time.Millisecond // from one question to a doubted flow to the next, at first: Linux answers no keep-alive twice in 500 ms
)

// HandleAcked says that the subflow's own TCP, or a proxy's, has acknowledged more.
func (c *Conn) HandleAcked(now time.Duration, id PathID) {
	if s := c.flow(id); s != nil {
		c.observe(now, s)
		c.armLag(now, s)
	}
}

// proven takes note that the peer has what s alone carried. How long it has had it, behind a hole that
// another subflow has filled, nobody knows: as long as the subflow's own acknowledgements are due, they
// tell whether the path still works.
func (c *Conn) proven(now time.Duration, s *subflow) {
	s.tx.delivered = now
	s.stats = s.f.Stats(now)
	if s.tx.doubted || s.stats.InFlight < 0 || !s.owes() {
		c.answered(now, s)
	}
}

// answered takes a sign of life from the peer itself: an echo, or the DATA_ACK of what nobody else carried.
func (c *Conn) answered(now time.Duration, s *subflow) {
	s.stats = s.f.Stats(now)
	s.tx.doubted, s.tx.asked, s.tx.answered = false, 0, now
	s.tx.acked = max(s.tx.acked, s.stats.Acked) // the same sign is not taken twice
	c.progress(now, now, s)
}

// owes says whether a sign of life at the level of the subflow must come. What it has delivered and is
// not DATA_ACKed may wait for another subflow: that is not its fault.
func (s *subflow) owes() bool {
	if s.stats.InFlight < 0 {
		return s.busy()
	}
	return s.stats.InFlight > 0 || s.stats.Unsent > 0
}

// doubt takes a flow out of use until the peer answers on it.
func (c *Conn) doubt(now time.Duration, s *subflow) {
	s.tx.doubted = true
	s.f.Probe(now)
	c.stale(now, s)
	s.tx.again = now + askAgain
}

// askDoubted repeats the question to a doubted flow: it or the answer may have been lost, and only who opens subflows
// learns of a path's return by a join as well. It returns when it is to be called again.
func (c *Conn) askDoubted(now time.Duration, s *subflow) time.Duration {
	if now >= s.tx.again {
		s.f.Probe(now)
		s.tx.looks++
		s.tx.again = now + min(askAgain<<min(s.tx.looks, 5), dataCeil)
	}
	return s.tx.again
}

// blame doubts the flows that carry an overdue segment, as long as one is left that does not, and unless their TCP
// vouches for them.
func (c *Conn) blame(now time.Duration, g *segment) {
	carriers, free := g.carriers, false
	for _, s := range c.flows {
		free = free || s.usable() && carriers&s.slot == 0
	}
	for i := 0; free && i < len(c.flows); i++ {
		s := c.flows[i]
		if s.state != extapi.StateActive || carriers&s.slot == 0 {
			continue
		}
		if c.observe(now, s); !c.vouched(now, s) {
			c.doubt(now, s)
		}
	}
}

// ask wants an answer on the flow. Silence counts from when the question leaves.
func (c *Conn) ask(now time.Duration, s *subflow) {
	if leaves := s.f.Probe(now); s.tx.asked == 0 {
		s.tx.asked = leaves
	}
}

// checkSilence doubts a flow on which nothing has come for long, although it was asked. It is called
// when data has come on another.
func (c *Conn) checkSilence(now time.Duration, s *subflow) {
	if s.tx.asked == 0 {
		return
	}
	silence := now - max(s.tx.asked, s.tx.lastRx, c.time.woke)
	if silence > min(max(minPatience, 4*s.srtt()), maxSilence) && c.otherUsable(s) {
		c.doubt(now, s)
	}
}
