package recovery

// newReno is loss detection without SACK: RFC 5681 section 3.2 and RFC 6582.
type newReno struct {
	duplicates int    // duplicate ACKs in a row
	left       int64  // bytes that they say have left the network
	recover    uint64 // "the highest sequence number transmitted" when the last recovery began
}

// count takes what an ACK without SACK says. A duplicate ACK means that some segment has arrived, which
// is as if one had been selectively acknowledged without saying which.
func (s *Sender) count(n *news) {
	k := &s.reno
	switch {
	case n.acked > 0:
		// All but the first of the segments acknowledged have been counted by a duplicate ACK each.
		before := k.left
		k.left = min(max(0, k.left-max(0, n.acked-s.mss)), s.board.flying)
		k.duplicates = 0
		n.delivered = max(n.delivered-(before-k.left), 0)
	case n.duplicate && s.episode.phase != timeoutRecovery:
		more := max(min(s.mss, s.board.flying-k.left), 0)
		k.left += more
		k.duplicates++
		n.delivered += more
	}
}

// conclude finds the losses: with the third duplicate ACK, unless those may come from retransmissions
// ("if the Cumulative Acknowledgment field covers more than recover", RFC 6582 section 3.2), and with
// each partial acknowledgment in recovery.
func (s *Sender) conclude(n *news) {
	third := n.duplicate && s.episode.phase < fastRecovery && s.reno.duplicates >= dupThresh && s.board.una > s.reno.recover
	partial := n.acked > 0 && s.episode.phase == fastRecovery
	if third || partial {
		s.loseFirst(&n.found)
	}
}

// loseFirst takes the first segment for lost.
func (s *Sender) loseFirst(f *finding) {
	b := &s.board
	r := b.first()
	if r == nil || r.state != flying {
		return
	}
	if r.len() > s.mss {
		b.split(0, r.from+uint64(s.mss))
	}
	s.lose(0, f)
	s.reno.left = min(s.reno.left, b.flying)
}
