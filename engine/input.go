package engine

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/seqnum"
	"github.com/mptcp-go/mptcp/options"
)

// HandleDSS takes a data sequence signal of a subflow: a DATA_ACK, a mapping, a DATA_FIN, in any
// combination (RFC 8684 section 3.3). d is not kept.
func (c *Conn) HandleDSS(now time.Duration, id PathID, d *options.DSS) {
	s := c.flow(id)
	if s == nil || s.state == extapi.StateClosed || !c.remoteKnown {
		return
	}
	s.tx.lastRx, s.signalled = now, true
	if d.HasAck {
		s.tx.lastDataAck = now
	}
	if c.cfg.Client && s.p.Initial && !c.established || s.state == extapi.StateJoining {
		c.HandleEstablished(now, id)
	}
	if d.HasAck && !c.fall.infinite { // after a fallback it was sent before the peer knew
		ack := d.DataAck
		if !d.Ack64 {
			ack = seqnum.Expand32(c.snd.una, uint32(ack))
		}
		if !c.takeDataAck(now, s, ack) {
			return
		}
	}
	if d.HasMap && (!s.rx.infinite || c.fall.agreed()) && s.state != extapi.StateClosed {
		c.takeMapping(now, s, d)
	}
}

// takeDataAck takes a DATA_ACK. One beyond what was sent breaks the protocol: that subflow is reset,
// the connection goes on without it.
func (c *Conn) takeDataAck(now time.Duration, s *subflow, ack uint64) bool {
	if seqnum.Less(c.lastSent(), ack) {
		if c.fall.agreed() {
			return true // it counts bytes that the path has added
		}
		c.abortFlow(now, s, ResetProtocol, &ProtocolError{Section: "RFC 8684 section 3.3.2", Detail: "DATA_ACK beyond what was sent"})
		return false
	}
	if !seqnum.Less(c.snd.una, ack) || c.fin.acked {
		return true
	}
	if c.fin.queued && ack == c.fin.dsn+1 {
		c.fin.acked = true
		ack--
	}
	c.dataAcked(now, ack)
	c.settleHalfClosed(now)
	c.checkClosed(now)
	c.pump(now)
	return true
}

// lastSent is the highest DATA_ACK that makes sense.
func (c *Conn) lastSent() uint64 {
	if c.fin.queued && c.snd.unsent() == 0 {
		return c.snd.nxt + 1
	}
	return c.snd.nxt
}

// dataAcked releases what lies below ack.
func (c *Conn) dataAcked(now time.Duration, ack uint64) {
	if !seqnum.Less(c.snd.una, ack) {
		return
	}
	var proven uint32
	c.sent.ack(ack, func(g *segment, n int) {
		for _, s := range c.flows {
			if g.carriers&s.slot == 0 {
				continue
			}
			s.tx.outstanding -= int64(n)
			if g.carriers == s.slot { // it can only have arrived there
				proven |= s.slot
			}
		}
	})
	c.snd.ack(ack)
	c.moved(now)
	c.acknowledgedData(now)
	for _, s := range c.flows { // only now: what is taken back in use sends at once
		if proven&s.slot != 0 {
			c.proven(now, s)
		}
	}
}

// takeMapping takes the mapping and the DATA_FIN of a DSS.
func (c *Conn) takeMapping(now time.Duration, s *subflow, d *options.DSS) {
	dsn := d.DSN
	if !d.DSN64 {
		dsn = seqnum.Expand32(c.rcv.q.rcvNxt(), uint32(dsn))
	}
	if d.DataLen == 0 {
		c.takeInfinite(now, s, dsn, d)
		return
	}
	n := uint64(d.DataLen)
	if d.DataFIN {
		n--
	}
	if c.rcv.finKnown && seqnum.Less(c.rcv.fin, dsn+n) {
		c.abortFlow(now, s, ResetProtocol, &ProtocolError{Section: "RFC 8684 section 3.3.3", Detail: "data beyond the DATA_FIN"})
		return
	}
	if n > 0 && s.rx.exact && !c.inWindow(dsn, n) {
		c.abortFlow(now, s, ResetProtocol, &ProtocolError{Section: "RFC 8684 section 3.3.5", Detail: "mapping outside the receive window"})
		return
	}
	if c.fall.found() {
		c.fall.declared = seqnum.Max(c.fall.declared, dsn+n)
	}
	if err := s.rx.add(dsn, d); err != nil {
		why := mib.DSSNotMatching
		if err == errSSN {
			why = mib.DSSNoMatchTCP
		}
		c.cfg.Counters.Count(why)
		c.abortFlow(now, s, ResetProtocol, err)
		return
	}
	if s.rx.held.bytes > 0 { // its bytes were here before it
		c.drain(now, s)
	}
	c.takeFIN(now, s)
}

// inWindow says whether a mapping lies where we allowed data to be. Old data is in order: it is a
// copy of what another subflow delivered, or a window probe.
func (c *Conn) inWindow(dsn, n uint64) bool {
	return seqnum.LessEq(dsn+n, c.rcv.win.rightEdge()) && seqnum.Diff(c.rcv.q.rcvNxt(), dsn) <= maxWindow
}

// takeInfinite takes an infinite mapping: the peer falls back (RFC 8684 section 3.7).
func (c *Conn) takeInfinite(now time.Duration, s *subflow, dsn uint64, d *options.DSS) {
	c.cfg.Counters.Count(mib.InfiniteMapRx)
	if len(c.flows) > 1 || !s.p.Initial || s.p.Carrier == extapi.CarrierStream {
		c.cfg.Counters.Count(mib.FallbackFailed)
		c.abortFlow(now, s, ResetMiddlebox, &ProtocolError{Section: "RFC 8684 section 3.7", Detail: "infinite mapping with more than one subflow, or on a carrier that never falls back"})
		return
	}
	if err := s.rx.add(dsn, d); err != nil {
		c.abortFlow(now, s, ResetProtocol, err)
		return
	}
	c.fallBack(now, extapi.FallbackInfiniteMap)
	c.drain(now, s)
}

// HandleBytes takes the next bytes of a subflow. The reference passes to the engine.
func (c *Conn) HandleBytes(now time.Duration, id PathID, p pool.Ref) {
	s := c.flow(id)
	if s == nil || s.state == extapi.StateClosed {
		p.Release()
		return
	}
	s.tx.lastRx = now
	s.count.received += uint64(p.Len())
	s.rx.bytes(p)
	c.drain(now, s)
}

// drain delivers what has become deliverable on a subflow.
func (c *Conn) drain(now time.Duration, s *subflow) {
	dup := false
	for {
		dsn, p, o := s.rx.next()
		if o == rxCorrupt {
			c.checksumFailed(now, s, dsn)
			return
		}
		if o == rxNone {
			break
		}
		dup = c.rcv.insert(dsn, p) || dup
	}
	if s.rx.unmapped() > 0 && c.fall.begun() && !s.rx.infinite {
		// MP_FAIL has made it plain TCP already. Linux does not always send the infinite mapping that is due.
		c.goPlain(now, s, c.fall.reason)
		return
	}
	if s.rx.unmapped() > maxUnmapped {
		c.stripped(now, s)
		return
	}
	c.awaitMapping(now, s)
	c.takeFIN(now, s)
	c.moved(now)
	c.received(now, s, dup)
}

// DirectRoom is how many of the next bytes of a subflow may go straight into the application's
// buffer: they are mapped, next in order, nothing waits before them and no checksum covers them.
func (c *Conn) DirectRoom(id PathID) int {
	s := c.flow(id)
	if s == nil || s.state == extapi.StateClosed || c.rcv.discard || c.rcv.q.buffered() > 0 || c.closing.err != nil {
		return 0
	}
	if dsn, ok := s.rx.current(); !ok || dsn != c.rcv.q.rcvNxt() {
		return 0
	}
	return s.rx.directRoom()
}

// DirectNext says whether the payload of a subflow's next mapping may go straight into the application's
// buffer if that turns out to be next in order: DirectRoom tells when the mapping has come.
func (c *Conn) DirectNext(id PathID) bool {
	s := c.flow(id)
	return s != nil && !c.rcv.discard && c.rcv.q.buffered() == 0 && c.closing.err == nil && s.rx.directNext()
}

// InOrder says whether the next bytes of a subflow are mapped, and next in order.
func (c *Conn) InOrder(id PathID) bool {
	s := c.flow(id)
	if s == nil {
		return false
	}
	dsn, ok := s.rx.current()
	return ok && dsn == c.rcv.q.rcvNxt()
}

// HandleDirect says that n bytes (at most DirectRoom) went into the application's buffer.
func (c *Conn) HandleDirect(now time.Duration, id PathID, n int) {
	s := c.flow(id)
	if s == nil || n <= 0 {
		return
	}
	s.tx.lastRx = now
	s.count.received += uint64(n)
	s.rx.direct(n)
	c.rcv.q.direct(n)
	c.rcv.delivered += uint64(n)
	c.rcv.win.arrived(c.rcv.q.rcvNxt(), 0)
	c.rcv.win.consumed(now, n, c.maxRTT())
	c.moved(now)
	c.received(now, s, false)
}

// received follows every arrival of data: the DATA_FIN may be due, an acknowledgement too.
func (c *Conn) received(now time.Duration, s *subflow, dup bool) {
	c.rcv.last = s.id
	c.time.trimmed = false
	c.reachFIN(now)
	if c.closing.app && c.rcv.lostData {
		c.checkClosed(now)
	}
	if c.fall.infinite || c.closed() {
		return
	}
	if dup {
		// A copy of what we have: the peer may have missed a DATA_ACK, or it probes the window.
		c.rcv.win.duplicate(now, c.rcv.ackNext())
	}
	c.maybeAck(now, s)
}

// takeFIN takes the peer's DATA_FIN when one has come on s that can be believed.
func (c *Conn) takeFIN(now time.Duration, s *subflow) {
	dsn, ok := s.rx.fin()
	if !ok {
		return
	}
	s.rx.hasFin = false
	r := &c.rcv
	if c.fall.found() && dsn != r.q.rcvNxt() {
		return // the path has changed how many bytes there are: TCP's FIN, which follows, stands behind all of them
	}
	if r.finKnown && r.fin != dsn || !r.finKnown && (seqnum.Less(dsn, r.q.end()) || seqnum.Less(r.win.rightEdge(), dsn)) {
		c.abortFlow(now, s, ResetProtocol, &ProtocolError{Section: "RFC 8684 section 3.3.3", Detail: "DATA_FIN contradicts an earlier one, or the data"})
		return
	}
	r.fin, r.finKnown = dsn, true
	r.last = s.id
	if r.finSeen {
		c.sendAck(now, s) // the peer has missed our DATA_ACK of it
		return
	}
	c.reachFIN(now)
}

// reachFIN notices that everything before the DATA_FIN has arrived.
func (c *Conn) reachFIN(now time.Duration) {
	r := &c.rcv
	if !r.finKnown || r.finSeen || r.q.rcvNxt() != r.fin {
		return
	}
	r.finSeen = true
	if s := c.ackFlow(); s != nil {
		c.sendAck(now, s)
	}
	c.checkClosed(now)
}
