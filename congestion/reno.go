package congestion

import (
	"math"
	"time"
)

// Reno is NewReno: RFC 5681 with the recovery of RFC 6582, counting bytes as RFC 3465 does, from the
// initial window of RFC 6928. Subflows are not coupled: n of them take n shares of a bottleneck.
//
// The window is never inflated by duplicate ACKs: the owner counts what SACK says has left the network
// out of the bytes in flight (RFC 6675), which has the same effect.
var Reno Factory = renoFactory{}

type renoFactory struct{}

func (renoFactory) Name() string    { return "reno" }
func (renoFactory) NewGroup() Group { return renoGroup{} }

type renoGroup struct{}

func (renoGroup) New(_ Time, s Subflow) Controller { return newReno(s) }
func (renoGroup) Remove(Controller)                {}

// unset is a slow start threshold as it is before the first loss: "The initial value of ssthresh
// SHOULD be set arbitrarily high" (RFC 5681 section 3.1).
const unset = math.MaxInt64

// never lies before every instant, so that a segment sent at time 0 can be lost.
const never Time = math.MinInt64

type reno struct {
	mss      int64
	initial  int64 // the initial window, also the restart window
	cwnd     int64
	ssthresh int64
	acked    int64 // bytes acknowledged since the window last grew, in congestion avoidance

	reduced    Time // when the window was last reduced: older segments tell of the same congestion
	recovering bool // in fast recovery
	timedOut   bool // a timeout, and no ACK since
	afterRTO   bool // in the slow start that follows a timeout

	undo  undo
	quiet quiet
}

// undo is what OnSpuriousLoss restores.
type undo struct {
	valid          bool
	cwnd, ssthresh int64
	reduced        Time
}

func newReno(s Subflow) *reno {
	if s.MSS <= 0 {
		s.MSS = defaultMSS
	}
	if s.InitialWindow <= 0 {
		s.InitialWindow = InitialWindow(s.MSS)
	}
	r := &reno{mss: int64(s.MSS), initial: s.InitialWindow, ssthresh: unset, reduced: never}
	r.cwnd = max(r.initial, r.mss)
	if s.RTT > 0 {
		r.quiet.sample(s.RTT)
	}
	return r
}

func (r *reno) Window() int64     { return r.cwnd }
func (r *reno) PacingRate() int64 { return 0 }

func (r *reno) Metrics() Metrics {
	m := Metrics{Window: r.cwnd, SSThresh: r.ssthresh, State: stateAvoidance}
	if r.ssthresh == unset {
		m.SSThresh = -1
	}
	switch {
	case r.recovering:
		m.State = stateRecovery
	case r.cwnd < r.ssthresh:
		m.State = stateSlowStart
	}
	return m
}

// OnSent restarts slow start after idleness: "a TCP SHOULD set cwnd to no more than RW before
// beginning transmission if the TCP has not sent data in an interval exceeding the retransmission
// timeout", where "RW = min(IW,cwnd)" (RFC 5681 section 4.1).
func (r *reno) OnSent(now Time, bytes, inFlight int64) {
	if inFlight <= bytes && r.quiet.exceeded(now) {
		r.cwnd = min(r.cwnd, max(r.initial, r.mss))
		r.acked = 0
	}
	r.quiet.sent(now)
}

func (r *reno) OnAck(now Time, a Ack) {
	if a.RTT > 0 {
		r.quiet.sample(a.RTT)
	}
	if a.ECE {
		r.congestion(now, a.SentAt, a.InFlight, false)
		return
	}
	if a.Bytes <= 0 {
		return
	}
	r.timedOut = false
	if r.recovering {
		// A segment that was sent after the reduction has arrived, hence everything that was
		// outstanding then has been answered for: RFC 6582's "recover", told by time.
		if a.SentAt <= r.reduced {
			return
		}
		r.recovering = false
	}
	if a.AppLimited {
		return // the window was not tested, so that nothing says a larger one would do
	}
	n := a.Bytes
	if r.cwnd < r.ssthresh {
		n = r.slowStart(n)
	}
	if r.cwnd >= r.ssthresh {
		r.avoid(n)
	}
}

// slowStart grows the window by what was acknowledged, at most L: "TCP implementations MAY use
// L=2*SMSS bytes and MUST NOT use L > 2*SMSS bytes", and after a timeout "a TCP MUST use L=1*SMSS"
// (RFC 3465 section 2.3). It returns the bytes that count for congestion avoidance when the threshold
// has been reached.
func (r *reno) slowStart(n int64) (rest int64) {
	limit := 2 * r.mss
	if r.afterRTO {
		limit = r.mss
	}
	grown := min(n, limit, r.ssthresh-r.cwnd)
	r.cwnd += grown
	if r.cwnd < r.ssthresh {
		return 0
	}
	r.afterRTO = false
	return min(n, limit) - grown
}

// avoid grows the window by one segment for every window of bytes acknowledged (RFC 3465 section 2.1):
// "cwnd MUST NOT be increased by more than SMSS bytes per RTT" (RFC 5681 section 3.1).
func (r *reno) avoid(n int64) {
	r.acked += n
	if r.acked < r.cwnd {
		return
	}
	r.acked = min(r.acked-r.cwnd, r.cwnd)
	r.cwnd += r.mss
}

func (r *reno) OnLoss(now Time, l Loss) {
	if l.Timeout || l.Persistent {
		r.timeout(now, l)
		return
	}
	r.congestion(now, l.SentAt, l.InFlight, !l.ECN)
}

// congestion halves once for each window of data: what was sent before the last reduction tells of the
// same congestion.
func (r *reno) congestion(now, sentAt Time, flight int64, canUndo bool) {
	if sentAt <= r.reduced {
		return
	}
	r.remember(canUndo)
	r.ssthresh = r.half(flight)
	r.cwnd = min(r.cwnd, r.ssthresh) // below it, after a timeout, a loss must not raise the window
	r.acked = 0
	r.reduced = now
	r.recovering = true
	r.afterRTO = false
}

// timeout falls back to the loss window: "upon a timeout cwnd MUST be set to no more than the loss
// window, LW, which equals 1 full-sized segment". The threshold is set but once: when the segment "has
// already been retransmitted by way of the retransmission timer at least once, the value of ssthresh
// is held constant" (RFC 5681 section 3.1).
func (r *reno) timeout(now Time, l Loss) {
	if !r.timedOut {
		r.remember(true)
		r.ssthresh = r.half(l.InFlight)
	}
	r.cwnd = r.mss
	r.acked = 0
	r.reduced = now
	r.recovering = false
	r.timedOut = true
	r.afterRTO = true
}

// half is equation (4) of RFC 5681: "ssthresh = max (FlightSize / 2, 2*SMSS)". FlightSize may exceed
// the window just after a reduction, which is no reason to set more.
func (r *reno) half(flight int64) int64 {
	return max(min(flight, r.cwnd)/2, 2*r.mss)
}

func (r *reno) remember(valid bool) {
	r.undo = undo{valid: valid, cwnd: r.cwnd, ssthresh: r.ssthresh, reduced: r.reduced}
}

// OnSpuriousLoss takes the last reduction back, once.
func (r *reno) OnSpuriousLoss(Time) {
	if !r.undo.valid {
		return
	}
	r.cwnd = max(r.cwnd, r.undo.cwnd)
	r.ssthresh = max(r.ssthresh, r.undo.ssthresh)
	r.reduced = r.undo.reduced
	r.undo.valid = false
	r.recovering, r.timedOut, r.afterRTO = false, false, false
}

// OnMSS keeps the number of segments when they shrink: "cwnd SHOULD be reduced by the ratio of the old
// segment size to the new segment size" (RFC 5681 section 3.1), lest more and smaller ones leave in a
// burst.
func (r *reno) OnMSS(mss int) {
	m := int64(mss)
	if m <= 0 || m == r.mss {
		return
	}
	if m < r.mss {
		r.cwnd = r.cwnd/r.mss*m + r.cwnd%r.mss*m/r.mss
		r.initial = min(r.initial, InitialWindow(mss))
	}
	r.mss = m
	r.cwnd = max(r.cwnd, m)
	r.ssthresh = max(r.ssthresh, 2*m)
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
