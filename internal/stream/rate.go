package stream

import (
	"slices"
	"time"
)

const (
	// rateRounds is for how many round trips the highest sample of the rate counts.
	rateRounds = 8
	// flatRounds is after how many round trips without a quarter more the rate has found its limit.
	flatRounds = 3
	// startWindow is what a path is given before anything is known of it: several times what TCP itself
	// sends at first.
	startWindow = 64 << 10
	// slackMin, slackTime and slackMax are what a path may hold beyond a multiple of its bandwidth-delay
	// product: what it delivers in slackTime, within bounds.
	slackMin, slackMax = 32 << 10, 128 << 10
	slackTime          = 25 * time.Millisecond
	flatTime           = 8 * time.Millisecond // the same for a rate that has found its limit
)

// rate is how fast a path delivers. TCP's own figure ends at the first proxy, and elsewhere there is none.
type rate struct {
	best    int64             // bytes per second: the highest of peaks; 0: unknown
	peaks   [rateRounds]int64 // of this round trip and those before
	end     uint64            // the round trip ends when this payload byte has arrived
	pressed bool              // the window has kept data back in this round trip: the rate is the path's
	limit   int64             // the rate that growth is measured by
	flat    int               // round trips in which it has not grown
}

// measure takes a sample from an ECHO that is answered now: what has arrived since what had arrived when
// it was made, over the time in which that was sent or in which it arrived, whichever is longer. What TCP
// held back behind a hole arrives at once, but was sent before; what leaves at once arrives in its time.
func (r *rate) measure(now time.Duration, x echo) {
	if d := max(now-x.deliveredAt, x.sentAt-x.deliveredBy); d > 0 {
		r.peaks[0] = max(r.peaks[0], int64(float64(x.upTo-x.delivered)/d.Seconds()))
		r.best = slices.Max(r.peaks[:])
	}
}

// round takes note that the payload below upTo has arrived while missing bytes more are under way. A
// round trip in which the application sent less than it might have tells nothing of the path.
func (r *rate) round(upTo uint64, missing int64) {
	if upTo < r.end {
		return
	}
	r.end = upTo + uint64(missing)
	if !r.pressed {
		return
	}
	r.pressed = false
	if r.best >= r.limit+r.limit/4 || r.best < r.limit/2 {
		r.limit, r.flat = r.best, 0
	} else {
		r.flat = min(r.flat+1, flatRounds)
	}
	copy(r.peaks[1:], r.peaks[:])
	r.peaks[0] = 0
}

// window is how much a path may have under way whose round trip takes minRTT without a queue. While the
// rate grows it is two bandwidth-delay products, so that a sender which is held back by it alone measures
// twice the rate a round trip later. Then it is one and a quarter: what is more waits in the path's queue,
// where it delays everything, overflows it in the end, and dies with the path.
func (r *rate) window(minRTT time.Duration) int64 {
	if r.best == 0 || minRTT < 0 {
		return startWindow
	}
	over := func(d time.Duration) int64 { return int64(float64(r.best) * d.Seconds()) }
	w := over(minRTT)
	if r.flat < flatRounds {
		return 2*w + min(max(over(slackTime), slackMin), slackMax)
	}
	return w + w/4 + min(max(over(flatTime), slackMin), slackMax)
}
