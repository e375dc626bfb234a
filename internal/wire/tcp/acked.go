package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/recovery"
	"github.com/mptcp-go/mptcp/options"
)

// handleACK takes what a segment acknowledges, and its window. False: the connection has ended, or nothing
// more is to be done with the segment.
func (c *Conn) handleACK(now time.Duration, s *packet.Segment, off uint64, n int, ack uint64) bool {
	changed := c.snd.window(off, ack, int64(s.Window)<<c.snd.scale)
	if c.snd.wnd == 0 && changed {
		c.stats.ZeroRwinRcvd++
	}
	advanced := ack > c.snd.una
	pure := n == 0 && !s.Flags.Has(packet.FIN)
	c.recover(now, s, ack, pure, changed)
	if c.state == Closed || c.rtx == nil {
		return false
	}
	if advanced {
		c.snd.una = ack
		c.snd.q.acked(min(ack, c.snd.end))
		c.stats.HCThruOctetsAcked = min(ack, c.snd.end) - 1
		c.mtu.acked(c, now, ack)
		c.restartUserTimer(now)
		c.h.Acked(now, ack)
		if c.state == Closed || c.rtx == nil {
			return false
		}
	}
	if advanced || changed {
		c.settlePersist(now)
	}
	return !c.snd.finAcked() || c.finAcknowledged(now)
}

// recover tells package recovery.
func (c *Conn) recover(now time.Duration, s *packet.Segment, ack uint64, pure, changed bool) {
	a := &c.acked
	*a = recovery.Ack{Sacks: c.sacks[:0]}
	a.Off = ack
	a.Pure, a.WindowChanged = pure, changed
	a.ECE = c.ecn.echoed(c, s.Flags)
	a.OptionsOnly = pure && signalsOnly(s.Options)
	a.Unsent = max(0, min(c.snd.unsent(), c.snd.usable()))
	if c.ts.on && c.head.hasTS {
		a.Clock, a.HasClock = c.head.tsVal, true
	}
	if a.HasClock && c.head.tsEcr != 0 {
		a.EchoedAt, a.HasEcho = c.ts.echoed(now, c.head.tsEcr)
	}
	c.readSACK(ack)
	o := c.rtx.OnAck(now, a)
	if o.CWR {
		c.ecn.cwr = true
		c.stats.CongSignals++
	}
	if o.Duplicate {
		c.stats.DupAcksIn++
	}
	if o.Entered {
		c.stats.FastRetran++
		c.stats.CongSignals++
	}
	if o.Spurious {
		c.stats.SpuriousFrDetected++
	}
}

// readSACK puts the segment's SACK blocks into c.acked as offsets. The first is a report of a duplicate if
// it lies below the cumulative acknowledgment, or within the second block (RFC 2883 section 4). What does
// not lie in what was sent is no block of ours.
func (c *Conn) readSACK(ack uint64) {
	a := &c.acked
	if !c.snd.sack || c.head.sack.N == 0 {
		return
	}
	c.stats.SACKsRcvd++
	blocks := c.head.sack.Blocks[:min(int(c.head.sack.N), 4)]
	for i, b := range blocks {
		from, to := c.snd.offset(b.Left), c.snd.offset(b.Right)
		if from < 1 || from >= to || to > int64(c.snd.nxt) {
			continue
		}
		c.stats.SACKBlocksRcvd++
		r := Range{From: uint64(from), To: uint64(to)}
		if i == 0 && (r.To <= ack || c.within(r, blocks)) {
			c.stats.DSACKDups++
			if r != (Range{From: c.live.repeated, To: c.live.repeated + 1}) { // that was Repeat
				a.DSACK, a.HasDSACK = r, true
			}
			continue
		}
		if r.To > max(ack, c.snd.una) {
			a.Sacks = append(a.Sacks, r)
		}
	}
}

// within says whether r lies in the second of the blocks.
func (c *Conn) within(r Range, blocks []options.SACKBlock) bool {
	if len(blocks) < 2 {
		return false
	}
	from, to := c.snd.offset(blocks[1].Left), c.snd.offset(blocks[1].Right)
	return int64(r.From) >= from && int64(r.To) <= to
}

// signalsOnly says whether the options hold a Multipath TCP option that is no DSS: "A duplicate ACK that
// includes any MPTCP signaling (with the exception of the DSS option) MUST NOT be treated as a signal of
// congestion" (RFC 8684 section 4).
func signalsOnly(b []byte) bool {
	for len(b) > 0 {
		o, rest, err := options.Next(b)
		if err != nil {
			return false
		}
		if sub, ok := o.Subtype(); ok && sub != options.SubDSS {
			return true
		}
		b = rest
	}
	return false
}
