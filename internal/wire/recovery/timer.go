package recovery

import "time"

// timer is the one timer for retransmissions: "An implementation is expected to have one timer with an
// additional state variable indicating the type of the timer" (RFC 8985 section 8).
type timer struct {
	deadline time.Duration
	kind     Expired // None: it does not run

	base     time.Duration // RTO counts from here or from the last transmission of the first segment, the later
	backoff  int
	timeouts int
	reneged  bool // the first segment was selectively acknowledged once: what the peer says is void
	sinceSYN bool // SYN has timed out
}

// maxBackoff keeps the shift within 64 bits; MaxRTO ends the growth long before.
const maxBackoff = 20

// renegeWait is how long the peer may take to correct itself.
const renegeWait = 10 * time.Millisecond

// timeout is RTO, backed off: RFC 6298 section 2.
func (s *Sender) timeout() time.Duration {
	return min(s.Patience()<<min(s.timer.backoff, maxBackoff), s.cfg.MaxRTO)
}

// Patience is RTO without its back-off.
func (s *Sender) Patience() time.Duration {
	rto := initialRTO
	switch {
	case s.rtt.srtt > 0:
		rto = s.rtt.srtt + max(4*s.rtt.rttvar, s.cfg.MinRTO)
	case s.timer.sinceSYN && s.board.una > 0:
		// "If the timer expires awaiting the ACK of a SYN segment and the TCP implementation is using an
		// RTO less than 3 seconds, the RTO MUST be re-initialized to 3 seconds when data transmission
		// begins" (section 5, step 5.7).
		rto = 3 * initialRTO
	}
	return min(rto, s.cfg.MaxRTO)
}

// rearm sets the timer to what is due first.
func (s *Sender) rearm() {
	t := &s.timer
	r := s.board.first()
	if r == nil {
		t.kind, t.reneged = None, false
		s.rack.waiting = false
		return
	}
	if r.state != sacked {
		t.reneged = false
	}
	t.kind, t.deadline = RTO, max(t.base, r.sentAt)+s.timeout()
	if t.reneged {
		t.deadline = min(t.deadline, t.base+max(s.rtt.srtt/2, renegeWait))
	}
	if s.rack.waiting {
		if at := s.rack.deadline + granularity; at < t.deadline {
			t.kind, t.deadline = Reorder, at
		}
		return
	}
	// "if the time at which an RTO would fire ... is sooner than the computed time for the PTO, then the
	// sender schedules a TLP to be sent at that RTO time" (RFC 8985 section 7.2).
	if at, ok := s.probeAt(); ok && !t.reneged {
		t.kind, t.deadline = Probe, min(at, t.deadline)
	}
}

// Next is when OnTimer wants to be called; false: no timer runs. It changes with every other call.
func (s *Sender) Next() (time.Duration, bool) {
	paced, ok := s.pacer.next()
	if s.timer.kind == None {
		return paced, ok
	}
	if ok && paced < s.timer.deadline {
		return paced, true
	}
	return s.timer.deadline, true
}

// OnTimer does what is due. Called early it does nothing; what it returns says what the caller should do.
func (s *Sender) OnTimer(now time.Duration) Expired {
	now = s.advance(now)
	t := &s.timer
	if t.kind != None && now >= t.deadline {
		switch t.kind {
		case RTO:
			s.expire(now)
			return RTO
		case Probe:
			s.tlp.wanted = true
			// "After attempting to send a loss probe, regardless of whether a loss probe was sent, the
			// sender MUST re-arm the RTO timer" (section 7.3).
			t.base = now
			s.rearm()
			return Probe
		case Reorder:
			if s.settle(now) {
				return Reorder
			}
		}
	}
	if at, ok := s.pacer.next(); ok && now >= at {
		s.pacer.asked = false
		return Paced
	}
	return None
}

// settle looks for losses at the end of the reordering window.
func (s *Sender) settle(now time.Duration) bool {
	var f finding
	inFlight, flight := s.InFlight(), s.flight()
	s.detect(now, &f)
	if f.bytes > 0 {
		s.congested(now, &f, inFlight, flight)
	}
	s.rearm()
	return f.bytes > 0
}

// flight is RecoverFS of RFC 9937: what is outstanding less what is known to have arrived.
func (s *Sender) flight() int64 { return int64(s.board.nxt-s.board.una) - s.board.sacked - s.reno.left }

// expire is the retransmission timeout: RFC 6298 section 5, RFC 8985 section 6.3.
func (s *Sender) expire(now time.Duration) {
	b := &s.board
	inFlight := s.InFlight()
	s.frto.begin(s)
	if s.timer.reneged {
		s.forget()
	}
	var f finding
	s.doom(now, &f)
	s.reno = newReno{}
	s.timer.timeouts++
	s.timer.backoff++
	s.timer.base = now
	s.timer.reneged = false
	s.rack.waiting = false
	s.tlp.reset()
	s.prr.leave()
	s.enterTimeout()
	if b.una == 0 {
		s.timer.sinceSYN = true
		s.start.lost()
	} else {
		s.cfg.Controller.OnLoss(now, lossOf(&f, inFlight, s.timer.timeouts))
	}
	s.repace(now)
	s.rearm()
}
