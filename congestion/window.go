package congestion

import (
	"math"
	"time"
)

// window is what Reno and CUBIC have in common: slow start to a threshold, one reduction for each
// window of data, the loss window after a timeout, and the restart window after idleness.
//
// It is never inflated by duplicate ACKs: the owner counts what SACK says has left the network out of
// the bytes in flight (RFC 6675), which has the same effect.
type window struct {
	mss      int64
	initial  int64 // the initial window, also the restart window
	cwnd     int64
	ssthresh int64

	reduced    Time // when the window was last reduced: older segments tell of the same congestion
	recovering bool // in fast recovery
	timedOut   bool // a timeout, and no ACK since
	afterRTO   bool // in the slow start that follows a timeout

	quiet quiet
}

// unset is a slow start threshold as it is before the first loss: "The initial value of ssthresh
// SHOULD be set arbitrarily high" (RFC 5681 section 3.1).
const unset = math.MaxInt64

// never lies before every instant, so that a segment sent at time 0 can be lost.
const never Time = math.MinInt64

func newWindow(s Subflow) window {
	if s.MSS <= 0 {
		s.MSS = defaultMSS
	}
	if s.InitialWindow <= 0 {
		s.InitialWindow = InitialWindow(s.MSS)
	}
	w := window{mss: int64(s.MSS), initial: s.InitialWindow, ssthresh: unset, reduced: never}
	w.cwnd = max(w.initial, w.mss)
	if s.RTT > 0 {
		w.quiet.sample(s.RTT)
	}
	return w
}

func (w *window) Window() int64     { return w.cwnd }
func (w *window) PacingRate() int64 { return 0 }

func (w *window) Metrics() Metrics {
	m := Metrics{Window: w.cwnd, SSThresh: w.ssthresh, State: stateAvoidance}
	if w.ssthresh == unset {
		m.SSThresh = -1
	}
	switch {
	case w.recovering:
		m.State = stateRecovery
	case w.cwnd < w.ssthresh:
		m.State = stateSlowStart
	}
	return m
}

// restart goes back to slow start after idleness: "a TCP SHOULD set cwnd to no more than RW before
// beginning transmission if the TCP has not sent data in an interval exceeding the retransmission
// timeout", where "RW = min(IW,cwnd)" (RFC 5681 section 4.1).
func (w *window) restart(now Time, bytes, inFlight int64) (restarted bool) {
	if inFlight <= bytes && w.quiet.exceeded(now) {
		w.cwnd = min(w.cwnd, max(w.initial, w.mss))
		restarted = true
	}
	w.quiet.sent(now)
	return restarted
}

// mayGrow takes note of an ACK for new bytes and tells whether it may raise the window.
func (w *window) mayGrow(a Ack) bool {
	w.timedOut = false
	if w.recovering {
		// A segment that was sent after the reduction has arrived, hence everything that was
		// outstanding then has been answered for: RFC 6582's "recover", told by time.
		if a.SentAt <= w.reduced {
			return false
		}
		w.recovering = false
	}
	return !a.AppLimited // a window that was not tested: nothing says that a larger one would do
}

// slowStart grows the window by what was acknowledged, at most limit. It returns the bytes that count
// for congestion avoidance when the threshold has been reached.
func (w *window) slowStart(n, limit int64) (rest int64) {
	grown := min(n, limit, w.ssthresh-w.cwnd)
	w.cwnd += grown
	if w.cwnd < w.ssthresh {
		return 0
	}
	w.afterRTO = false
	return min(n, limit) - grown
}

// appropriate is how much one ACK may add in slow start: "TCP implementations MAY use L=2*SMSS bytes
// and MUST NOT use L > 2*SMSS bytes", and after a timeout "a TCP MUST use L=1*SMSS" (RFC 3465
// section 2.3).
func (w *window) appropriate() int64 {
	if w.afterRTO {
		return w.mss
	}
	return 2 * w.mss
}

// known tells whether congestion that a segment sent at sentAt speaks of has been answered: what was
// sent before the last reduction belongs to the same window of data.
func (w *window) known(sentAt Time) bool { return sentAt <= w.reduced }

// reduce enters fast recovery.
func (w *window) reduce(now Time, cwnd, ssthresh int64) {
	w.ssthresh = ssthresh
	w.cwnd = min(w.cwnd, cwnd) // below it, after a timeout, a loss must not raise the window
	w.reduced = now
	w.recovering = true
	w.afterRTO = false
}

// collapse falls back to the loss window: "upon a timeout cwnd MUST be set to no more than the loss
// window, LW, which equals 1 full-sized segment" (RFC 5681 section 3.1).
func (w *window) collapse(now Time) {
	w.cwnd = w.mss
	w.reduced = now
	w.recovering = false
	w.timedOut = true
	w.afterRTO = true
}

// flight bounds FlightSize, which may exceed the window just after a reduction: no reason to set more.
func (w *window) flight(inFlight int64) int64 { return min(inFlight, w.cwnd) }

// resize keeps the number of segments when they shrink: "cwnd SHOULD be reduced by the ratio of the old
// segment size to the new segment size" (RFC 5681 section 3.1), lest more and smaller ones leave in a
// burst. It tells whether the size is a new one.
func (w *window) resize(mss int) bool {
	m := int64(mss)
	if m <= 0 || m == w.mss {
		return false
	}
	if m < w.mss {
		w.cwnd = w.cwnd/w.mss*m + w.cwnd%w.mss*m/w.mss
		w.initial = min(w.initial, InitialWindow(mss))
	}
	w.mss = m
	w.cwnd = max(w.cwnd, m)
	w.ssthresh = max(w.ssthresh, 2*m)
	return true
}

// quiet tells when a sender has been idle for longer than a retransmission timeout (RFC 6298).
type quiet struct {
	srtt, rttvar time.Duration
	last         Time // when something was last sent
	any          bool // something was
}

// minRTO is "Whenever RTO is computed, if it is less than 1 second, then the RTO SHOULD be rounded up
// to 1 second" (RFC 6298 section 2.4).
const minRTO = time.Second

func (q *quiet) sent(now Time) { q.last, q.any = now, true }

// sample is RFC 6298 sections 2.2 and 2.3.
func (q *quiet) sample(rtt time.Duration) {
	if q.srtt == 0 {
		q.srtt, q.rttvar = rtt, rtt/2
		return
	}
	q.rttvar = q.rttvar*3/4 + (q.srtt-rtt).Abs()/4
	q.srtt = q.srtt*7/8 + rtt/8
}

func (q *quiet) exceeded(now Time) bool {
	return q.any && now-q.last > max(q.srtt+4*q.rttvar, minRTO)
}
