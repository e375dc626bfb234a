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
	if a.ECE {
		r.sample(a)
		r.OnLoss(now, Loss{InFlight: a.InFlight, SentAt: a.SentAt, ECN: true})
		return
	}
	if n, ok := r.received(a); ok {
		r.avoid(n)
	}
}

// received does what an ACK without a mark calls for, up to congestion avoidance: for that it returns the
// bytes that count, and whether there it is.
func (r *reno) received(a Ack) (n int64, avoidance bool) {
	r.sample(a)
	if a.Bytes <= 0 || !r.mayGrow(a) {
		return 0, false
	}
	n = a.Bytes
	if r.cwnd < r.ssthresh {
		n = r.slowStart(n, r.appropriate())
	}
	return n, r.cwnd >= r.ssthresh
}

func (r *reno) sample(a Ack) {
	if a.RTT > 0 {
		r.quiet.sample(a.RTT)
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

func (r *reno) OnLoss(now Time, l Loss) { r.lose(now, l, r.half(l.InFlight)) }

// lose answers a loss with the window that it leaves, once for each window of data. It tells whether
// this one was the first of its window.
func (r *reno) lose(now Time, l Loss, left int64) bool {
	if l.Timeout || l.Persistent {
		return r.timeout(now, left)
	}
	if r.known(l.SentAt) {
		return false
	}
	r.remember(!l.ECN)
	r.reduce(now, left, left)
	r.acked = 0
	return true
}

// timeout sets the threshold but once: when the segment "has already been retransmitted by way of the
// retransmission timer at least once, the value of ssthresh is held constant" (RFC 5681 section 3.1).
func (r *reno) timeout(now Time, left int64) bool {
	first := !r.timedOut
	if first {
		r.remember(true)
		r.ssthresh = left
	}
	r.collapse(now)
	r.acked = 0
	return first
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
