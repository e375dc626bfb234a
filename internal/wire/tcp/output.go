package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// Poll puts the next segment that is to leave at now into out; false: there is none, until the next input.
// out.Options needs a capacity of packet.MaxOptions. The payload's pieces are valid until Sent.
func (c *Conn) Poll(now time.Duration, out *packet.Segment) bool {
	c.borrow()
	defer c.giveBack()
	switch {
	case c.rst.due:
		c.emitRST(now, out)
		return true
	case c.state == Closed:
		return false
	case c.state == SynSent || c.state == SynReceived:
		if c.hs.due {
			c.emitSYN(now, out)
			return true
		}
	}
	if c.ack.owed > 0 && (c.ack.first || c.reports()) {
		c.emitACK(now, out) // data would take the ACK along, and leave it no room for the blocks
		return true
	}
	if c.rtx != nil && c.pollData(now, out) {
		return true
	}
	if c.live.probe {
		c.live.probe = false
		c.emit(now, out, &Outgoing{Kind: KindPROBE, Off: c.snd.old()}, packet.ACK)
		return true
	}
	if c.live.repeat {
		c.live.repeat = false
		if c.snd.repeatable() { // a FIN may have been acknowledged while a full link held everything up
			c.emitOctet(now, out)
			return true
		}
	}
	if c.ack.owed > 0 {
		c.emitACK(now, out)
		return true
	}
	return false
}

// reports says whether SACK has something to report.
func (c *Conn) reports() bool { return c.snd.sack && (c.rcv.hasDSACK || c.rcv.q.news()) }

// emitACK fills in a pure ACK. Where it had no room for all that SACK has to report, another one is owed: the peer
// must not take for lost what has arrived.
func (c *Conn) emitACK(now time.Duration, out *packet.Segment) {
	before, acked, edge := c.blocksSent(), c.ts.lastAck, c.rcv.edge
	if c.reports() {
		c.ack.behind = 0 // there is a hole or a copy to tell of at once
	}
	c.emit(now, out, &Outgoing{Kind: KindACK, Off: c.snd.nxt}, packet.ACK)
	if c.stats.DataSegsIn > 0 && acked == c.rcv.nxt && edge == c.rcv.edge {
		c.stats.DupAcksOut++
	}
	if c.blocksSent() > before && c.reports() {
		c.ack.at()
	}
}

func (c *Conn) blocksSent() uint64 {
	if c.stats.events == nil {
		return 0
	}
	return c.stats.events.SACKBlocksSent
}

// Sent tells that everything polled has left, or was lost on the way out.
func (c *Conn) Sent(time.Duration) { c.snd.q.sent() }

// emit fills in the rest of a segment whose payload is in out already, and does the books for it.
func (c *Conn) emit(now time.Duration, out *packet.Segment, o *Outgoing, flags packet.Flags) {
	if o.Len == 0 {
		c.clearPayload(out)
	}
	c.outgoing = *o
	out.Src, out.Dst = c.cfg.Local, c.cfg.Remote
	ack := c.ack.number(c, o.Kind)
	out.Seq, out.Ack = c.snd.sequence(o.Off), c.rcv.sequence(ack)
	out.TTL, out.TOS, out.Urgent = 0, 0, 0
	out.Flags = flags
	c.ecn.mark(out, o)
	edge := c.rcv.edge
	out.Window = c.announce(now, ack)
	c.appendOptions(now, out)
	if o.Kind == KindPROBE {
		c.probed(edge)
	} else {
		c.ts.lastAck = ack
		c.ack.sent(now, c, o.Len > 0)
	}
	c.countOut(o, out)
}

// emitOctet sends the newest octet again that was acknowledged.
func (c *Conn) emitOctet(now time.Duration, out *packet.Segment) {
	c.live.octet, c.live.repeated = [1]byte{c.snd.q.last}, c.snd.una-1
	c.clearPayload(out)
	out.AddPiece(c.live.octet[:])
	c.stats.SegsRetrans++
	c.stats.OctetsRetrans++
	c.emit(now, out, &Outgoing{Kind: KindPROBE, Off: c.live.repeated, Len: 1, Retransmit: true}, packet.ACK)
}

// probed does the books for a probe. "If an incoming segment is not acceptable, an acknowledgment should be sent in reply … After
// sending the acknowledgment, drop the unacceptable segment" (RFC 9293 section 3.10.7.4): nothing in it has been told. An ACK that is
// owed is still owed, and one is for a window that opens beyond edge.
func (c *Conn) probed(edge uint64) {
	if c.rcv.edge > edge {
		c.ack.at()
	}
}

func (c *Conn) clearPayload(out *packet.Segment) {
	out.Payload = nil
	clear(out.More[:])
	out.SegSize = 0
}

// appendOptions writes the options of a segment of a synchronized connection: timestamps, then the
// extension's, which know their budget that way, then as many SACK blocks as still fit.
func (c *Conn) appendOptions(now time.Duration, out *packet.Segment) {
	dst := out.Options[:0]
	if c.ts.on {
		dst = appendTimestamps(dst, c.ts.clock(now), c.ts.recent)
	}
	budget := packet.MaxOptions - len(dst)
	if n := c.outgoing.Len; n > 0 {
		// What the payload leaves of the segment. Its size was chosen with Reserve in mind.
		seg := n
		if out.SegSize > 0 {
			seg = out.SegSize
		}
		budget = min(budget, max(0, c.sentMSS()-seg-len(dst)))
	}
	before := len(dst)
	dst = c.extend(now, dst, budget&^3)
	budget -= len(dst) - before
	if c.snd.sack && c.outgoing.Kind != KindRST && c.outgoing.Kind != KindPROBE {
		dst = c.appendSACK(dst, budget)
	}
	out.Options = dst
}

// extend lets the extension append its options, and pads them.
func (c *Conn) extend(now time.Duration, dst []byte, budget int) []byte {
	before := len(dst)
	got := c.ext.Append(now, &c.outgoing, dst, budget)
	if len(got) > before+budget || len(got) < before {
		return dst // more than it may: the header has no room for it
	}
	return pad(got)
}

// appendSACK reports a duplicate first (RFC 2883), then what arrived out of order.
func (c *Conn) appendSACK(dst []byte, budget int) []byte {
	if !c.rcv.hasDSACK && len(c.rcv.q.islands) == 0 {
		return dst
	}
	room := min(4, (budget-4)/8)
	if room <= 0 {
		return dst
	}
	var blocks [4]Range
	n := 0
	if c.rcv.hasDSACK {
		blocks[0], n = c.rcv.dsack, 1
		c.rcv.hasDSACK = false
		c.event().DSACKsSent++
	}
	n += c.rcv.q.newest(blocks[n:room])
	o := options.SACK{N: uint8(n)}
	for i, b := range blocks[:n] {
		o.Blocks[i] = options.SACKBlock{Left: c.rcv.sequence(b.From), Right: c.rcv.sequence(b.To)}
	}
	c.event().SACKBlocksSent += uint64(n)
	return o.Append(append(dst, options.KindNOP, options.KindNOP))
}

// emitSYN fills in the SYN or SYN/ACK. Its options stand in the order in which Linux sends them: what has
// been seen everywhere passes everywhere.
func (c *Conn) emitSYN(now time.Duration, out *packet.Segment) {
	ack := c.state == SynReceived
	c.outgoing = Outgoing{Kind: KindSYN, Attempt: c.hs.attempt, Retransmit: c.hs.attempt > 0}
	c.clearPayload(out)
	out.Src, out.Dst = c.cfg.Local, c.cfg.Remote
	out.Seq, out.Ack = c.snd.iss, 0
	out.TTL, out.TOS, out.Urgent = 0, 0, 0
	out.Flags = packet.SYN | c.ecn.synFlags(c.cfg.ECN, ack, c.hs.attempt)
	out.Window = uint16(c.rcv.firstWindow())
	offer := synOptions{mss: c.mtu.advertise(), scale: c.rcv.scale, hasScale: !c.cfg.NoScale, sack: !c.cfg.NoSACK, ts: !c.cfg.NoTimestamps, tsVal: c.ts.clock(now)}
	if ack {
		c.outgoing.Kind = KindSYNACK
		out.Flags |= packet.ACK
		out.Ack = c.rcv.sequence(1)
		offer.hasScale, offer.sack, offer.ts, offer.tsEcr = c.hs.peerScale, c.snd.sack, c.ts.on, c.ts.recent
	}
	dst := offer.append(out.Options[:0])
	out.Options = c.extend(now, dst, (packet.MaxOptions-len(dst))&^3)
	c.snd.nxt = max(c.snd.nxt, 1)
	c.sentSYN(now)
	c.countOut(&c.outgoing, out)
}

// synOptions are TCP's own on a SYN or SYN/ACK.
type synOptions struct {
	mss          int
	scale        uint8
	hasScale     bool
	sack, ts     bool
	tsVal, tsEcr uint32
}

func (o *synOptions) append(dst []byte) []byte {
	dst = options.MSS{Size: uint16(min(o.mss, 0xFFFF))}.Append(dst)
	switch {
	case o.ts && o.sack:
		dst = options.SACKPermitted{}.Append(dst)
		dst = options.Timestamps{Value: o.tsVal, Echo: o.tsEcr}.Append(dst)
	case o.ts:
		dst = appendTimestamps(dst, o.tsVal, o.tsEcr)
	case o.sack:
		dst = options.SACKPermitted{}.Append(append(dst, options.KindNOP, options.KindNOP))
	}
	if o.hasScale {
		dst = options.WindowScale{Shift: o.scale}.Append(append(dst, options.KindNOP))
	}
	return dst
}
