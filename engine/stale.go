package engine

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/pool"
)

// A path that dies in silence is found in two ways. A flow that owes acknowledgements and shows no
// progress of its own (subflow-level ACKs, echoes, DATA_ACKs of what it carries) is stale. And when the
// oldest byte is not DATA_ACKed for long although its carriers seem alive (a proxy acknowledges what
// the peer never gets), that byte is sent again (RFC 8684 section 3.3.6).
const (
	stallFloor = 80 * time.Millisecond // never blame a path sooner: the peer's kernel delays ACKs by up to 40 ms
	stallCeil  = 2 * time.Second
	// stallUnknown is for a path whose round-trip time is not known yet (RFC 6298 section 2.1).
	stallUnknown = time.Second
	lookCeil     = time.Second // from one look at a stale flow to the next
	// gapCeil is for how long a gap between two signs of life makes us patient: a path that pauses may
	// still die, and what it carries then has to come on another within 300 ms.
	gapCeil    = 65 * time.Millisecond
	stallExtra = 40 * time.Millisecond // delayed ACKs (RFC 9293 section 3.8.6.3 allows 500 ms; kernels use 40)
	// heardPatience is how many more timeouts of TCP's own may pass while the peer is heard.
	heardPatience = 2
	dataFloor     = 400 * time.Millisecond
	dataCeil      = 10 * time.Second
)

// stallAfter is how long a busy flow may go without a sign of progress.
func (c *Conn) stallAfter(s *subflow) time.Duration {
	if c.cfg.StallTimeout > 0 {
		return c.cfg.StallTimeout
	}
	if s.stats.SRTT <= 0 {
		return stallUnknown
	}
	d := max(s.srtt()+4*max(0, s.stats.RTTVar), 2*s.tx.gap) + stallExtra
	d = min(max(d, stallFloor), stallCeil)
	if p := s.stats.Patience; p > 0 {
		// Its TCP knows better: before its own timer expires, nothing says that the path is dead. While the peer's
		// segments come in, a queue that grows in either direction explains late ACKs, and the timer expires in vain.
		heard := s.tx.lastRx - max(s.tx.last, s.tx.since)
		d = max(d, p+min(max(0, heard), heardPatience*p))
	}
	return d
}

// vouched says whether a TCP that is the peer's counterpart still delivers what s carries: then what is late there is
// being sent again, and no sign of a dead path.
func (c *Conn) vouched(now time.Duration, s *subflow) bool {
	return s.stats.Patience > 0 && s.stats.InFlight > 0 && now-max(s.tx.last, s.tx.since) < c.stallAfter(s)
}

// armStall keeps a look at the flows' progress scheduled while any of them is busy.
func (c *Conn) armStall(now time.Duration) {
	c.armHead(now)
	if c.time.stall != 0 || c.sent.n == 0 && !c.anyBusy() {
		return
	}
	c.time.stall = now + stallFloor
	if c.usableFlows() == 0 {
		c.time.stall = now + lookCeil
	}
	c.time.arm(c.time.stall)
	if c.time.data == 0 && c.sent.n > 0 {
		c.time.data = now + c.dataTimeout()
		c.time.arm(c.time.data)
	}
}

func (c *Conn) anyBusy() bool {
	for _, s := range c.flows {
		if s.busy() {
			return true
		}
	}
	return false
}

// HandleProgress says that the peer answered on the flow: an echo. HandleAcked is for the subflow's own ACKs.
func (c *Conn) HandleProgress(now time.Duration, id PathID) {
	if s := c.flow(id); s != nil {
		c.answered(now, s)
	}
}

// progress takes a sign of life that s gave at the instant at.
func (c *Conn) progress(now, at time.Duration, s *subflow) {
	repairs := s.state == extapi.StateStale && s.repairs()
	if s.busy() && !repairs {
		gap := at - max(s.tx.last, s.tx.since)
		s.tx.gap = min(max(gap, s.tx.gap-s.tx.gap/8), gapCeil)
	}
	s.tx.last = max(s.tx.last, at)
	s.questioned = 0
	if s.state == extapi.StateStale && !repairs {
		c.revive(now, s)
	}
}

// repairs says whether the subflow's TCP has lost a whole window and sends it again, a little more each round
// trip: an acknowledgement tells that the path passes packets, but what the flow carries and what it would be
// given waits for the end of that.
func (s *subflow) repairs() bool {
	return s.stats.CWnd > 0 && s.stats.InFlight > 2*s.stats.CWnd
}

// HandleStuck says that the subflow's own retransmission timer fired.
func (c *Conn) HandleStuck(now time.Duration, id PathID) {
	if s := c.flow(id); s != nil && s.state == extapi.StateActive && now-s.tx.last >= c.stallAfter(s) {
		c.stale(now, s)
		c.pump(now)
	}
}

// checkStall looks at every flow's progress and marks those stale that show none.
func (c *Conn) checkStall(now time.Duration) {
	if c.time.stall == 0 {
		return
	}
	if c.time.stall > now {
		c.time.arm(c.time.stall)
		return
	}
	c.time.stall = 0
	next := time.Duration(0)
	for i := 0; i < len(c.flows); i++ {
		s := c.flows[i]
		if !s.open() || s.state == extapi.StateJoining {
			continue
		}
		c.observe(now, s)
		if s.tx.doubted {
			if !c.Drained() { // an idle connection keeps silent: the next byte asks
				next = sooner(next, c.askDoubted(now, s))
			}
			continue
		}
		if owed := s.owes(); !owed || s.tx.calm && s.tx.outstanding == 0 {
			// What the carrier sends by itself, answers above all, it sends without a word: it is owed an
			// acknowledgement from when that is first seen.
			s.tx.since, s.tx.calm = now, !owed
			if !owed {
				continue
			}
		}
		due := max(s.tx.last, s.tx.since, c.time.woke) + c.stallAfter(s)
		if s.tx.outstanding == 0 { // it carries nothing that could be sent elsewhere, while the peer's data fills its queue
			due = max(due, s.tx.lastRx+c.stallAfter(s))
		}
		if due <= now {
			if s.state == extapi.StateActive {
				c.stale(now, s)
			}
			// What comes back is an input; the look is for what the carrier alone knows.
			due = now + min(stallFloor<<min(s.tx.looks, 4), lookCeil)
			s.tx.looks++
		}
		next = sooner(next, due)
	}
	c.time.stall = next
	c.time.arm(next)
}

// sooner is the earlier one of two instants; 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b < a {
		return b
	}
	return a
}

// observe reads the flow's measurements and takes note of progress.
func (c *Conn) observe(now time.Duration, s *subflow) {
	s.stats = s.f.Stats(now)
	if s.stats.Acked > s.tx.acked {
		s.tx.acked = s.stats.Acked
		at := now
		if p := s.stats.LastProgress; p > 0 { // what was acknowledged long ago is no sign of life today
			at = min(max(p, s.tx.last), now)
		}
		if !s.tx.doubted {
			c.progress(now, at, s)
		}
	}
}

// stale takes a flow out of use: what it carries is sent elsewhere, and its path is probed with a
// fresh join, since its socket sits in back-off for long after the path has healed.
func (c *Conn) stale(now time.Duration, s *subflow) {
	s.state = extapi.StateStale
	c.cfg.Counters.Count(mib.SubflowStale)
	s.tx.looks = 0
	c.credit(now, s)
	c.sent.reassess(c.liveSlots())
	c.fin.forget(s.id)
	c.paths.stale(now, s.id, max(0, s.stats.SRTT))
	c.replan(now)
	c.event(extapi.MetricsUpdated{Info: c.subflowInfo(s)})
	c.reack(now)
	c.pathsChanged(now)
}

// revive takes a stale flow back: it answers.
func (c *Conn) revive(now time.Duration, s *subflow) {
	s.state = extapi.StateActive
	c.cfg.Counters.Count(mib.SubflowRecover)
	s.tx.since = now
	c.time.stall = 0 // it may be as far off as for stale ones
	c.paths.recovered(now, s.id)
	c.sent.reassess(c.liveSlots())
	c.event(extapi.MetricsUpdated{Info: c.subflowInfo(s)})
	c.pathsChanged(now)
	c.pump(now)
}

// credit takes note of what the peer's TCP has acknowledged on s, which goes out of use. The peer has it, behind what is
// missing, and says so once that has come: before, it is not sent again. Linux keeps out of order, beside what it has, each
// piece that was cut otherwise, and counts both: more than the window that it offers, and it moves nothing any more, not
// even what is missing. Where a proxy may have acknowledged it, it is lost like everything else.
func (c *Conn) credit(now time.Duration, s *subflow) {
	if s.stats.Patience > 0 {
		c.sent.credit(s.slot, uint32(max(s.tx.acked, s.f.Stats(now).Acked))+1)
	}
}

// arrived says whether the peer's TCP has acknowledged all of g, where it was sent last.
func (c *Conn) arrived(g *segment) bool {
	for _, s := range c.flows {
		if s.slot == g.on && s.stats.Patience > 0 && int32(uint32(s.stats.Acked)+1-g.end) >= 0 {
			return true
		}
	}
	return g.arrived
}

// dataTimeout is how long the oldest byte may wait for its DATA_ACK.
func (c *Conn) dataTimeout() time.Duration {
	d := dataFloor
	if c.sent.n > 0 && c.sent.at(0).arrived {
		d = headFloor // it was to come together with that of the byte before
	}
	for _, s := range c.flows {
		if s.usable() {
			d = max(d, 3*s.eta()+stallExtra)
		}
	}
	return min(d<<min(c.time.backoff, 6), dataCeil)
}

// checkData sends the oldest segment again when its DATA_ACK is overdue.
func (c *Conn) checkData(now time.Duration) {
	t := &c.time
	switch {
	case t.data == 0:
		return
	case c.sent.n == 0:
		t.data, t.backoff = 0, 0
		return
	case t.data > now:
		t.arm(t.data)
		return
	}
	head := c.sent.at(0)
	if due := max(head.sentAt, t.woke) + c.dataTimeout(); due > now {
		t.data = due
		t.arm(due)
		return
	}
	if s := c.mute(now); s != nil {
		c.stripped(now, s)
		return
	}
	if s := c.unheard(head); s != nil {
		s.tx.unheard = now
		s.f.Probe(now)
		t.data = now + dataFloor
		t.arm(t.data)
		return
	}
	if !c.underWay(now, head) {
		head.overdue = true
		c.sent.doubt()
		c.sent.setLost(0, true)
		c.blame(now, head)
		t.backoff++
	}
	t.data = now + c.dataTimeout()
	t.arm(t.data)
}

// underWay says whether the only subflow that there has been has yet to deliver g, which its TCP sends again itself: a copy
// would come behind it.
func (c *Conn) underWay(now time.Duration, g *segment) bool {
	if len(c.flows) != 1 || !c.alone(c.flows[0]) || c.fall.twice {
		return false
	}
	s := c.flows[0]
	c.observe(now, s)
	return s.stats.InFlight > 0 && s.stats.Acked < int64(g.dsn-c.snd.first)+int64(g.n)
}

// acknowledged takes note of a DATA_ACK that moved.
func (c *Conn) acknowledgedData(now time.Duration) {
	t := &c.time
	t.backoff = 0
	c.restartLag(now)
	if c.sent.refuted(c.snd.una) {
		c.sent.distrust()
		c.sent.reassess(c.liveSlots())
	}
	if c.sent.n == 0 {
		t.data = 0
	} else {
		t.data = now + c.dataTimeout()
		t.arm(t.data)
	}
}

const (
	persistMin = 500 * time.Millisecond
	persistMax = 30 * time.Second
)

// shut says whether the peer's window alone holds the data back, with nothing under way whose
// DATA_ACK could open it.
func (c *Conn) shut() bool {
	return c.snd.unsent() > 0 && c.sent.n == 0 && int64(c.peer.edge-c.snd.nxt) <= 0 && !c.closed() && !c.fall.infinite
}

// armPersist starts the persist timer when the window has shut.
func (c *Conn) armPersist(now time.Duration) {
	if t := &c.time; t.persist == 0 && c.shut() {
		t.persist = now + persistMin
		t.arm(t.persist)
	}
}

// checkPersist probes a closed window with a byte that the peer has already: it answers every
// duplicate with its DATA_ACK and window, in case the update was lost with a subflow.
func (c *Conn) checkPersist(now time.Duration) {
	t := &c.time
	if !c.shut() {
		t.persist, t.probes = 0, 0
		return
	}
	c.armPersist(now)
	if t.persist > now {
		t.arm(t.persist)
		return
	}
	switch s := c.fastest(); {
	case s == nil:
	case c.fall.agreed():
		s.f.Probe(now) // to a peer that has fallen back meanwhile a byte sent twice would be two
	case c.snd.una != c.snd.first:
		c.cfg.Counters.Count(mib.WinProbe)
		seg := segment{dsn: c.snd.una - 1, n: 1}
		c.fall.twice = true
		c.give(now, s, &seg, pool.Copy([]byte{c.snd.last}))
		s.tx.outstanding -= 1
	}
	t.probes++
	t.persist = now + min(persistMin<<min(t.probes, 6), persistMax)
	t.arm(t.persist)
}

// checkIdle closes extra subflows that have carried nothing for IdlePathTimeout.
func (c *Conn) checkIdle(now time.Duration) {
	d := c.cfg.IdlePathTimeout
	if d == 0 || !c.cfg.Client || len(c.flows) < 2 {
		return
	}
	d = max(d, idleMin)
	for i := len(c.flows) - 1; i > 0; i-- {
		s := c.flows[i]
		if !s.usable() {
			continue
		}
		at := max(s.tx.since, s.tx.last, s.tx.lastRx) + d
		switch {
		case at > now:
			c.time.arm(at)
		case s.busy() || !c.otherUsable(s):
			c.time.arm(now + d)
		default:
			c.paths.closed(now, s.id)
			c.closeFlow(now, s)
		}
	}
}

// idleMin is how long a subflow that is to be closed when idle is left alone at least.
const idleMin = 100 * time.Millisecond
