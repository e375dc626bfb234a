package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// reply is a RST that waits for Poll.
type reply struct {
	due      bool
	seq, ack uint32
	flags    packet.Flags
	own      bool // it answers a segment that does not belong to the connection
}

// because answers a segment that has no business here (RFC 9293 section 3.5.2). The connection goes on.
func (r *reply) because(s *packet.Segment) {
	if seq, ack, flags, ok := resetFor(s); ok {
		*r = reply{due: true, seq: seq, ack: ack, flags: flags, own: true}
	}
}

// resetFor is what a RST says in answer to s: "If the incoming segment has an ACK field, the reset takes
// its sequence number from the ACK field of the segment; otherwise, the reset has sequence number zero and
// the ACK field is set to the sum of the sequence number and segment length of the incoming segment." A
// RST is never answered.
func resetFor(s *packet.Segment) (seq, ack uint32, f packet.Flags, ok bool) {
	switch {
	case s.Flags.Has(packet.RST):
		return 0, 0, 0, false
	case s.Flags.Has(packet.ACK):
		return s.Ack, 0, packet.RST, true
	}
	return 0, s.Seq + uint32(s.SeqLen()), packet.RST | packet.ACK, true
}

// Reset is the answer to a segment that belongs to no connection (RFC 9293 section 3.10.7.1); false: it
// gets none.
func Reset(s *packet.Segment) (packet.Segment, bool) {
	seq, ack, flags, ok := resetFor(s)
	return packet.Segment{Src: s.Dst, Dst: s.Src, Seq: seq, Ack: ack, Flags: flags}, ok
}

// emitRST fills in the RST that waits.
func (c *Conn) emitRST(now time.Duration, out *packet.Segment) {
	c.outgoing = Outgoing{Kind: KindRST, Off: c.snd.nxt}
	c.clearPayload(out)
	out.Src, out.Dst = c.cfg.Local, c.cfg.Remote
	out.Seq, out.Ack, out.Flags = c.rst.seq, c.rst.ack, c.rst.flags
	out.TTL, out.TOS, out.Urgent, out.Window = 0, 0, 0, 0
	dst := out.Options[:0]
	if c.ts.on && !c.rst.own {
		dst = appendTimestamps(dst, c.ts.clock(now), c.ts.recent)
	}
	if !c.rst.own {
		dst = c.extend(now, dst, packet.MaxOptions-len(dst))
	}
	out.Options = dst
	c.rst.due = false
	c.countOut(&c.outgoing, out)
}
