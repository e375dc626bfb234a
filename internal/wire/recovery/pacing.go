package recovery

import (
	"math/bits"
	"time"
)

// How fine pacing is. What leaves at once is what a millisecond earns, but no less than two segments
// and no more than a super-segment: below, the cost of a wake-up is spread over more bytes, above, it
// does not matter any more. The bucket holds twice that, and at least what the clock of an ordinary
// timer lets pass, so that a late wake-up is made good.
const (
	pacedUnit  = time.Millisecond
	pacedSlack = 4 * time.Millisecond
	pacedMost  = maxRecord
)

// maxPaced is the rate above which a window is not spread: a super-segment takes less than a timer's millisecond, so that
// waiting for timers would cost more than bursts do.
const maxPaced = pacedMost * int64(time.Second/pacedUnit)

// Pacing gains over window and round-trip time, in percent: a window that doubles within the round trip
// needs twice its rate, one that grows slowly little more than its own.
const (
	gainSlowStart = 200
	gainAvoidance = 120
)

// pacer is a bucket of tokens, one for a byte.
type pacer struct {
	rate   int64 // bytes per second; 0: unpaced
	tokens int64 // at the instant filled; negative: owed
	filled time.Duration
	asked  bool  // Allowance was cut to 0: Next tells when it is more
	quota  int64 // what it waits for
}

// size is how many tokens the bucket holds.
func (p *pacer) size(unit int64) int64 { return max(2*unit, perTime(p.rate, pacedSlack)) }

// unit is how much should leave at once.
func (p *pacer) unit(mss int64) int64 {
	return max(min(perTime(p.rate, pacedUnit), pacedMost), 2*mss)
}

// perTime is rate*d without overflow.
func perTime(rate int64, d time.Duration) int64 {
	if rate <= 0 || d <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(rate), uint64(d))
	if hi >= uint64(time.Second) {
		return 1 << 62
	}
	q, _ := bits.Div64(hi, lo, uint64(time.Second))
	return int64(min(q, 1<<62))
}

// timeFor is how long the rate takes for n bytes, rounded up.
func timeFor(n, rate int64) time.Duration {
	hi, lo := bits.Mul64(uint64(max(n, 0)), uint64(time.Second))
	if hi >= uint64(rate) {
		return 1 << 62
	}
	q, rest := bits.Div64(hi, lo, uint64(rate))
	if rest > 0 {
		q++
	}
	return time.Duration(min(q, 1<<62))
}

// set changes the rate; the tokens earned so far stay.
func (p *pacer) set(now time.Duration, rate, mss int64) {
	if rate == p.rate {
		return
	}
	p.refill(now, mss)
	if p.rate == 0 {
		p.rate = rate
		p.tokens = p.size(p.unit(mss))
	}
	p.rate = max(rate, 0)
}

// refill adds what has been earned. The time that has earned no whole token yet goes on counting: who asks often loses nothing.
func (p *pacer) refill(now time.Duration, mss int64) {
	size := p.size(p.unit(mss))
	earned := perTime(p.rate, now-p.filled)
	if p.rate == 0 || p.tokens+earned >= size {
		if p.rate > 0 {
			p.tokens = size
		}
		p.filled = now
		return
	}
	p.tokens += earned
	p.filled += timeFor(earned, p.rate)
}

// allow cuts n to what the rate permits now: all tokens, once they suffice for a unit or for n.
func (p *pacer) allow(now time.Duration, n, mss int64) int64 {
	if p.rate == 0 {
		return n
	}
	p.refill(now, mss)
	quota := min(n, p.unit(mss))
	if p.tokens < quota {
		p.asked, p.quota = true, quota
		return 0
	}
	return min(n, p.tokens)
}

func (p *pacer) sent(now time.Duration, n int64) {
	p.asked = false
	if p.rate > 0 {
		p.tokens -= n
	}
}

// next is when what was asked for may leave.
func (p *pacer) next() (time.Duration, bool) {
	if !p.asked || p.rate == 0 {
		return 0, false
	}
	return p.filled + timeFor(p.quota-p.tokens, p.rate), true
}

// repace takes over the controller's rate, or makes one of window and round-trip time.
func (s *Sender) repace(now time.Duration) {
	rate := s.cfg.Controller.PacingRate()
	if rate <= 0 && s.cfg.Pacing && s.rtt.srtt > 0 {
		m := s.cfg.Controller.Metrics()
		gain := int64(gainAvoidance)
		if m.SSThresh < 0 || m.Window < m.SSThresh/2 {
			gain = gainSlowStart
		}
		if rate = perSecond(m.Window*gain/100, s.rtt.srtt); rate > maxPaced {
			rate = 0
		}
	}
	s.pacer.set(now, max(rate, 0), s.mss)
}
