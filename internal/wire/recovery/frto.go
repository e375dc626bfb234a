package recovery

// frtoState is the step of F-RTO (RFC 5682).
type frtoState uint8

const (
	frtoOff     frtoState = iota
	frtoFirst             // step 2: waits for the ACK of the first retransmission
	frtoNewData           // step 3: new data was sent instead of more retransmissions; its ACKs tell
)

// frto finds out whether a timeout was spurious without the peer's help: if segments that were sent
// before it are acknowledged while nothing but the first was sent again, they were but late.
type frto struct {
	state   frtoState
	una     uint64 // SND.UNA when the timer expired
	recover uint64 // RecoveryPoint
	grant   int64  // bytes of new data that may leave in step 3
}

// begin is step 1. "This algorithm SHOULD NOT be applied if the TCP sender is already in loss recovery
// when a retransmission timeout occurs" (section 3.1), but for another timeout of the same segment.
func (f *frto) begin(s *Sender) {
	again := f.state == frtoFirst && f.una == s.board.una
	fresh := s.episode.phase < fastRecovery && s.board.una > 0 && !s.timer.reneged
	*f = frto{una: s.board.una}
	if again || fresh {
		f.state = frtoFirst
	}
}

// delayed runs steps 2 and 3 and reports a spurious timeout.
func (s *Sender) delayed(n *news) bool {
	f := &s.frto
	switch f.state {
	case frtoFirst:
		switch {
		case n.acked == 0 && (s.cfg.SACK || !n.duplicate):
			// With SACK "Stay in step 2 and wait for the next new acknowledgment".
		case n.acked > 0 && s.board.una < s.board.nxt && n.ack.Unsent > 0:
			f.state, f.recover, f.grant = frtoNewData, s.board.nxt, 2*s.mss
		default:
			f.state = frtoOff
		}
	case frtoNewData:
		switch {
		case n.acked == 0 && n.sacked == 0 && !n.duplicate: // "Other types of ACKs are ignored"
		case s.board.fack > f.recover || n.delivered == 0 || n.acked == 0 && !s.cfg.SACK:
			f.state, f.grant = frtoOff, 0
		default:
			return true
		}
	}
	return false
}
