package recovery

import "time"

// tlp is the tail loss probe of RFC 8985 section 7.
type tlp struct {
	base     time.Duration // PTO counts from here: new data left, or SND.UNA advanced
	sampled  bool          // a round-trip time was measured since the last probe
	wanted   bool          // PTO has expired, and the probe has not left yet
	out      bool          // TLP.end_seq is set: a probe is unacknowledged
	end      uint64        // TLP.end_seq
	again    bool          // TLP.is_retrans
	sentAt   time.Duration // the probe
	original time.Duration // when the segment that it repeats had left
}

// reset is TLP_init, "when initiating a connection, fast recovery, or RTO recovery".
func (p *tlp) reset() { p.wanted, p.out, p.again = false, false, false }

// sent notes a probe of new data.
func (p *tlp) sent(now time.Duration, nxt uint64, again bool) {
	p.wanted, p.sampled = false, false
	p.out, p.end, p.again, p.sentAt = true, nxt, again, now
}

// sentAgain notes a probe that repeats the last segment.
func (p *tlp) sentAgain(now time.Duration, nxt uint64, original time.Duration) {
	p.sent(now, nxt, true)
	p.original = original
}

// probeAt is when the loss probe is due; false: none is.
func (s *Sender) probeAt() (time.Duration, bool) {
	if !s.cfg.SACK || s.episode.phase >= fastRecovery || s.board.sacked > 0 || s.tlp.out || s.tlp.wanted || !s.tlp.sampled {
		return 0, false
	}
	// "the default PTO interval is 2*SRTT", "when there is no SRTT estimate available, the PTO SHOULD be
	// 1 second" (section 7.2).
	pto := initialRTO
	if s.rtt.srtt > 0 {
		pto = 2*s.rtt.srtt + granularity
		if s.board.nxt-s.board.una <= uint64(s.mss) {
			pto += s.cfg.DelayedAck
		}
	}
	return s.tlp.base + pto, true
}

// probed is TLP_process_ack of section 7.4.2. It reports whether the probe has repaired a loss, to which
// congestion control has to react.
func (s *Sender) probed(a *Ack, duplicate bool) (repaired bool) {
	p := &s.tlp
	if !p.out || a.Off < p.end {
		return false
	}
	switch {
	case !p.again: // new data, delivered
	case a.HasDSACK && a.DSACK.To == p.end: // both copies arrived
	case s.echoesBefore(a, p.sentAt): // the original did, and the probe was superfluous
	case a.Off > p.end:
		repaired = true
	case duplicate && len(a.Sacks) == 0 && !a.HasDSACK: // the second copy, of a peer that knows no DSACK
	default:
		return false
	}
	p.out = false
	return repaired
}
