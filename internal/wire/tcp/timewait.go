package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Remains is what is left of a connection in TIME-WAIT. For 2 MSL it answers a FIN that comes again, and keeps old segments
// from a new connection over the same addresses. There may be thousands, hence no more than that takes.
type Remains struct {
	seq, ack uint32 // SND.NXT and RCV.NXT
	window   uint16
	ts       stamps
	lasts    time.Duration // 2 MSL
	until    time.Duration
	answers  Bucket
	options  []byte // of the extension's, in every answer
}

// Waits says that the connection is in TIME-WAIT, and owes nothing: its Remains can take its place.
func (c *Conn) Waits() bool { return c.state == TimeWait && c.ack.owed == 0 && !c.rst.due }

// Remains takes the place of a connection that Waits. The extension's part of the answers stays as it is now.
func (c *Conn) Remains(now time.Duration) *Remains {
	c.borrow()
	defer c.giveBack()
	r := c.remains
	c.outgoing = Outgoing{Kind: KindPROBE, Off: c.snd.nxt} // nothing in it may be for once
	r.options = c.extend(now, nil, (packet.MaxOptions-timestampsLen)&^3)
	r.window = c.announce(now, c.rcv.nxt)
	return r
}

// Until is when TIME-WAIT is over. A FIN that comes again puts it off.
func (r *Remains) Until() time.Duration { return r.until }

// HandleSegment takes a segment, and says whether out is to answer it: its Options need a capacity of packet.MaxOptions. It
// counts in n.
func (r *Remains) HandleSegment(now time.Duration, s, out *packet.Segment, n *extapi.TCPCounters) bool {
	countIn(&n.TCPPerfCounters, len(s.Payload))
	if !r.take(now, s, &n.TCPEventCounters) {
		return false
	}
	out.Src, out.Dst, out.Flags = s.Dst, s.Src, packet.ACK
	out.Seq, out.Ack, out.Window = r.seq, r.ack, r.window
	if r.ts.on {
		out.Options = appendTimestamps(out.Options, r.ts.clock(now), r.ts.recent)
	}
	out.Options = append(out.Options, r.options...)
	n.SegsOut++
	n.DupAcksOut++
	return true
}

// take is what RFC 9293 section 3.10.7.4 has to say in this state, where the window is closed, for nothing comes after a FIN:
// "If an incoming segment is not acceptable, an acknowledgment should be sent in reply". It says whether one is, which has
// a limit.
func (r *Remains) take(now time.Duration, s *packet.Segment, n *extapi.TCPEventCounters) bool {
	var h header
	h.parse(s.Options, s.Flags.Has(packet.SYN))
	switch {
	case s.Flags.Has(packet.RST):
		return false // it would cut TIME-WAIT short, which an old duplicate can provoke (RFC 1337)
	case s.Flags.Has(packet.SYN):
		n.InSYNs++
		return r.challenge(now, n)
	case r.ts.on && !h.hasTS:
		n.InNoTS++
		return false
	case r.ts.on && r.ts.stale(now, h.tsVal):
		n.PAWSDrops++
	case len(s.Payload) > 0 && int32(s.Seq-r.ack) < 0:
		n.DupSegsIn++
	case len(s.Payload) > 0:
		n.BeyondWindow++
	case s.Seq != r.ack || s.Flags.Has(packet.FIN):
	case !s.Flags.Has(packet.ACK):
		return false
	case int32(s.Ack-r.seq) > 0:
		n.InAckErrs++ // of what was never sent
		return r.challenge(now, n)
	default:
		r.ts.update(now, h.tsVal, 0)
		return false
	}
	if s.Flags.Has(packet.FIN) && s.Seq+uint32(s.SeqLen()) == r.ack { // another one is forged
		r.until = now + r.lasts // "Restart the 2 MSL time-wait timeout"
	}
	return r.answers.Take(now)
}

// challenge answers what may be forged, as Conn.challenge does.
func (r *Remains) challenge(now time.Duration, n *extapi.TCPEventCounters) bool {
	ok := r.answers.Take(now)
	if ok {
		n.ChallengeAcks++
	}
	return ok
}

// renewAfter is how long TIME-WAIT has lasted at least when a connection of our own takes its place: the timestamps have
// ticked, and a peer that missed our last ACK has said so.
const renewAfter = time.Second

// Renewable says whether a SYN of our own may go over the same addresses: old segments are told from new ones "if the
// timestamp clock can be guaranteed to have ticked at least once since the old connection was open" (RFC 7323 appendix B.2).
// The owner forgets it then.
func (r *Remains) Renewable(now time.Duration) bool {
	return r.ts.on && now >= r.until-r.lasts+renewAfter
}

// Reusable says whether a SYN may begin a new connection: its timestamp is newer than the last one seen, or, where there are
// none, its sequence number lies beyond the last one (RFC 6191 section 2, RFC 9293 section 3.6.1). The owner forgets it
// then, and treats the SYN as if it had never been.
func (r *Remains) Reusable(syn *packet.Segment) bool {
	if syn.Flags&(packet.SYN|packet.ACK|packet.RST|packet.FIN) != packet.SYN {
		return false
	}
	var h header
	h.parse(syn.Options, true)
	if r.ts.on && h.hasTS {
		switch d := int32(h.tsVal - r.ts.recent); {
		case d > 0:
			return true
		case d < 0:
			return false
		}
	}
	return int32(syn.Seq-r.ack) > 0
}
