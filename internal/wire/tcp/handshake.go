package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/recovery"
)

// handshake is what is of interest until both SYNs are acknowledged.
type handshake struct {
	due         bool          // a SYN or SYN/ACK should leave now
	passive     bool          // the peer's SYN came first
	attempt     int           // how many have left
	at          time.Duration // when the latest one left
	peerMSS     int           // of its option
	peerScale   bool          // the peer offered window scale
	unreachable bool          // an ICMP error said so
	strayed     bool          // an ACK of something else has come
	early       bool          // and the SYN leaves again soon for that
}

// initialRTO is what "the sender SHOULD set RTO" to until a round-trip time was measured: 1 second (RFC 6298
// section 2.1).
const initialRTO = time.Second

// strayWait is how soon a SYN leaves again that met an ACK of something else: as soon as its timestamp is another one, with a tick to
// spare.
const strayWait = 2 * tick

// handshakeTimeout sends the SYN or SYN/ACK again, or gives up.
func (c *Conn) handshakeTimeout(now time.Duration) {
	if c.state != SynSent && c.state != SynReceived {
		return
	}
	if c.hs.early {
		c.hs.due, c.hs.attempt = true, 0 // nothing is lost: as the first time
		return
	}
	if c.hs.attempt > c.cfg.SYNRetries {
		c.stats.AbruptTimeouts++
		if c.hs.unreachable {
			c.fail(now, ErrUnreachable)
			return
		}
		c.fail(now, ErrTimeout)
		return
	}
	c.stats.Timeouts++
	c.hs.due = true
}

// sentSYN arms the timer, for twice as long each time (RFC 6298 section 5.5).
func (c *Conn) sentSYN(now time.Duration) {
	if c.hs.attempt > 0 || c.hs.strayed {
		c.stats.SegsRetrans++
	}
	c.hs.at = now
	c.timers.set(timerHandshake, now+initialRTO<<min(c.hs.attempt, 6))
	c.hs.attempt++
	c.hs.due, c.hs.early = false, false
}

// peerSYN takes what the peer's SYN or SYN/ACK says.
func (c *Conn) peerSYN(now time.Duration, s *packet.Segment) {
	h := &c.head
	c.rcv.irs, c.rcv.nxt, c.ts.lastAck = s.Seq, 1, 1
	c.rcv.edge = 1 + uint64(c.rcv.firstWindow())
	c.hs.peerMSS = h.mss
	if h.mss > 0 {
		c.snd.setMSS(h.mss, c.mtu.mss())
	}
	// "If a Window Scale option was received in the initial <SYN> segment, then this option MAY be sent in
	// the <SYN,ACK> segment" (RFC 7323 section 2.2), and only then; the same holds for the others.
	c.hs.peerScale = h.hasScale && !c.cfg.NoScale
	if c.hs.peerScale {
		c.snd.scale = h.scale
	} else {
		c.rcv.scale = 0
	}
	c.snd.sack = h.sackOK && !c.cfg.NoSACK
	c.ts.on = h.hasTS && !c.cfg.NoTimestamps
	if c.ts.on {
		c.ts.recent, c.ts.recentAge = h.tsVal, now
	}
	c.ecn.negotiate(&c.cfg, s.Flags)
	// "The window field in a segment where the SYN bit is set … MUST NOT be scaled" (RFC 7323 section 2.2).
	c.snd.window(0, 0, int64(s.Window))
}

// synSent is RFC 9293 section 3.10.7.3.
func (c *Conn) synSent(now time.Duration, s *packet.Segment, p pool.Ref) {
	hasAck := s.Flags.Has(packet.ACK)
	if hasAck && (s.Ack != c.snd.iss+1 || c.hs.attempt == 0) {
		// "If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset (unless the RST bit is set …)"
		if !s.Flags.Has(packet.RST) {
			c.rst.because(s)
			c.stray(now)
		}
		return
	}
	if s.Flags.Has(packet.RST) {
		if hasAck && c.consult(now, s, 0, 0, 1) {
			c.fail(now, ErrRefused)
		}
		return
	}
	if !s.Flags.Has(packet.SYN) {
		return
	}
	c.head.parse(s.Options, true)
	if hasAck && c.ts.bogusEcho(now, &c.head, c.cfg.NoTimestamps) {
		return
	}
	ack := uint64(0)
	if hasAck {
		ack = 1
	}
	if !c.consult(now, s, 0, 0, ack) || c.state != SynSent {
		return
	}
	c.peerSYN(now, s)
	if !hasAck { // both sides have sent a SYN
		c.event().SimultaneousOpens++
		c.state = SynReceived
		c.hs.due, c.hs.attempt, c.hs.early = true, 0, false
		c.ecn.on = false
		return
	}
	c.established(now)
	if c.state == Established {
		c.ack.at() // payload and FIN are not accepted: they come again
	}
}

// stray sends the SYN again soon, once: what acknowledges something else comes from an old connection of this port, which the peer has
// in TIME-WAIT. The RST ends that, or the new timestamp does (RFC 6191); the first SYN's was not new enough where the old connection
// ended less than a tick ago.
func (c *Conn) stray(now time.Duration) {
	if c.hs.attempt == 1 && !c.hs.strayed {
		c.hs.strayed, c.hs.early = true, true
		c.timers.set(timerHandshake, now+strayWait)
	}
}

// bogusEcho is the one check that a SYN/ACK's echo allows: it can't be a clock reading that is yet to come.
// Zero is what those send who echo nothing.
func (t *stamps) bogusEcho(now time.Duration, h *header, off bool) bool {
	if off || !h.hasTS || h.tsEcr == 0 {
		return false
	}
	return int32(t.clock(now)-h.tsEcr) < 0
}

// established makes the connection ready for data: the handshake is done on this side.
func (c *Conn) established(now time.Duration) {
	c.state = Established
	c.snd.una, c.snd.nxt = 1, 1
	c.timers.stop(timerHandshake)
	c.hs.due = false
	c.rtx = recovery.New(recovery.Config{
		MSS:        c.snd.payload(c),
		Controller: c.cfg.Controller,
		SACK:       c.snd.sack,
		Timestamps: c.ts.on,
		MinRTO:     c.cfg.MinRTO,
		DelayedAck: delayedAck,
		Pacing:     c.cfg.Pacing,
	})
	c.rtx.Resume(1)
	c.rtx.LostSYN(int(c.stats.Timeouts))
	if rtt, ok := c.handshakeRTT(now); ok {
		c.rtx.SetRTT(now, rtt)
	}
	c.ack.start(c.rcv.quickSegments())
	c.rcv.tune.start(now)
	c.live.start(now, c)
	c.h.Established(now)
}

// handshakeRTT is the round trip of our SYN. With a retransmission it is known only when the answer echoes the timestamp of the
// latest one: what echoes an earlier one may have been sent again itself, and is as old as its first copy's loss (Karn's algorithm,
// RFC 6298 section 3).
func (c *Conn) handshakeRTT(now time.Duration) (time.Duration, bool) {
	if c.hs.attempt > 1 || c.hs.strayed {
		at, ok := c.ts.echoed(now, c.head.tsEcr)
		if !ok || !c.ts.on || !c.head.hasTS || c.head.tsEcr == 0 || at < c.hs.at/tick*tick {
			return 0, false
		}
	}
	return max(now-c.hs.at, time.Microsecond), true
}
