package recovery

import (
	"time"

	"github.com/mptcp-go/mptcp/congestion"
)

// phase is what the sender is about.
type phase uint8

const (
	undisturbed     phase = iota
	reducing              // the window shrinks for a congestion mark; nothing is lost
	fastRecovery          // losses were detected
	timeoutRecovery       // the retransmission timer has expired
)

// episode is a reaction to congestion. It ends when everything is acknowledged that was outstanding when
// it began.
type episode struct {
	phase   phase
	recover uint64 // RecoveryPoint: SND.NXT when it began
	must    bool   // the first retransmission after a timeout has not left: it may, whatever is in flight
}

// congested tells the controller of losses and begins fast recovery with the first ones.
func (s *Sender) congested(now time.Duration, f *finding, inFlight, flight int64) (entered bool) {
	if f.bytes == 0 {
		return false
	}
	if f.guilty > 0 {
		s.cfg.Controller.OnLoss(now, lossOf(f, inFlight, 0))
	}
	e := &s.episode
	if e.phase < fastRecovery {
		entered = true
		e.phase, e.recover = fastRecovery, s.board.nxt
		s.reno.recover = s.board.nxt
		s.tlp.reset()
		s.undo.begin(s.board.una)
	}
	if f.guilty > 0 && e.phase == fastRecovery && !s.prr.active {
		s.prr.enter(flight)
	}
	s.prr.late(s.InFlight(), s.Window(), s.mss)
	return entered
}

// enterTimeout begins recovery after the timer expired, within another one or not.
func (s *Sender) enterTimeout() {
	e := &s.episode
	if e.phase != timeoutRecovery {
		s.undo.begin(s.board.una)
		s.rtt.remember()
	}
	e.phase, e.recover, e.must = timeoutRecovery, s.board.nxt, true
	s.reno.recover = s.board.nxt
}

// leave ends an episode whose data is acknowledged.
func (s *Sender) leave() (recovered bool) {
	e := &s.episode
	if e.phase == undisturbed || s.board.una < e.recover {
		return false
	}
	recovered = e.phase >= fastRecovery
	if recovered {
		s.rack.recovered()
		s.undo.end(s.board.nxt)
	}
	s.calm()
	return recovered
}

// calm is the state between episodes.
func (s *Sender) calm() {
	s.episode.phase, s.episode.must = undisturbed, false
	s.prr.leave()
	s.frto = frto{}
	s.reno.left, s.reno.duplicates = 0, 0
}

// marked reacts to a congestion mark, "at most once per window of data" (RFC 3168 section 5).
func (s *Sender) marked(now time.Duration, n *news) bool {
	if !n.ack.ECE || s.episode.phase != undisturbed || s.board.una == s.board.nxt && n.acked == 0 {
		return false
	}
	at := n.sentAt
	if n.delivered == 0 {
		at = s.rack.sentAt
	}
	s.cfg.Controller.OnLoss(now, congestion.Loss{InFlight: n.inFlight, SentAt: at, ECN: true})
	s.episode.phase, s.episode.recover = reducing, s.board.nxt
	s.prr.enter(n.flight)
	return true
}

// persistent is the number of timeouts in a row after which the path may have become another.
const persistent = 3

func lossOf(f *finding, inFlight int64, timeouts int) congestion.Loss {
	return congestion.Loss{
		Bytes: f.guilty, InFlight: inFlight, SentAt: f.sentAt,
		Timeout: timeouts > 0, Persistent: timeouts >= persistent,
	}
}

// doom marks what a timeout takes for lost: "marks the first outstanding segment as lost (since it was
// sent an RTO ago); for all the other segments, RACK only marks the segment as lost if the time elapsed
// since the segment was transmitted is at least the sum of the recent RTT and the reordering window"
// (RFC 8985 section 6.3). Without RACK all are.
func (s *Sender) doom(now time.Duration, f *finding) {
	b := &s.board
	patience := s.rack.rtt + s.reorderingWindow()
	for pos := range b.order.n {
		r := b.at(pos)
		if r.state != flying {
			continue
		}
		if pos == 0 || !s.cfg.SACK || !s.rack.any || r.sentAt+patience <= now {
			s.lose(pos, f)
		}
	}
}

// renegs notices that the first unacknowledged byte was selectively acknowledged: the peer has thrown
// away what it had. It may correct itself; if not, the timer forgets the blocks.
func (s *Sender) renegs(now time.Duration) bool {
	r := s.board.first()
	if r == nil || r.state != sacked || s.timer.reneged {
		return false
	}
	s.timer.reneged, s.timer.base = true, now
	return true
}

// forget takes all selective acknowledgments for void: "the data sender SHOULD turn off all of the
// SACKed bits, since the timeout might indicate that the data receiver has reneged" (RFC 2018 section
// 5). Here only where the blocks contradict the cumulative acknowledgment: else they are worth more than
// the suspicion.
func (s *Sender) forget() {
	for pos := range s.board.order.n {
		if r := s.board.at(pos); r.state == sacked {
			r.marks |= retransmitted // when it left is no longer known
			s.board.set(pos, lost)
		}
	}
}
