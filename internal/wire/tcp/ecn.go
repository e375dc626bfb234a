package tcp

import "github.com/mptcp-go/mptcp/internal/wire/packet"

// ecn is explicit congestion notification (RFC 3168 section 6.1).
type ecn struct {
	on   bool // both sides take part
	echo bool // a mark came: every ACK carries ECE until the peer's CWR
	cwr  bool // the next new data carries CWR
}

// synFlags are the bits on our SYN or SYN/ACK. A SYN that is sent again asks for nothing: a box may have
// dropped the first for its bits (section 6.1.1.1).
func (e *ecn) synFlags(want, ack bool, attempt int) packet.Flags {
	switch {
	case ack && e.on:
		return packet.ECE
	case !ack && want && attempt == 0:
		return packet.ECE | packet.CWR
	}
	return 0
}

// negotiate reads the bits of the peer's SYN (both set) or SYN/ACK (ECE alone).
func (e *ecn) negotiate(cfg *Config, f packet.Flags) {
	want := cfg.ECN || cfg.ECNAnswer
	asked := f&(packet.ECE|packet.CWR) == packet.ECE|packet.CWR
	if f.Has(packet.ACK) {
		want, asked = cfg.ECN, f&(packet.ECE|packet.CWR) == packet.ECE
	}
	e.on = want && asked
}

// arrived notes a mark, and the peer's CWR, which ends the echo of the marks before.
func (e *ecn) arrived(c *Conn, s *packet.Segment) {
	if !e.on {
		return
	}
	if s.Flags.Has(packet.CWR) {
		e.echo = false
	}
	if s.TOS&packet.ECNMask == packet.ECNCE {
		c.stats.CERcvd++
		e.echo = true
	}
}

// echoed says that the segment brings a mark of ours back.
func (e *ecn) echoed(c *Conn, f packet.Flags) bool {
	if !e.on || !f.Has(packet.ECE) {
		return false
	}
	c.stats.ECNsignals++
	return true
}

// mark sets the bits of a segment that leaves: ECT on new data alone, since "retransmitted" packets and
// pure ACKs must not carry it (sections 6.1.4 and 6.1.5).
func (e *ecn) mark(out *packet.Segment, o *Outgoing) {
	if !e.on {
		return
	}
	if e.echo {
		out.Flags |= packet.ECE
	}
	if o.Len > 0 && !o.Retransmit && o.Kind == KindDATA {
		out.TOS |= packet.ECNECT0
		if e.cwr {
			out.Flags |= packet.CWR
			e.cwr = false
		}
	}
}
