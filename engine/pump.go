package engine

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/seqnum"
	"github.com/mptcp-go/mptcp/scheduler"
)

const (
	// initialWindow is what a peer takes before its first window message has come.
	initialWindow = 64 << 10
	// earlyLimit is how much a client sends before the peer has answered (docs/stream-carrier.md).
	earlyLimit = 16 << 10
	// sillyRoom is the smallest room or window that is worth a mapping while more than that waits:
	// about one TCP segment.
	sillyRoom = 1400
)

// peerWindow is the receive window of the peer. Its right edge only moves right: "a receiver MUST NOT
// shrink" it, and what a subflow delivers late must not look like that (RFC 8684 section 3.3.5).
type peerWindow struct{ edge uint64 }

// HandleWindow takes a receive window: bytes beyond dataAck that the peer takes.
func (c *Conn) HandleWindow(now time.Duration, id PathID, dataAck uint64, window int64) {
	if window < 0 || window > 1<<40 || c.flow(id) == nil || seqnum.Less(c.lastSent(), dataAck) {
		return
	}
	edge := dataAck + uint64(window)
	if !seqnum.Less(c.peer.edge, edge) {
		return
	}
	c.peer.edge = edge
	c.time.persist = 0
	c.pump(now)
}

// HandleRoom says that a flow which had no room has some again.
func (c *Conn) HandleRoom(now time.Duration, id PathID) { c.pump(now) }

// schedule is the scheduler with the view that it is shown.
type schedule struct {
	s      scheduler.Scheduler
	name   string
	view   scheduler.View
	flows  []*subflow // behind view.Paths
	sentOn []PathID
	wake   time.Duration // when to ask again; 0: on the next event
}

func (d *schedule) init(s scheduler.Scheduler, name string) {
	if s == nil {
		s, name = scheduler.MinRTT.New(), scheduler.MinRTT.Name()
	}
	d.s, d.name = s, name
}

// next asks the scheduler. A panic in it is the program's mistake: the default scheduler takes over.
func (c *Conn) next() (d scheduler.Decision) {
	defer func() {
		if v := recover(); v != nil {
			c.replaceScheduler(v)
			d = c.sched.s.Next(&c.sched.view)
		}
	}()
	return c.sched.s.Next(&c.sched.view)
}

// replaceScheduler puts the default in the place of one that has panicked.
func (c *Conn) replaceScheduler(value any) {
	c.sched.init(nil, "")
	c.event(extapi.SchedulerFailed{Value: value})
}

// CongestionFailed says that the program's congestion control has panicked on a flow, for which the default's took over.
func (c *Conn) CongestionFailed(id PathID, value any) {
	if !c.congestionFailed {
		c.congestionFailed = true
		c.event(extapi.CongestionFailed{ID: id, Value: value})
	}
}

// HandleSendFailed says that bytes of a flow could not leave this host, which the flow takes for lost.
func (c *Conn) HandleSendFailed(id PathID, err error) { c.event(extapi.SendFailed{ID: id, Err: err}) }

// pathsChanged tells the scheduler that paths came, went or changed their roles.
func (c *Conn) pathsChanged(now time.Duration) {
	c.buildView(now)
	defer func() {
		if v := recover(); v != nil {
			c.replaceScheduler(v)
		}
	}()
	c.sched.s.OnPathChange(&c.sched.view)
}

// newData is how many bytes that were never sent may be sent now.
func (c *Conn) newData() int64 {
	n := c.snd.unsent()
	if n == 0 || c.sent.full() {
		return 0
	}
	if w := int64(c.peer.edge - c.snd.nxt); w < n {
		if w < sillyRoom && c.snd.unacked() > 0 {
			return 0
		}
		n = max(0, w)
	}
	if !c.remoteKnown && c.cfg.Client {
		first := c.snd.first
		n = min(n, earlyLimit-int64(c.snd.nxt-first))
	}
	return n
}

// pump gives data to flows while there is data and room: first what is to be sent again, then what
// was never sent (RFC 8684 section 3.3.6), then the DATA_FIN.
func (c *Conn) pump(now time.Duration) {
	if c.closing.err != nil || len(c.flows) == 0 {
		return
	}
	if c.fall.due && (c.snd.unsent() > 0 || c.fin.queued) {
		c.fallBack(now, c.fall.reason)
		return
	}
	if c.fall.infinite {
		c.pumpPlain(now)
		return
	}
	c.sched.wake = 0
	for built := false; ; {
		seg := c.sent.nextLost()
		fresh := c.newData()
		if seg == nil && fresh <= 0 {
			break
		}
		if !built && !c.buildView(now) {
			break
		}
		built = true
		if !c.place(now, seg, fresh) {
			break
		}
	}
	c.opportunistic(now)
	c.sendFIN(now)
	c.armStall(now)
	c.armPersist(now)
}

// buildView fills the scheduler's view with the flows that may carry data, and says whether any has
// room. When every flow is stale, the stale ones are better than none.
func (c *Conn) buildView(now time.Duration) bool {
	d := &c.sched
	d.flows = d.flows[:0]
	for _, want := range [...]extapi.SubflowState{extapi.StateActive, extapi.StateStale} {
		for _, s := range c.flows {
			if s.state == want {
				d.flows = append(d.flows, s)
			}
		}
		if len(d.flows) > 0 {
			break
		}
	}
	v := &d.view
	v.Now, v.Paths = now, v.Paths[:0]
	room := false
	for _, s := range d.flows {
		s.stats = s.f.Stats(now)
		p := scheduler.Path{
			ID: s.id, SRTT: s.stats.SRTT, RTTVar: s.stats.RTTVar, CWnd: s.stats.CWnd,
			InFlight: s.inFlight(), Rate: s.stats.DeliveryRate, Backup: s.backup() || s.p.Role == extapi.RoleBackup,
			Prefer: prefer(s.p.Role), Cost: s.p.Cost, Room: int64(s.f.Room()),
		}
		room = room || p.Room > 0
		v.Paths = append(v.Paths, p)
	}
	return room
}

func prefer(r extapi.Role) int {
	switch r {
	case extapi.RolePrefer:
		return 1
	case extapi.RoleAvoid:
		return -1
	}
	return 0
}

// place asks the scheduler for one decision and carries it out: seg again, or up to fresh new bytes.
// It says whether asking again makes sense.
func (c *Conn) place(now time.Duration, seg *segment, fresh int64) bool {
	d := &c.sched
	v := &d.view
	v.Unsent = c.snd.unsent()
	v.PeerWindow = int64(c.peer.edge - c.snd.nxt)
	v.Reinject = seg != nil
	v.SentOn = nil
	if seg != nil && !seg.overdue {
		v.SentOn = c.carriers(seg)
	}
	dec := c.next()
	if dec.Path == 0 {
		if dec.Wait > 0 {
			d.wake = now + dec.Wait
			c.time.arm(d.wake)
		}
		return false
	}
	i := pathIndex(v, dec.Path)
	if i < 0 || v.Paths[i].Room <= 0 {
		return false
	}
	if seg != nil {
		n := int64(seg.n)
		c.resend(now, d.flows[i], seg)
		v.Paths[i].Room -= n
		v.Paths[i].InFlight += n
		return true
	}
	n := min(fresh, v.Paths[i].Room)
	w := c.windowFor(d.flows[i])
	if w < min(n, sillyRoom) {
		v.Paths[i].Room = 0 // until more is DATA_ACKed
		return true
	}
	n = min(n, w)
	if n < min(d.flows[i].worth(), fresh) && (v.Paths[i].InFlight > 0 || d.flows[i].stats.Unsent > 0) {
		v.Paths[i].Room = 0 // too little for a mapping: wait until more drains
		return true
	}
	if dec.Len > 0 { // how little the scheduler gives at once is its choice, and no room would come of waiting
		n = min(n, int64(dec.Len))
	}
	if full := int64(d.flows[i].stats.Segment); full > 0 && full <= n && n < fresh {
		n -= n % full
	}
	c.run(now, i, n, dec.Dup)
	return true
}

// worth is the smallest mapping that s takes while anything is under way there and more waits: from as much room on its
// carrier calls HandleRoom.
func (s *subflow) worth() int64 {
	if s.stats.Worth > 0 {
		return int64(s.stats.Worth)
	}
	return sillyRoom
}

func pathIndex(v *scheduler.View, id PathID) int {
	for i := range v.Paths {
		if v.Paths[i].ID == id {
			return i
		}
	}
	return -1
}

// carriers lists the flows that carry seg.
func (c *Conn) carriers(seg *segment) []PathID {
	l := c.sched.sentOn[:0]
	for _, s := range c.flows {
		if seg.carriers&s.slot != 0 {
			l = append(l, s.id)
		}
	}
	c.sched.sentOn = l
	return l
}

// run maps the next n bytes to flow i of the view, in as many mappings as it takes, and copies to
// the flows in dup that have room.
func (c *Conn) run(now time.Duration, i int, n int64, dup []PathID) {
	v := &c.sched.view
	most := int64(maxMapping)
	if g := int64(c.sched.flows[i].stats.Grain); g > 0 {
		most = min(most, g)
	}
	for n > 0 && !c.sent.full() {
		ref := c.snd.ref(c.snd.nxt, int(min(n, most)))
		seg := segment{dsn: c.snd.nxt, n: ref.Len(), sentAt: now}
		if full := c.sched.flows[i].stats.Segment; full > 0 {
			seg.padding = (full - seg.n%full) % full
		}
		c.snd.nxt += uint64(seg.n)
		n -= int64(seg.n)
		for _, id := range dup {
			if j := pathIndex(v, id); j >= 0 && j != i && v.Paths[j].Room > 0 {
				c.give(now, c.sched.flows[j], &seg, ref.Retain())
				v.Paths[j].Room -= int64(seg.n)
				v.Paths[j].InFlight += int64(seg.n)
			}
		}
		c.give(now, c.sched.flows[i], &seg, ref)
		v.Paths[i].Room -= int64(seg.n)
		v.Paths[i].InFlight += int64(seg.n)
		c.sent.push(seg)
	}
}

// resend gives a segment to a further flow (reinjection).
func (c *Conn) resend(now time.Duration, s *subflow, seg *segment) {
	var from PathID
	if l := c.carriers(seg); len(l) > 0 {
		from = l[0]
	}
	seg.sentAt = now
	c.fall.twice = true
	c.cfg.Counters.Count(mib.MPTCPRetrans)
	c.give(now, s, seg, c.snd.ref(seg.dsn, seg.n))
	if seg.lost {
		seg.lost, seg.overdue = false, false
		c.sent.lost--
	}
	s.count.reinjected += uint64(seg.n)
	if from != s.id {
		c.event(extapi.DataReinjected{From: from, To: s.id, Seq: seg.dsn, Len: seg.n})
	}
}

// give hands one mapping to a flow. The reference passes on.
func (c *Conn) give(now time.Duration, s *subflow, seg *segment, ref pool.Ref) {
	m := Mapping{DSN: seg.dsn, SSN: s.nxt, Len: seg.n, Ack: c.ackValue(now)}
	m.DataFIN = c.fin.rides(c, seg)
	if c.checksum {
		m.HasChecksum = true
		n := seg.n
		if m.DataFIN {
			n++
		}
		m.Checksum = dssChecksum(m.DSN, m.SSN, uint16(n), ref.B)
	}
	if m.DataFIN {
		c.fin.sentOn(now, s.id)
	}
	if !s.busy() {
		s.tx.since = now
	}
	c.time.trimmed = false
	s.nxt += uint32(seg.n)
	seg.on, seg.end = s.slot, s.nxt
	if seg.carriers&s.slot == 0 {
		seg.carriers |= s.slot
		s.tx.outstanding += int64(seg.n)
	}
	s.count.sent += uint64(seg.n)
	s.f.Send(now, m, ref)
	if c.cfg.Tracing {
		c.event(extapi.Scheduled{ID: s.id, Seq: seg.dsn, Len: seg.n})
	}
}
