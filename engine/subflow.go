package engine

import (
	"errors"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// maxFlows is the ceiling on subflows of one connection, whatever the policy says: slots are bits.
const maxFlows = 32

// subflow is the engine's side of one flow.
type subflow struct {
	id    PathID
	slot  uint32 // its bit in segment.carriers
	f     Flow
	p     FlowParams
	state extapi.SubflowState
	rx    rxMappings
	nxt   uint32 // relative sequence number of the next byte that Send maps
	stats FlowStats
	tx    flowProgress
	count flowCounters
	err   error

	announced  bool // SubflowEstablished was reported
	signalled  bool // a DSS has come
	finSent    bool
	finAcked   bool // by the peer's TCP
	finRcvd    bool
	penalised  time.Duration // until when its Limit is lowered; 0: it is not
	questioned time.Duration // until when it has to answer a probe, its address having been withdrawn; 0: no
	prioSince  time.Duration // start of the second that prios counts in
	prios      int
	unmapped   time.Duration // until when bytes without a mapping wait for one; 0: there are none
	replacedBy PathID        // the probe that took this stale flow's path over
}

// flowProgress is what stall detection looks at (stale.go).
type flowProgress struct {
	outstanding int64         // bytes given to the flow and not DATA_ACKed
	since       time.Duration // when it last became busy
	last        time.Duration // last sign that the path carries what we send
	acked       int64         // FlowStats.Acked at that time
	gap         time.Duration // decaying maximum of the time between two signs while busy
	lastRx      time.Duration // last bytes from the peer
	lastDataAck time.Duration // last DATA_ACK from the peer, new or old
	lastBare    time.Duration // last segment without any option
	unheard     time.Duration // when it was asked for one last (fallback.go)
	asked       time.Duration // since when a probe waits for its answer; 0: none does (doubt.go)
	answered    time.Duration // when the peer itself last did
	delivered   time.Duration // when a DATA_ACK last moved over what it alone carried
	again       time.Duration // when it is asked again, while it is doubted
	looks       uint          // at it since it is stale
	calm        bool          // the last look found nothing that a sign of life is due for
	doubted     bool          // acknowledgements at the level of the subflow prove nothing any more
}

type flowCounters struct {
	sent, received, reinjected uint64
}

// usable says whether new data may be given to the flow.
func (s *subflow) usable() bool { return s.state == extapi.StateActive }

// open says whether the flow still carries bytes.
func (s *subflow) open() bool { return s.state < extapi.StateClosing }

// backup says whether either side asked for the flow to be kept for need (RFC 8684 section 3.3.8).
func (s *subflow) backup() bool { return s.p.Backup || s.p.PeerBackup }

// busy says whether the flow owes us a sign of life.
func (s *subflow) busy() bool {
	return s.tx.outstanding > 0 || s.stats.InFlight > 0 || s.stats.Unsent > 0
}

// delivered says whether the peer's TCP, or a proxy's, has acknowledged every byte that the flow was given.
func (s *subflow) delivered() bool { return uint32(s.stats.Acked)+1 == s.nxt }

// srtt is the smoothed round-trip time, or a cautious guess while the carrier cannot tell.
func (s *subflow) srtt() time.Duration {
	if s.stats.SRTT > 0 {
		return s.stats.SRTT
	}
	return 100 * time.Millisecond
}

// inFlight is what the flow has on the way, by the carrier's account or by the DATA_ACKs.
func (s *subflow) inFlight() int64 {
	if s.stats.InFlight >= 0 {
		return s.stats.InFlight
	}
	return s.tx.outstanding
}

// eta estimates how long the newest byte given to the flow takes to arrive and be acknowledged.
func (s *subflow) eta() time.Duration {
	d := s.srtt()
	queued := max(0, s.stats.Unsent)
	if s.stats.DeliveryRate > 0 {
		d += time.Duration(float64(queued) / float64(s.stats.DeliveryRate) * float64(time.Second))
	}
	return d
}

// Outstanding is how many bytes a subflow has been given that are not DATA_ACKed.
func (c *Conn) Outstanding(id PathID) int64 {
	if s := c.flow(id); s != nil {
		return s.tx.outstanding
	}
	return 0
}

func (c *Conn) flow(id PathID) *subflow {
	for _, s := range c.flows {
		if s.id == id {
			return s
		}
	}
	return nil
}

// AddFlow puts a subflow under the engine: the connection's first one (Initial), one that answers a
// JoinRequest (Attempt), or one that the peer joined. It returns the subflow's id, or 0 when the
// connection takes no more: then the caller aborts the flow with ResetProhibited.
func (c *Conn) AddFlow(now time.Duration, f Flow, p FlowParams) PathID {
	if p.Accepted {
		c.JoinRefused(now) // it is pending no longer
	}
	slot := c.freeSlot()
	if slot == 0 || c.closed() || c.closing.parting(now) || c.fall.begun() {
		c.paths.failed(now, p.Attempt, false)
		return 0
	}
	c.nextID++
	s := &subflow{id: c.nextID, slot: slot, f: f, p: p, nxt: 1}
	s.rx.init(c.checksum)
	s.rx.exact = p.Carrier == extapi.CarrierStream
	s.stats = f.Stats(now)
	s.tx.since, s.tx.last, s.tx.lastRx, s.tx.lastDataAck = now, now, now, now
	s.state = extapi.StateActive
	if p.Joining {
		s.state = extapi.StateJoining
	}
	c.slots |= slot
	c.flows = append(c.flows, s)
	c.noPath = 0
	if c.closing.finished {
		c.closing.waiting, c.closing.linger = false, now+lingerFIN
		c.time.arm(c.closing.linger)
	}
	if p.Initial {
		c.addrs.first(p.Local, p.Remote)
		c.paths.first(now, p)
	} else {
		if p.Accepted {
			c.addrs.observe(p.RemoteID, p.Remote)
		}
		c.paths.opened(now, p.Attempt, s.id, p)
	}
	switch {
	case p.Fallback != extapi.FallbackNone:
		c.goPlain(now, s, p.Fallback)
	case s.state == extapi.StateActive:
		c.activate(now, s)
		c.retireReplaced(now, s)
	default:
		c.time.arm(now + joinConfirm)
	}
	if !c.cfg.Client && !c.established {
		c.time.arm(now + joinConfirm)
	}
	c.pump(now)
	return s.id
}

func (c *Conn) freeSlot() uint32 {
	for b := uint32(1); b != 0; b <<= 1 {
		if c.slots&b == 0 {
			return b
		}
	}
	return 0
}

// activate makes a flow ready for data: it tells the peer where we stand, so that an acknowledgement
// which a dying flow took along is not missed.
func (c *Conn) activate(now time.Duration, s *subflow) {
	s.state = extapi.StateActive
	s.tx.last = now
	c.time.stall = 0 // as in revive
	if c.remoteKnown && !c.fall.infinite {
		s.f.Ack(now, c.ackValue(now))
	}
	c.sent.reassess(c.liveSlots())
	if c.established { // ConnEstablished comes first
		c.announce(s)
	}
	if c.closing.finished { // TIME_WAIT: all that the peer can lack is this acknowledgement
		c.closeFlow(now, s)
		return
	}
	c.setBackup(now, s, c.addrs.wishes.or(s.p.Local, s.p.RemoteID, s.p.Backup))
	c.flushSignals(now)
	c.checkIdle(now)
}

// announce tells of a subflow that may carry data, once.
func (c *Conn) announce(s *subflow) {
	if !s.announced && s.usable() {
		s.announced = true
		c.event(extapi.SubflowEstablished{Info: c.subflowInfo(s)})
	}
}

// HandleEstablished says that the peer has proved to know both keys (first subflow), or that the
// fourth message of a join has come. Until then a join is in the state
// PRE_ESTABLISHED, in which "it is not permissible to send data" (RFC 8684 section 3.2).
func (c *Conn) HandleEstablished(now time.Duration, id PathID) {
	s := c.flow(id)
	if s == nil || !s.open() {
		return
	}
	if s.p.Initial && !c.established {
		c.setEstablished(now)
	}
	if s.state == extapi.StateJoining {
		c.activate(now, s)
		c.retireReplaced(now, s)
		c.pump(now)
	}
}

// retireReplaced closes the stale flow whose path the fresh flow s now serves, or s itself when the
// old one has come back meanwhile.
func (c *Conn) retireReplaced(now time.Duration, s *subflow) {
	probe := c.paths.probeOf(s.id)
	old := c.flow(probe)
	if probe == 0 || old == nil || !old.open() {
		return
	}
	if old.state == extapi.StateStale {
		old.replacedBy = s.id
		c.abortFlow(now, old, ResetPerformance, nil)
		return
	}
	c.closeFlow(now, s)
}

// liveSlots are the flows whose copies of a segment count: those in use, or when all are stale those,
// since there is no sense in giving one the same bytes again.
func (c *Conn) liveSlots() uint32 {
	var active, stale uint32
	for _, s := range c.flows {
		switch s.state {
		case extapi.StateActive:
			active |= s.slot
		case extapi.StateStale:
			stale |= s.slot
		}
	}
	if active == 0 {
		return stale
	}
	return active
}

// joinConfirm is how long a join's fourth message may take, and the third one of the first subflow.
const joinConfirm = 10 * time.Second

// checkJoining gives up the joins whose fourth message does not come.
func (c *Conn) checkJoining(now time.Duration) {
	if !c.cfg.Client && !c.established {
		c.checkUnconfirmed(now)
	}
	for i := len(c.flows) - 1; i >= 0 && !c.closed(); i-- {
		s := c.flows[i]
		switch at := s.tx.since + joinConfirm; {
		case s.state != extapi.StateJoining:
		case at > now:
			c.time.arm(at)
		default:
			c.abortFlow(now, s, ResetUnspecified, errJoinUnconfirmed)
		}
	}
}

// checkUnconfirmed gives up a connection whose client does not prove that it got our key: somebody may
// have sent another's first message again.
func (c *Conn) checkUnconfirmed(now time.Duration) {
	if c.fall.begun() || len(c.flows) == 0 {
		return
	}
	if at := c.id.born + joinConfirm; at > now {
		c.time.arm(at)
		return
	}
	c.abortFlow(now, c.flows[0], ResetUnspecified, errUnconfirmed)
}

// HandleFIN takes the peer's FIN on a subflow: it sends nothing more there. A FIN ends a subflow, not
// the connection: that takes a DATA_FIN (RFC 8684 section 3.3.3).
func (c *Conn) HandleFIN(now time.Duration, id PathID) {
	s := c.flow(id)
	if s == nil || s.finRcvd {
		return
	}
	s.finRcvd = true
	c.confirm(now)
	if s.state == extapi.StateJoining {
		c.abortFlow(now, s, ResetUnspecified, nil)
		return
	}
	if s.unmapped != 0 { // no mapping can come any more
		s.unmapped = 0
		c.stripped(now, s)
		if !s.open() {
			return
		}
	}
	if c.fall.agreed() && !c.rcv.finSeen {
		c.fallBack(now, c.fall.reason)
	}
	if c.fall.infinite { // without DATA_FINs the FIN ends the stream, as in TCP
		c.rcv.finSeen = true
		c.checkClosed(now)
	}
	c.settleHalfClosed(now)
	c.pump(now)
}

// HandleFINAcked says that the peer's TCP, or a proxy's, has acknowledged our FIN on a subflow. After a fallback that
// ends our direction of the connection.
func (c *Conn) HandleFINAcked(now time.Duration, id PathID) {
	s := c.flow(id)
	if s == nil {
		return
	}
	s.finAcked = true
	if c.fall.infinite && c.fin.queued {
		c.closePlain(now)
	}
}

// settleHalfClosed closes our half of the subflows that the peer has finished, once they are not the
// last way for what we still have to deliver.
func (c *Conn) settleHalfClosed(now time.Duration) {
	if c.fall.infinite {
		return // the peer's half of the connection, not of one subflow: ours goes on
	}
	c.settleFIN(now)
	for _, s := range c.flows {
		if !s.finRcvd || !s.open() {
			continue
		}
		if c.Drained() || c.otherUsable(s) {
			c.closeFlow(now, s)
			return
		}
	}
}

// settleFIN counts our DATA_FIN as delivered when nothing else is outstanding and the peer, which has
// sent its own, has closed its half of every subflow: no DATA_ACK can come any more, and the DATA_FIN
// arrives before our FIN does. "A host MUST NOT close all functioning subflows unless it is safe to do
// so" (RFC 8684 section 3.3.3), so the peer waits for nothing else.
func (c *Conn) settleFIN(now time.Duration) {
	if !c.rcv.finSeen || !c.fin.sent || c.fin.acked || c.snd.size() > 0 {
		return
	}
	for _, s := range c.flows {
		if s.open() && !s.finRcvd {
			return
		}
	}
	c.fin.acked = true
	c.checkClosed(now)
}

// otherUsable says whether a flow other than s can take over, both ways.
func (c *Conn) otherUsable(s *subflow) bool {
	for _, x := range c.flows {
		if x != s && x.usable() && !x.finRcvd {
			return true
		}
	}
	return false
}

// HandleClosed takes the end of a subflow. err is nil after an orderly exchange of FINs.
func (c *Conn) HandleClosed(now time.Duration, id PathID, err error) {
	s := c.flow(id)
	if s == nil {
		return
	}
	orderly := err == nil && !s.open()
	if orderly {
		c.confirm(now)
	}
	if s.err == nil {
		s.err = err
	}
	c.removeFlow(now, s, orderly)
}

// closeFlow ends a subflow in order: what it carries unacknowledged is sent elsewhere as well.
func (c *Conn) closeFlow(now time.Duration, s *subflow) {
	if !s.open() {
		return
	}
	s.state = extapi.StateClosing
	s.finSent = true
	c.credit(now, s)
	c.sent.reassess(c.liveSlots())
	s.f.Close(now)
	c.checkNoPath(now)
}

// abortFlow resets a subflow at once.
func (c *Conn) abortFlow(now time.Duration, s *subflow, r ResetReason, err error) {
	if s.state == extapi.StateClosed {
		return
	}
	if s.err == nil {
		s.err = err
	}
	if s.err == nil && r != ResetUnspecified {
		s.err = &ResetError{Reason: r, Path: s.id}
	}
	s.f.Abort(now, r)
	c.removeFlow(now, s, r == ResetUnspecified && err == nil)
}

// removeFlow forgets a subflow; its unacknowledged data is sent again on the others.
func (c *Conn) removeFlow(now time.Duration, s *subflow, orderly bool) {
	wasActive := s.announced
	s.state = extapi.StateClosed
	s.rx.drop()
	c.slots &^= s.slot
	c.credit(now, s)
	c.sent.forget(s.slot)
	for i, x := range c.flows {
		if x == s {
			c.flows = append(c.flows[:i], c.flows[i+1:]...)
			break
		}
	}
	c.sent.reassess(c.liveSlots())
	c.fin.forget(s.id)
	c.addLog(s)
	switch {
	case s.replacedBy != 0:
		c.paths.replaced(now, s.id, s.replacedBy)
	case orderly:
		c.paths.closed(now, s.id)
	case refusedReset(s.err):
		c.paths.refused(now, s.id)
	default:
		c.paths.setRTT(s.id, s.stats.SRTT)
		c.paths.lost(now, s.id, wasActive)
	}
	c.event(extapi.SubflowClosed{Info: c.counted(s), Err: s.err})
	c.reack(now)
	c.replan(now)
	c.checkNoPath(now)
	c.checkClosed(now)
	c.pump(now)
}

// checkNoPath starts the timeout that runs while no subflow is left. A stale one is not gone.
func (c *Conn) checkNoPath(now time.Duration) {
	for _, s := range c.flows {
		if s.open() || c.fall.infinite { // after a fallback a half-closed subflow is a half-closed connection
			return
		}
	}
	if c.closed() || c.closing.done() || c.noPath != 0 {
		return
	}
	if c.cfg.NoPathTimeout < 0 || c.fall.begun() || !c.established {
		// Before both sides are known to have both keys no join can bring a subflow.
		c.fail(now, c.lastPathError())
		return
	}
	c.noPath = max(now+c.cfg.NoPathTimeout, 1)
	c.time.arm(c.noPath)
}

// lastPathError says why the connection has no path.
func (c *Conn) lastPathError() error {
	if c.fall.begun() && c.lastErr != nil {
		return c.lastErr
	}
	return ErrNoPath
}

// refusedReset says whether a subflow was reset for a reason that lasts: by the peer, as "administratively
// prohibited" and the like without the T flag (RFC 8684 section 3.6), or by either side because something on
// the path interferes.
func refusedReset(err error) bool {
	var r *ResetError
	if !errors.As(err, &r) || r.Transient {
		return false
	}
	return r.Reason == ResetMiddlebox || r.Remote && (r.Reason == ResetProhibited || r.Reason == ResetProtocol)
}
