package engine

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// maxOpportunistic bounds how many segments one pump copies to a faster flow.
const maxOpportunistic = 16

// opportunistic sends what holds everything up on a flow that would be faster (Raiciu et al., NSDI'12):
// when the peer's window or the send buffer blocks new data, or nothing new is left to send, and a
// flow has room, the oldest segment is given to it too, provided that it carries none of it and that
// its carrier needs more than twice as long. In the first case the slow carrier is penalised.
func (c *Conn) opportunistic(now time.Duration) {
	if c.sent.n == 0 || len(c.flows) < 2 || c.sent.lost > 0 {
		return
	}
	unsent := c.snd.unsent()
	blocked := unsent == 0 && c.WriteRoom() <= 0 || unsent > 0 && c.windowFor(nil) < sillyRoom
	if !blocked && unsent > 0 {
		return
	}
	fast := c.fastest()
	if fast == nil {
		return
	}
	room := fast.f.Room()
	for i := 0; i < min(c.sent.n, maxOpportunistic); i++ {
		seg := c.sent.at(i)
		if i > 0 && c.arrived(seg) {
			continue
		}
		if seg.carriers&fast.slot != 0 {
			if blocked {
				return // the head is on its fastest way already
			}
			continue
		}
		slow := c.carrier(seg)
		if slow == nil || room < seg.n || !worthCopying(now, seg, slow, fast) {
			return
		}
		room -= seg.n
		c.resend(now, fast, seg)
		if blocked {
			c.penalise(now, slow, fast)
			if slow.stats = slow.f.Stats(now); c.vouched(now, slow) {
				return // its TCP is sending again what is missing, most of the rest is there already
			}
		}
	}
}

// worthwhile is what a copy has to gain: below it differences are noise.
const worthwhile = 5 * time.Millisecond

// worthCopying says whether fast would deliver a copy well before slow delivers the original.
func worthCopying(now time.Duration, seg *segment, slow, fast *subflow) bool {
	left := slow.eta() - (now - seg.sentAt)
	return slow.eta() > 2*fast.eta()+worthwhile && (left > fast.eta() || now-seg.sentAt > slow.eta())
}

// fastest is the flow with room that would deliver first.
func (c *Conn) fastest() *subflow {
	var best *subflow
	for _, s := range c.flows {
		if !s.usable() || s.f.Room() <= 0 || c.backupIdle(s) {
			continue
		}
		if best == nil || s.eta() < best.eta() {
			best = s
		}
	}
	return best
}

// backupIdle says whether s is a backup that has to keep out because a regular flow works.
func (c *Conn) backupIdle(s *subflow) bool {
	if !s.backup() {
		return false
	}
	for _, x := range c.flows {
		if x.usable() && !x.backup() {
			return true
		}
	}
	return false
}

// carrier is a flow that carries seg.
func (c *Conn) carrier(seg *segment) *subflow {
	for _, s := range c.flows {
		if seg.carriers&s.slot != 0 {
			return s
		}
	}
	return nil
}

// penalise halves what a slow flow may have in flight, at most once per round trip of the fast one,
// for one round trip of its own.
func (c *Conn) penalise(now time.Duration, slow, fast *subflow) {
	if slow.penalised != 0 || slow.srtt() <= fast.srtt() || slow.state != extapi.StateActive {
		return
	}
	slow.penalised = now + max(slow.srtt(), fast.srtt())
	slow.f.Limit(max(slow.inFlight()/2, 2*sillyRoom))
	c.time.arm(slow.penalised)
}

// endPenalties lifts the penalties whose time is over.
func (c *Conn) endPenalties(now time.Duration) {
	for _, s := range c.flows {
		if s.penalised != 0 && s.penalised <= now {
			s.penalised = 0
			s.f.Limit(0)
		}
		if s.penalised != 0 {
			c.time.arm(s.penalised)
		}
	}
}
