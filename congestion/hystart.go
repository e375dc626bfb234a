package congestion

import "time"

// The constants of RFC 9406 section 4.3.
const (
	hystartMinThresh  = 4 * time.Millisecond  // MIN_RTT_THRESH
	hystartMaxThresh  = 16 * time.Millisecond // MAX_RTT_THRESH
	hystartDivisor    = 8                     // MIN_RTT_DIVISOR
	hystartSamples    = 8                     // N_RTT_SAMPLE
	hystartCSSDivisor = 4                     // CSS_GROWTH_DIVISOR
	hystartCSSRounds  = 5                     // CSS_ROUNDS
	hystartBurst      = 8                     // L: segments that one ACK may add, unless paced
)

// hystart leaves the initial slow start when round trips grow longer, before the queue overflows
// (RFC 9406 section 4.2). It doubts first: in conservative slow start (CSS) the window grows at a quarter
// of the pace, and when the round trips get shorter again, that was jitter.
type hystart struct {
	paced bool

	round         Time          // when this round began
	any           bool          // one has
	last, current time.Duration // the smallest RTT of the last round and of this one; 0: none
	count         int           // samples in this round

	conservative bool          // in CSS
	baseline     time.Duration // cssBaselineMinRtt
	rounds       int           // of CSS that are over
}

// growth is what an ACK for n bytes adds: min(N, L*SMSS), in CSS divided by CSS_GROWTH_DIVISOR.
// "L = infinity if paced, L = 8 if non-paced".
func (h *hystart) growth(n, mss int64) int64 {
	if !h.paced {
		n = min(n, hystartBurst*mss)
	}
	if h.conservative {
		n /= hystartCSSDivisor
	}
	return n
}

// observe takes an ACK's round trip into account and tells whether slow start is over.
func (h *hystart) observe(now Time, a Ack) (over bool) {
	// "When windowEnd is ACKed, the current round ends and windowEnd is set to SND.NXT": told by time,
	// what was sent since the round began has arrived.
	if !h.any || a.SentAt >= h.round {
		if h.nextRound(now) {
			return true
		}
	}
	if a.RTT <= 0 {
		return false
	}
	// Of two directions that are busy at once, each has its ACKs wait behind the data of the other. The RFC's whole
	// round trip would end slow start for a queue that is not ours.
	if rtt := max(a.RTT-a.ReturnDelay, 1); h.current == 0 || rtt < h.current {
		h.current = rtt
	}
	h.count++
	if h.count < hystartSamples {
		return false
	}
	switch {
	case h.conservative && h.current < h.baseline:
		h.conservative = false
	case !h.conservative && h.last > 0:
		thresh := max(hystartMinThresh, min(h.last/hystartDivisor, hystartMaxThresh))
		if h.current >= h.last+thresh {
			h.conservative, h.baseline, h.rounds = true, h.current, 0
		}
	}
	return false
}

// nextRound tells whether CSS has lasted for CSS_ROUNDS: "If the transition into CSS happens in the
// middle of a round, that partial round counts towards the limit".
func (h *hystart) nextRound(now Time) (over bool) {
	h.any, h.round = true, now
	h.last, h.current, h.count = h.current, 0, 0
	if !h.conservative {
		return false
	}
	h.rounds++
	return h.rounds >= hystartCSSRounds
}
