package engine

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/seqnum"
	"github.com/mptcp-go/mptcp/options"
)

// fallback is the connection's way back to plain TCP (RFC 8684 section 3.7). It is taken with one
// subflow only; with more than one, the subflow that breaks is reset and the others go on.
type fallback struct {
	reason   extapi.FallbackReason
	due      bool   // the peer has found our data changed: an infinite mapping goes with our next
	infinite bool   // we send one infinite mapping, and no MPTCP option after it
	mapped   bool   // that mapping has left
	failSent bool   // MP_FAIL went out
	declared uint64 // where the peer's data failed: the end of its mappings, which the path's bytes no longer tell
	twice    bool   // some of our data left more than once: without mappings it would arrive twice
}

// begun says whether there is no way but to plain TCP any more.
func (f *fallback) begun() bool { return f.reason != extapi.FallbackNone }

// agreed says whether MP_FAIL has told both sides, and the infinite mapping has yet to come: with the next data of the
// side whose data failed. Until then mappings, DATA_ACKs and DATA_FINs go on.
func (f *fallback) agreed() bool { return f.begun() && !f.infinite }

// found says whether it is the peer's data that has failed.
func (f *fallback) found() bool { return f.failSent && !f.due && !f.infinite }

// FellBack says whether the connection is plain TCP, or is to be as soon as the peer knows: no option of Multipath TCP
// leaves any more but the one infinite mapping.
func (c *Conn) FellBack() bool { return c.fall.infinite }

// HandlePlain says that the peer's TCP acknowledges data of ours without any DATA_ACK, from the first such
// acknowledgement on: options do not pass. "In the case of such an ACK being received on the first subflow
// [...] before any additional subflows are added, the implementation MUST drop out of MPTCP mode and fall
// back to regular TCP"; any other subflow is closed with a RST (RFC 8684 section 3.7).
func (c *Conn) HandlePlain(now time.Duration, id PathID) {
	s := c.flow(id)
	if s == nil || c.fall.infinite {
		return
	}
	c.stripped(now, s)
}

// stripped leaves Multipath TCP where that is possible, and the subflow where not.
func (c *Conn) stripped(now time.Duration, s *subflow) {
	if !c.alone(s) || !c.contiguous(s) {
		c.cfg.Counters.Count(mib.FallbackFailed)
		c.abortFlow(now, s, ResetMiddlebox, nil)
		return
	}
	reason := extapi.FallbackStripped
	if !c.established && !c.cfg.Client {
		reason = extapi.FallbackThirdAck
	}
	count := mib.MPCapableDataFallback
	if s.signalled {
		count = mib.DssFallback
	}
	c.cfg.Counters.Count(count)
	c.goPlain(now, s, reason)
}

// alone says whether s is the only subflow that there has been, on a carrier that has plain TCP below it.
func (c *Conn) alone(s *subflow) bool {
	return c.nextID == s.id && s.p.Initial && s.p.Carrier != extapi.CarrierStream
}

// mute says whether the only subflow that there has been brings acknowledgements and no DATA_ACK any more: either the
// path strips it, or the peer has fallen back and could not tell; what it sends again then has its mapping still. Data
// must not be sent twice.
func (c *Conn) mute(now time.Duration) *subflow {
	if len(c.flows) != 1 || !c.alone(c.flows[0]) || !c.flows[0].open() {
		return nil
	}
	if s := c.flows[0]; s.tx.lastBare > s.tx.lastDataAck && now-s.tx.lastDataAck >= c.dataTimeout()/2 {
		return s
	}
	return nil
}

// unheard is the only subflow that there has been, when its TCP has delivered everything and nothing has come since: a
// peer that has fallen back and has nothing to send says so only to who asks. It is asked once for each byte that is late.
func (c *Conn) unheard(head *segment) *subflow {
	if len(c.flows) != 1 || !c.alone(c.flows[0]) {
		return nil
	}
	s := c.flows[0]
	if !s.usable() || s.stats.InFlight != 0 || s.stats.Unsent > 0 || s.tx.unheard > head.sentAt || c.fall.twice {
		return nil
	}
	return s
}

// HandleBare says that a segment has come on a subflow without any option of Multipath TCP.
func (c *Conn) HandleBare(now time.Duration, id PathID) {
	if s := c.flow(id); s != nil {
		s.tx.lastBare = now
	}
}

// goPlain makes s plain TCP in both directions.
func (c *Conn) goPlain(now time.Duration, s *subflow, why extapi.FallbackReason) {
	c.fallBack(now, why)
	if !c.remoteKnown {
		c.rcv.begin(1, &c.cfg) // any number will do: none is ever sent
	}
	s.rx.setInfinite(c.rcv.q.rcvNxt())
	c.drain(now, s)
}

// unmappedWait is how long bytes wait for a mapping, which a box on the path may have moved to a later segment
// of the same burst. Linux does not wait, and neither side may have sent data twice on the subflow by then:
// its retransmission at the data level comes after 200 ms at the soonest, ours after dataFloor.
const unmappedWait = 50 * time.Millisecond

// awaitMapping starts to wait, or stops.
func (c *Conn) awaitMapping(now time.Duration, s *subflow) {
	switch {
	case s.rx.unmapped() == 0 || s.rx.exact:
		s.unmapped = 0
	case s.unmapped == 0:
		s.unmapped = now + unmappedWait
		c.time.arm(s.unmapped)
	}
}

// checkUnmapped ends the wait for mappings. What strips them did not do so from the beginning: a re-route.
// "the subflow SHOULD be treated as broken and closed with a RST, since no data can be delivered to the
// application layer and no fallback signal can be reliably sent" (RFC 8684 section 3.7). As long as there
// has been one subflow only, and every byte before these is in order, they can be delivered: as Linux does,
// the connection goes on as TCP.
func (c *Conn) checkUnmapped(now time.Duration) {
	for i := len(c.flows) - 1; i >= 0 && !c.closed(); i-- {
		s := c.flows[i]
		switch {
		case s.unmapped == 0:
		case s.unmapped > now:
			c.time.arm(s.unmapped)
		default:
			s.unmapped = 0
			c.stripped(now, s)
		}
	}
}

// contiguous says whether s, the only subflow, carries the data sequence space without a hole, so that
// its bytes can go on without mappings: an infinite mapping needs one subflow only, with all before it
// settled on it. "In the rare case that the data is not contiguous [...] the receiver MUST close the
// subflow with a RST with MP_FAIL" (RFC 8684 section 3.7). What waits to be sent again is no hole where there
// has been no other subflow: s, which was silent for long, has every byte of it.
func (c *Conn) contiguous(s *subflow) bool {
	return c.rcv.q.outOfOrder() == 0 && (c.sent.lost == 0 || c.alone(s)) && !c.fall.twice
}

// fallBack turns the connection into plain TCP on its one subflow. The receiver goes on from where
// it stands; the sender announces an infinite mapping with its next byte.
func (c *Conn) fallBack(now time.Duration, reason extapi.FallbackReason) {
	if c.fall.infinite {
		return
	}
	c.beginFallback(now, reason)
	c.fall.infinite, c.fall.due = true, false
	// No DATA_ACK comes any more: what the subflow has taken it delivers, as TCP does.
	c.dataAcked(now, c.snd.nxt)
	if c.fin.queued {
		c.closePlain(now)
	}
	c.pump(now)
}

// beginFallback decides that the only subflow stays the only one.
func (c *Conn) beginFallback(now time.Duration, reason extapi.FallbackReason) {
	if c.fall.begun() {
		return
	}
	c.fall.reason = reason
	c.event(extapi.ConnFellBack{Reason: reason})
	c.id.carrier = extapi.CarrierTCP
	c.rcv.unbounded = true
	c.paths.stop(now)
}

// pumpPlain passes bytes on after a fallback: the first under an infinite mapping (data-level length
// 0), the rest under none.
func (c *Conn) pumpPlain(now time.Duration) {
	s := c.flows[0]
	for c.snd.unsent() > 0 && s.open() {
		room := s.f.Room()
		if room <= 0 {
			return
		}
		ref := c.snd.ref(c.snd.nxt, min(room, maxMapping))
		m := Mapping{DSN: c.snd.nxt, SSN: s.nxt, Len: ref.Len(), Infinite: true, Continued: c.fall.mapped}
		c.fall.mapped = true
		c.snd.nxt += uint64(m.Len)
		s.nxt += uint32(m.Len)
		s.count.sent += uint64(m.Len)
		s.f.Send(now, m, ref)
		c.snd.ack(c.snd.nxt)
	}
	if c.fin.queued {
		c.closePlain(now)
	}
}

// closePlain ends our direction after a fallback: with the subflow's own FIN, which counts as acknowledged when the
// peer's TCP says so.
func (c *Conn) closePlain(now time.Duration) {
	if c.snd.unsent() > 0 || len(c.flows) == 0 || c.fin.acked {
		return
	}
	s := c.flows[0]
	c.closeFlow(now, s)
	if s.finAcked {
		c.fin.acked = true
		c.checkClosed(now)
	}
}

// deliveredPlain says whether the peer's TCP has all that the subflow of a fallback was given: no DATA_ACK tells.
func (c *Conn) deliveredPlain() bool {
	return len(c.flows) == 0 || c.flows[0].delivered()
}

// checksumFailed handles a mapping whose DSS checksum is wrong: what arrived since dsn is not to be
// trusted. With several subflows this one is closed with a RST that carries MP_FAIL; with one alone
// MP_FAIL is sent and the connection falls back (RFC 8684 section 3.7). Where reset is the only
// safe answer, because a carrier has no plain TCP below it, the flow's carrier says so.
//
// "The sender will receive this information and [...] will signal an infinite mapping": it comes first, and ours is
// the answer. Linux 6.18, when ours comes before it has sent its own, makes segments of a size that leaves no room for
// that option, and never gets one through.
func (c *Conn) checksumFailed(now time.Duration, s *subflow, dsn uint64) {
	err := &ProtocolError{Section: "RFC 8684 section 3.7", Detail: "DSS checksum does not match: something on the path changes the data"}
	single := len(c.flows) == 1 && s.p.Initial && s.open() && c.contiguous(s) && s.p.Carrier != extapi.CarrierStream
	c.cfg.Counters.Count(mib.DataCsumErr)
	if s.open() {
		s.f.Signal(now, options.MPFail{DSN: dsn})
	}
	if !single {
		c.cfg.Counters.Count(mib.DSSCorruptionReset)
		c.abortFlow(now, s, ResetMiddlebox, err)
		return
	}
	c.cfg.Counters.Count(mib.DSSCorruptionFallback)
	c.fall.failSent = true
	c.fall.declared = seqnum.Max(c.rcv.ackNext(), s.rx.declared()) // what fails may be a copy, of what has long been acknowledged
	s.rx.setInfinite(dsn)
	c.beginFallback(now, extapi.FallbackChecksum)
	c.drain(now, s)
}

// HandleAsked says that the peer wants a sign of life on a subflow, which a TCP asks for only when nothing that it has sent is
// outstanding. Where a mapping lacks bytes then, the path has taken them away, and no checksum could tell: the peer would send
// the data again, and both would be delivered in the end.
func (c *Conn) HandleAsked(now time.Duration, id PathID) {
	s := c.flow(id)
	if s == nil || !c.alone(s) {
		return
	}
	if dsn, short := s.rx.short(); short {
		c.checksumFailed(now, s, dsn)
	}
}

// handleFail takes MP_FAIL: the peer found our data changed from o.DSN on. On the only subflow both
// sides fall back; else the subflow is about to be reset by the peer. To ours it is the answer.
func (c *Conn) handleFail(now time.Duration, s *subflow, o options.MPFail) {
	if len(c.flows) > 1 || !s.p.Initial || !s.open() || s.p.Carrier == extapi.CarrierStream {
		c.abortFlow(now, s, ResetMiddlebox, nil)
		return
	}
	if c.fall.failSent {
		return
	}
	c.fall.failSent, c.fall.due = true, true
	s.f.Signal(now, options.MPFail{DSN: c.rcv.q.rcvNxt()})
	c.beginFallback(now, extapi.FallbackChecksum)
	c.dataAcked(now, c.snd.nxt) // what failed is delivered as it is, and never sent again
	c.pump(now)
}
