package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// HandleICMP takes an ICMP error that quotes a segment of this connection. Nobody signs such errors, so
// that they are believed as far as they can't do harm (RFC 5927): the quotation has to lie in what is in
// flight, an established connection is never ended, and a smaller MTU counts at once only where no packet
// of more than that has ever arrived.
func (c *Conn) HandleICMP(now time.Duration, e *packet.ICMPError) {
	off := c.snd.offset(e.Seq)
	if c.state == Closed || off < int64(c.snd.una) || off >= int64(c.snd.nxt) {
		c.event().ICMPIgnored++
		return
	}
	if e.Trouble == packet.TroubleTooBig {
		c.tooBig(now, e.MTU)
		return
	}
	c.stats.SoftErrors++
	if c.state == SynSent || c.state == SynReceived {
		switch e.Trouble {
		case packet.TroublePort:
			c.fail(now, ErrRefused)
		case packet.TroubleProhibited:
			c.fail(now, ErrUnreachable)
		case packet.TroubleTransient:
			c.hs.unreachable = true
		}
	}
}

// tooBig is RFC 5927 section 7.2 over RFC 1191: a message that contradicts what has been acknowledged
// waits for a timeout to confirm it.
func (c *Conn) tooBig(now time.Duration, mtu int) {
	m := &c.mtu
	if mtu == 0 {
		mtu = m.below(m.current) // of an old router (RFC 1191 section 5)
	}
	mtu = max(mtu, m.least)
	if mtu >= m.current {
		c.event().ICMPIgnored++
		return
	}
	if m.passed > mtu {
		m.claimed = mtu
		return
	}
	c.narrow(now, mtu)
}

// LinkMTU tells of the MTU of the link, when it has refused some of the segments that were to leave: that is to be believed. Those
// that are larger go again in smaller ones, without waiting for a timeout.
func (c *Conn) LinkMTU(now time.Duration, mtu int, segs []packet.Segment) {
	if mtu = max(mtu, c.mtu.least); c.state == Closed {
		return
	}
	if mtu < c.mtu.current {
		c.narrow(now, mtu)
	}
	if c.rtx == nil {
		return
	}
	for i := range segs {
		if s := &segs[i]; s.PacketLen() > mtu {
			from := uint64(max(0, c.snd.offset(s.Seq)))
			c.rtx.Refused(now, Range{From: from, To: from + uint64(s.SeqLen())})
		}
	}
}

// narrow goes on with smaller packets.
func (c *Conn) narrow(now time.Duration, mtu int) {
	m := &c.mtu
	c.setMTU(mtu)
	m.ceiling, m.out, m.wanted, m.claimed = mtu, 0, 0, 0
	c.timers.set(timerRaiseMTU, now+raiseAfter)
	if c.rtx != nil {
		c.snd.probe = true // what was too big is gone: a smaller one makes the peer say so at once
	}
}
