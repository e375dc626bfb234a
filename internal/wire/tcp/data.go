package tcp

import (
	"math"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/recovery"
)

// pollData puts the next segment with payload or FIN into out: what is lost first, then what is new.
func (c *Conn) pollData(now time.Duration, out *packet.Segment) bool {
	if c.rtx.Lost() == 0 && c.snd.unsent() == 0 && !c.snd.probe && !(c.snd.fin && !c.snd.finSent) {
		return false // Allowance would set a timer for what is not there
	}
	allowed := c.rtx.Allowance(now)
	if c.snd.limit > 0 {
		allowed = min(allowed, max(0, c.snd.limit-c.rtx.InFlight()))
	}
	if allowed > 0 {
		if r, ok := c.rtx.Retransmit(); ok && c.resend(now, out, r) {
			return true
		}
	}
	if c.snd.probe {
		c.snd.probe, c.snd.cork = false, false
		if c.sendNew(now, out, math.MaxInt64) {
			return true
		}
		return c.resendLast(now, out)
	}
	return allowed > 0 && c.sendNew(now, out, allowed)
}

// segmentPayload is how much payload a full segment has that begins at off.
func (c *Conn) segmentPayload(off uint64) int {
	n := c.snd.payload(c) - (c.ext.Reserve(off)+3)&^3
	return max(n, 1)
}

// resend puts the front of r into out, at most one segment of it.
func (c *Conn) resend(now time.Duration, out *packet.Segment, r Range) bool {
	from := max(r.From, c.snd.una)
	c.mtuProbeLost(now, from)
	n := int(min(r.To, c.snd.end) - min(from, c.snd.end))
	if n > 0 {
		if n = c.ext.Limit(from, min(n, c.segmentPayload(from))); n <= 0 {
			return false
		}
	}
	fin := c.snd.finSent && from+uint64(n) == c.snd.end && r.To > c.snd.end
	return c.send(now, out, from, n, fin, true)
}

// resendLast repeats the last segment: "transmit the highest-sequence segment" (RFC 8985 section 7.3).
func (c *Conn) resendLast(now time.Duration, out *packet.Segment) bool {
	r, ok := c.rtx.Probe()
	if !ok {
		return false
	}
	if size := uint64(c.segmentPayload(r.From)); r.To-r.From > size {
		r.From = r.To - size
		// A mapping may begin in between: from there on, then.
		for n := c.ext.Limit(r.From, int(size)); n > 0 && r.From+uint64(n) < min(r.To, c.snd.end); {
			r.From += uint64(n)
			n = c.ext.Limit(r.From, int(r.To-r.From))
		}
	}
	return c.resend(now, out, r)
}

// sendNew puts new data, at most allowed bytes of it, or a FIN into out.
func (c *Conn) sendNew(now time.Duration, out *packet.Segment, allowed int64) bool {
	if !c.state.maySend() {
		return false
	}
	unsent := c.snd.unsent()
	if unsent == 0 && !c.snd.fin {
		return false
	}
	usable := c.snd.usable()
	if c.snd.force && unsent == 0 {
		usable = 1 // the FIN alone
	}
	n, full := c.decide(min(allowed, usable, unsent), unsent, usable)
	c.snd.force = false
	if n <= 0 && unsent > 0 || usable <= 0 {
		c.considerPersist(now)
		return false
	}
	if c.probeMTU(now, out, min(allowed, usable, unsent)) {
		return true
	}
	fin := c.snd.fin && int64(n) == unsent && usable > int64(n)
	if n > full && fin {
		fin = false // a super-segment's parts would all be copies of its header: the FIN goes alone
	}
	return c.send(now, out, c.snd.nxt, n, fin, false)
}

// decide is how much of limit bytes to send in one segment (full is the payload of a full one), 0 for
// none: the sender's side of silly window avoidance (RFC 9293 section 3.8.6.2.1) and Nagle's algorithm
// with Minshall's modification, which holds a short segment back only while another short one is in
// flight.
func (c *Conn) decide(limit, unsent, usable int64) (n, full int) {
	full = c.segmentPayload(c.snd.nxt)
	if limit <= 0 {
		return 0, full
	}
	most := int64(full)
	if c.snd.super > full && !c.ecn.cwr {
		most = int64(c.snd.super / full * full)
	}
	n = int(min(limit, most))
	n = min(n, c.ext.Limit(c.snd.nxt, n))
	if n <= 0 {
		return 0, full
	}
	if c.snd.force {
		return min(n, full), full
	}
	if c.snd.cork && int64(n) == unsent && c.grows(n, int(most)) {
		c.snd.corked = true
		return 0, full
	}
	switch rest := unsent - int64(n); {
	case n >= full:
		if c.waitForMore(n, c.ext.Limit(c.snd.nxt, int(min(unsent, most)))) {
			c.rtx.WindowLimited()
			return 0, full
		}
		if rest > 0 && int64(n) == min(limit, most) {
			n -= n % full // no short segment in the middle of the stream
		}
	case int64(n) < min(unsent, int64(full)) && int64(n) == limit && int64(n) < c.snd.maxWnd/2:
		// A window that lets only a bit leave: acknowledgments will open it. Where none are to come, the
		// persist timer ends the wait.
		if limit == usable || c.snd.una != c.snd.nxt {
			return 0, full
		}
	case rest == 0 && !c.cfg.NoDelay && !c.snd.fin && c.snd.shortEnd > c.snd.una:
		return 0, full
	}
	return n, full
}

// grows says whether a segment that ends with what is queued would be larger if more were: the Extension may not want
// more in it.
func (c *Conn) grows(n, most int) bool {
	return n < most && c.snd.una != c.snd.nxt && !c.snd.fin && c.ext.Limit(c.snd.nxt, most) > n
}

// waitForMore holds a super-segment back that the window cuts short, as long as acknowledgments are on
// their way that make it whole: large ones cost far less for each byte. Pacing has a grain of its own.
func (c *Conn) waitForMore(n, could int) bool {
	if n >= could || c.snd.super == 0 || c.rtx.InFlight() == 0 || c.rtx.PacingRate() > 0 {
		return false
	}
	return int64(n) < min(int64(could), c.rtx.Window()/4)
}

// send puts the bytes [off, off+n), with or without FIN, into out.
func (c *Conn) send(now time.Duration, out *packet.Segment, off uint64, n int, fin, again bool) bool {
	full := c.segmentPayload(off)
	if c.mtu.probes(off, again) {
		full = n // in one piece: that it arrives in several would say nothing
	}
	c.clearPayload(out)
	if n > 0 {
		if got := c.snd.q.view(out, off, n); got < n {
			n, fin = got, false
		}
	}
	if n <= 0 && !fin {
		return false
	}
	flags := packet.ACK
	end := off + uint64(n)
	if n > 0 && (end == c.snd.end || n < full) {
		flags |= packet.PSH // "PUSH … MUST set the PSH bit in the last buffered segment" (RFC 9293 section 3.9.1.2)
	}
	if n > full {
		out.SegSize = full
	}
	o := Outgoing{Kind: KindDATA, Off: off, Len: n, Retransmit: again, Super: n > full}
	to := end
	if fin {
		flags |= packet.FIN
		to++
		if n == 0 {
			o.Kind = KindFIN
		}
	}
	if again {
		c.stats.SegsRetrans += segments(n, full)
		c.stats.OctetsRetrans += uint64(n)
	} else if n >= full {
		c.mtu.full(off + uint64(full))
	} else if n > 0 {
		c.snd.shortEnd = end
	}
	c.rtx.OnSend(now, off, to, c.snd.end <= to)
	c.snd.nxt = max(c.snd.nxt, to)
	c.emit(now, out, &o, flags)
	if fin && !c.snd.finSent {
		c.finLeft()
	}
	return true
}

func segments(n, full int) uint64 { return uint64(max(1, (n+full-1)/full)) }

// confirmed says that the peer has shrunk its window below what is in flight, and goes on saying so: "SHOULD
// NOT time out the connection if data beyond the right window edge is not acknowledged" (RFC 9293 section
// 3.8.6, in the sense of RFC 1122 section 4.2.2.16).
func (c *Conn) confirmed(now time.Duration) bool {
	return c.snd.usable() < 0 && now-c.live.heard <= 2*c.rtx.RTO()
}

// recoveryTimeout lets package recovery say what its timer was for.
func (c *Conn) recoveryTimeout(now time.Duration) {
	switch c.rtx.OnTimer(now) {
	case recovery.RTO:
		c.stats.Timeouts++
		c.stats.CongSignals++
		n := c.rtx.Timeouts()
		if n > c.cfg.Retries && !c.confirmed(now) {
			c.stats.AbruptTimeouts++
			c.giveUp(now)
			return
		}
		c.suspectMTU(now, n)
		c.h.Stuck(now, n)
	case recovery.Probe:
		c.event().LossProbes++
		c.snd.probe = true
	}
}
