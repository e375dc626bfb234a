package congestion

// Reno is NewReno: RFC 5681 with the recovery of RFC 6582, counting bytes as RFC 3465 does, from the
// initial window of RFC 6928. Subflows are not coupled: n of them take n shares of a bottleneck.
// It does not pace; see Paced.
var Reno Factory = renoFactory{}

type renoFactory struct{}

func (renoFactory) Name() string    { return "reno" }
func (renoFactory) NewGroup() Group { return renoGroup{} }

type renoGroup struct{}

func (renoGroup) New(_ Time, s Subflow) Controller { return &reno{window: newWindow(s)} }
func (renoGroup) Remove(Controller)                {}

type reno struct {
	window
	acked int64 // bytes acknowledged since the window last grew, in congestion avoidance
	undo  undo
}

// undo is what OnSpuriousLoss restores.
type undo struct {
	valid          bool
	cwnd, ssthresh int64
	reduced        Time
}

func (r *reno) OnSent(now Time, bytes, inFlight int64) {
	if r.restart(now, bytes, inFlight) {
		r.acked = 0
	}
}

func (r *reno) OnAck(now Time, a Ack) {
	if a.RTT > 0 {
		r.quiet.sample(a.RTT)
	}
	if a.ECE {
		r.congestion(now, a.SentAt, a.InFlight, false)
		return
	}
	if a.Bytes <= 0 || !r.mayGrow(a) {
		return
	}
	n := a.Bytes
	if r.cwnd < r.ssthresh {
		n = r.slowStart(n, r.appropriate())
	}
	if r.cwnd >= r.ssthresh {
		r.avoid(n)
	}
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

// congestion halves once for each window of data.
func (r *reno) congestion(now, sentAt Time, flight int64, canUndo bool) {
	if r.known(sentAt) {
		return
	}
	r.remember(canUndo)
	half := r.half(flight)
	r.reduce(now, half, half)
	r.acked = 0
}

// timeout sets the threshold but once: when the segment "has already been retransmitted by way of the
// retransmission timer at least once, the value of ssthresh is held constant" (RFC 5681 section 3.1).
func (r *reno) timeout(now Time, l Loss) {
	if !r.timedOut {
		r.remember(true)
		r.ssthresh = r.half(l.InFlight)
	}
	r.collapse(now)
	r.acked = 0
}

// half is equation (4) of RFC 5681: "ssthresh = max (FlightSize / 2, 2*SMSS)".
func (r *reno) half(flight int64) int64 { return max(r.flight(flight)/2, 2*r.mss) }

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

// OnMSS starts counting anew: what was counted may be due at once in a window that has become smaller.
func (r *reno) OnMSS(mss int) {
	if r.resize(mss) {
		r.acked = 0
	}
}
