package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// HandleSegment takes a segment that has arrived for this connection. p is the chunk that its payload lies
// in, and one reference to it passes; without a chunk the payload is copied. The segment itself may be used
// again after the call.
func (c *Conn) HandleSegment(now time.Duration, s *packet.Segment, p pool.Ref) {
	c.borrow()
	defer c.giveBack()
	p = payload(s, p)
	countIn(&c.stats.TCPPerfCounters, len(p.B))
	switch c.state {
	case Closed:
	case SynSent:
		c.synSent(now, s, p)
	case TimeWait:
		c.rest(now, s)
	default:
		c.synchronized(now, s, p)
	}
	p.Release()
	if c.state != Closed {
		c.offerRoom(now)
	}
}

// rest is TIME-WAIT's part.
func (c *Conn) rest(now time.Duration, s *packet.Segment) {
	if c.remains.take(now, s, c.event()) {
		c.ack.at()
	}
	c.ts = c.remains.ts
	c.timers.set(timerLast, c.remains.until)
}

// synchronized is RFC 9293 section 3.10.7.4: the order of the checks is the RFC's.
func (c *Conn) synchronized(now time.Duration, s *packet.Segment, p pool.Ref) {
	c.head.parse(s.Options, s.Flags.Has(packet.SYN))
	off := c.rcv.offset(s.Seq)
	n := len(p.B)
	if c.state == SynReceived && off == 0 && s.Flags&(packet.SYN|packet.RST) == packet.SYN {
		c.repeatedSYN(now, s)
		return
	}
	if s.Flags&(packet.SYN|packet.RST) == packet.SYN {
		// "If the SYN bit is set, irrespective of the sequence number, TCP MUST send an ACK (also referred
		// to as challenge ACK) to the remote peer" (RFC 5961 section 4.2). It may be the SYN/ACK once more,
		// after the loss of our ACK.
		c.event().InSYNs++
		c.challenge(now)
		return
	}
	if !c.timely(now, s, off, n) || !c.inWindow(now, s, off, n) {
		return
	}
	if s.Flags.Has(packet.RST) {
		c.handleRST(now, s, off)
		return
	}
	if !s.Flags.Has(packet.ACK) {
		return
	}
	ack, ok := c.ackable(now, s)
	if !ok {
		return
	}
	if !c.consult(now, s, uint64(max(off, 1)), n-int(max(off, 1)-off), ack) || c.state == Closed {
		return
	}
	c.live.alive(now, c)
	if c.ts.on && c.head.hasTS {
		c.ts.update(now, c.head.tsVal, off)
	}
	if c.state == SynReceived {
		c.established(now)
		if c.state == Closed {
			return
		}
		c.snd.window(uint64(off), 0, int64(s.Window)<<c.snd.scale)
	}
	if !c.handleACK(now, s, uint64(max(off, 0)), n, ack) {
		return
	}
	c.ecn.arrived(c, s)
	c.handlePayload(now, off, p, s.Flags.Has(packet.FIN))
}

// repeatedSYN answers the peer's SYN once more: our SYN/ACK was lost, or both sides have opened and this
// is the peer's SYN/ACK, which serves as the ACK of ours.
func (c *Conn) repeatedSYN(now time.Duration, s *packet.Segment) {
	if s.Flags.Has(packet.ACK) {
		if s.Ack != c.snd.iss+1 {
			c.rst.because(s)
			return
		}
		if !c.consult(now, s, 0, 0, 1) || c.state != SynReceived {
			return
		}
		c.snd.window(0, 1, int64(s.Window))
		c.established(now)
		c.ack.at()
		return
	}
	c.event().DupSYNs++
	if c.limits.duplicates.Take(now) {
		c.hs.due = true
	}
}

// timely is the check of PAWS: "If … SEG.TSval < TS.Recent … and if the RST bit is not set, then treat the
// arriving segment as not acceptable: … Send an acknowledgment in reply … and drop the segment" (RFC 7323
// section 5.3). "If a non-<RST> segment is received without a TSopt, a TCP SHOULD silently drop the
// segment" (section 3.2).
func (c *Conn) timely(now time.Duration, s *packet.Segment, off int64, n int) bool {
	if !c.ts.on || s.Flags.Has(packet.RST) {
		return true
	}
	if !c.head.hasTS {
		c.event().InNoTS++
		return false
	}
	if c.ts.stale(now, c.head.tsVal) {
		c.event().PAWSDrops++
		c.unacceptable(now, off, n, s.Flags)
		return false
	}
	return true
}

// inWindow is the check of the sequence number (RFC 9293 section 3.10.7.4, first), with two allowances: an
// empty segment may lie on the right edge, where the peer stands that has filled the window, and with a
// closed window what begins at rcv.nxt passes, to be cut to nothing: its ACK is to count.
func (c *Conn) inWindow(now time.Duration, s *packet.Segment, off int64, n int) bool {
	left, right := int64(c.rcv.nxt), int64(max(c.rcv.edge, c.rcv.nxt))
	end := off + int64(n)
	if s.Flags.Has(packet.FIN) {
		end++
	}
	ok := false
	switch {
	case off == left:
		ok = true
	case end == off:
		ok = off > left && off <= right
	default:
		ok = off < right && end > left
	}
	if !ok {
		c.unacceptable(now, off, n, s.Flags)
	}
	return ok
}

// unacceptable answers a segment outside the window: "If an incoming segment is not acceptable, an
// acknowledgment should be sent in reply (unless the RST bit is set, if so drop the segment and return)".
// Two peers that find each other's ACKs unacceptable would do so for ever, hence the limit.
func (c *Conn) unacceptable(now time.Duration, off int64, n int, f packet.Flags) {
	if f.Has(packet.RST) {
		return
	}
	if n > 0 {
		switch {
		case c.rcv.duplicate(off, off+int64(n)):
			c.event().DupSegsIn++
		case off >= int64(max(c.rcv.edge, c.rcv.nxt)):
			c.event().BeyondWindow++
		}
		c.ack.at()
		return
	}
	if f.Has(packet.ACK) && off == int64(c.rcv.nxt)-1 && c.rcv.knownOpen() {
		c.ext.Asked(now)
	}
	if c.limits.duplicates.Take(now) {
		c.ack.at()
	}
}

// handleRST is RFC 5961 section 3.2: only the very next sequence number resets; another one in the window
// is answered, and the peer that has really sent it resets again with the number that the answer names.
func (c *Conn) handleRST(now time.Duration, s *packet.Segment, off int64) {
	if off != int64(c.rcv.nxt) {
		c.challenge(now)
		return
	}
	if !c.consult(now, s, uint64(off), 0, 0) || c.state == Closed {
		return
	}
	c.event().InRSTs++
	switch {
	case c.state == SynReceived:
		c.fail(now, ErrRefused)
	case c.state == LastAck || c.state == Closing:
		c.fail(now, nil)
	default:
		c.fail(now, ErrReset)
	}
}

// ackable checks the acknowledgment number. It must lie "in the range of ((SND.UNA - MAX.SND.WND) <=
// SEG.ACK <= SND.NXT). All incoming segments whose ACK value doesn't satisfy the above condition MUST be
// discarded and an ACK sent back" (RFC 5961 section 5.2).
func (c *Conn) ackable(now time.Duration, s *packet.Segment) (uint64, bool) {
	if c.state == SynReceived {
		if s.Ack != c.snd.iss+1 || c.hs.attempt == 0 {
			c.rst.because(s)
			return 0, false
		}
		return 1, true
	}
	ack := c.snd.offset(s.Ack)
	if ack > int64(c.snd.nxt) || ack < int64(c.snd.una)-c.snd.maxWnd || ack < 0 {
		c.event().InAckErrs++
		c.challenge(now)
		return 0, false
	}
	return uint64(ack), true
}
