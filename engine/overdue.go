package engine

import "time"

// The oldest byte that is not DATA_ACKed holds up all that follows it. Where a proxy on the path
// acknowledges what the peer never gets, nothing but that byte tells that its path is dead. So when its
// DATA_ACK comes later than the carriers' round trips explain, the carriers are asked, and so is a flow
// that has no part in it, the witness. A carrier that gives no answer while the witness does is doubted,
// and what it carries is sent elsewhere. Without the witness there is no telling a dead path from a peer
// that is busy, or from ourselves being late.
const (
	headFloor = 100 * time.Millisecond // a byte is not late sooner
	headLook  = 25 * time.Millisecond  // from one look at a late byte to the next, at first
	// answerFloor is how long an answer may take at least: the peer's scheduler has a part in it.
	answerFloor = 100 * time.Millisecond
	answerExtra = 40 * time.Millisecond
)

// armHead keeps a look at the oldest byte scheduled while a flow could take it over.
func (c *Conn) armHead(now time.Duration) {
	if t := &c.time; t.head == 0 && c.sent.n > 0 && len(c.flows) > 1 && c.usableFlows() > 1 {
		t.head, t.looks = now+headFloor, 0
		t.arm(t.head)
	}
}

func (c *Conn) usableFlows() (n int) {
	for _, s := range c.flows {
		if s.usable() {
			n++
		}
	}
	return n
}

// checkHead looks at the oldest byte that is not DATA_ACKed.
func (c *Conn) checkHead(now time.Duration) {
	t := &c.time
	switch {
	case t.head == 0:
		return
	case c.sent.n == 0 || c.usableFlows() < 2:
		t.head = 0
		return
	case t.head > now:
		t.arm(t.head)
		return
	}
	head := c.sent.at(0)
	wait := c.onTime(head)
	if due := max(head.sentAt, t.woke) + wait; due > now {
		t.head, t.looks = due, 0
	} else {
		t.head = now + max(headLook, wait/4)<<min(t.looks/4, 4)
		t.looks++
		c.interrogate(now, head)
	}
	t.arm(t.head)
}

// onTime is how long the DATA_ACK of g may take before anybody is asked.
func (c *Conn) onTime(g *segment) time.Duration {
	d := headFloor
	for _, s := range c.flows {
		if s.usable() && g.carriers&s.slot != 0 {
			d = max(d, s.eta()+2*max(0, s.stats.RTTVar))
		}
	}
	return d
}

// interrogate asks the carriers of a late segment and a witness, and doubts those that keep silent.
func (c *Conn) interrogate(now time.Duration, g *segment) {
	w := c.witness(g)
	if w == nil {
		return
	}
	asked := false
	for i := 0; i < len(c.flows); i++ {
		s := c.flows[i]
		if !s.usable() || g.carriers&s.slot == 0 {
			continue
		}
		c.observe(now, s)
		if s.stats.InFlight > 0 && s.stats.Unanswered == 0 && now-s.tx.last < c.stallAfter(s) {
			continue // its TCP still delivers: what it carries is on its way
		}
		s.f.Probe(now)
		if !asked {
			asked = true
			w.f.Probe(now)
		}
		if c.leavesOpen(now, s, w) {
			c.doubt(now, s)
			c.time.head = 0
			return
		}
	}
}

// witness is the nearest usable flow that does not carry g.
func (c *Conn) witness(g *segment) (w *subflow) {
	for _, s := range c.flows {
		if s.usable() && g.carriers&s.slot == 0 && (w == nil || s.srtt() < w.srtt()) {
			w = s
		}
	}
	return w
}

// leavesOpen says whether s has left a question without an answer for longer than its round trips explain,
// while nothing that it carries arrives and the peer answered w well after it was asked.
func (c *Conn) leavesOpen(now time.Duration, s, w *subflow) bool {
	asked := s.stats.Unanswered
	if asked == 0 {
		return false
	}
	asked = max(asked, s.tx.delivered, c.time.woke)
	patience := max(answerFloor, s.srtt()+4*max(0, s.stats.RTTVar)+answerExtra)
	return now-asked >= patience && w.tx.answered-asked >= patience/2
}
