package congestion

import (
	"math"
	"time"
)

// The constants of RFC 9438: "β_cubic SHOULD be set to 0.7" (section 4.6), "C SHOULD be set to 0.4"
// segments per second cubed (section 5.1), and α_cubic = 3*(1-β_cubic)/(1+β_cubic) (section 4.3).
const (
	betaCubic  = 0.7
	scaleCubic = 0.4
	alphaCubic = 3 * (1 - betaCubic) / (1 + betaCubic)
)

// curve is the window of congestion avoidance as a function of time (RFC 9438 section 4), in bytes.
//
// Products are converted before they are added to anything: no compiler fuses them then, and every
// machine comes to the same windows.
type curve struct {
	wMax  int64         // the plateau: the window just before the last reduction, or less
	prior int64         // cwnd_prior: the window when ssthresh was last set
	k     time.Duration // from the epoch to the plateau

	begun bool    // in an epoch: a stage of congestion avoidance
	flat  bool    // the next epoch begins at the plateau
	epoch Time    // t_epoch, later by the time in which the window was not tested
	last  Time    // when the window was last tested
	est   float64 // W_est: the window of Reno
	rest  float64 // what was earned and is less than a byte
}

// peak remembers the window before a reduction, with the fast convergence of section 4.7: a flow that
// did not get back to its last peak "can then release more bandwidth by reducing W_max further".
func (c *curve) peak(cwnd int64) {
	c.prior = cwnd
	if cwnd < c.wMax {
		c.wMax = int64(float64(cwnd) * (1 + betaCubic) / 2)
	} else {
		c.wMax = cwnd
	}
	c.begun = false
}

// settle ends a slow start without a loss: "CUBIC sets cwnd_prior = cwnd and switches to congestion
// avoidance. It then increases its congestion window size using Figure 1, where [...] K is set to 0,
// and W_max is set to the congestion window size at the beginning" (section 4.10).
func (c *curve) settle(cwnd int64) { c.prior, c.flat = cwnd, true }

// begin starts an epoch. K is the cube root of (W_max - cwnd_epoch)/C (figure 2).
func (c *curve) begin(now Time, cwnd, mss int64) {
	c.begun, c.epoch, c.last = true, now, now
	c.est, c.rest = float64(cwnd), 0
	c.k = 0
	if c.flat || c.wMax < cwnd {
		c.wMax = cwnd
	} else {
		k := math.Cbrt(float64(c.wMax-cwnd) / float64(mss) / scaleCubic)
		c.k = time.Duration(k*1e6) * time.Microsecond
	}
	c.flat = false
}

// pause leaves time out in which the window was not tested: "The elapsed time t in Figure 1 MUST NOT
// include periods during which cwnd has not been updated due to application-limited behavior".
func (c *curve) pause(now Time) {
	if c.begun {
		c.epoch += now - c.last
		c.last = now
	}
}

// at is W_cubic(t) = C*(t-K)^3 + W_max (figure 1).
func (c *curve) at(t time.Duration, mss int64) int64 {
	const most = 1 << 60 // beyond every window, and far from overflow
	s := (t - c.k).Seconds()
	rise := scaleCubic * float64(mss) * s * s * s
	return c.wMax + int64(max(-most, min(rise, most)))
}

// growth is what an ACK for n bytes adds to the window.
func (c *curve) growth(now Time, w *window, n int64) int64 {
	if !c.begun {
		c.begin(now, w.cwnd, w.mss)
	}
	c.last = now
	t := now - c.epoch
	n = min(n, w.cwnd)
	c.follow(w, n)
	if c.at(t, w.mss) < int64(c.est) { // the Reno-friendly region
		c.rest = 0
		return min(max(int64(c.est)-w.cwnd, 0), n)
	}
	// "cwnd MUST be incremented by (target - cwnd)/cwnd for each received new ACK", the target being
	// W_cubic(t + RTT) between cwnd and 1.5 cwnd (sections 4.2, 4.4 and 4.5).
	target := min(max(c.at(t+w.quiet.srtt, w.mss), w.cwnd), w.cwnd+w.cwnd/2)
	c.rest += float64(target-w.cwnd) * float64(n) / float64(w.cwnd)
	whole := int64(c.rest)
	c.rest -= float64(whole)
	return min(whole, n)
}

// follow moves W_est (figure 4): "Once W_est has grown to reach the cwnd at the time of most recently
// setting ssthresh, that is, W_est >= cwnd_prior, the sender SHOULD set α_cubic to 1".
func (c *curve) follow(w *window, n int64) {
	alpha := alphaCubic
	if c.est >= float64(c.prior) {
		alpha = 1
	}
	c.est += alpha * float64(w.mss) * float64(n) / float64(w.cwnd)
}
