package recovery

import "time"

// minRTTWindow is the age at which the least round-trip time is forgotten, give or take half: "a
// windowed min-filtered estimate of recent RTT measurements that can adapt when migrating to
// significantly longer paths" (RFC 8985 section 6.2).
const minRTTWindow = 5 * time.Minute

// estimator is RFC 6298 sections 2.2 and 2.3.
type estimator struct {
	srtt, rttvar time.Duration
	shortest     least // of all round trips of late

	unsettled            bool // a timeout was spurious, at the instant
	sinceThen            time.Duration
	srttPrev, rttvarPrev time.Duration // as they were before it
}

// sample takes a measurement, one of n that a round trip is expected to give: "ExpectedSamples ...
// alpha' = alpha / ExpectedSamples, beta' = beta / ExpectedSamples" (RFC 7323 appendix G), lest a
// window of samples makes the past forgotten within a round trip.
func (e *estimator) sample(rtt time.Duration, n int64) {
	if e.srtt == 0 {
		e.srtt, e.rttvar = rtt, rtt/2
		return
	}
	d := rtt - e.srtt
	e.rttvar += (d.Abs() - e.rttvar) / time.Duration(4*n)
	e.srtt += d / time.Duration(8*n)
}

// unsettle begins what a spurious timeout teaches. The samples of what was late are not to stay; the
// first of data that leaves from now on is: "SRTT <- max (SRTT_prev, RTT-SAMPLE), RTTVAR <- max
// (RTTVAR_prev, RTT-SAMPLE/2)" (RFC 4015 section 3, step 11).
func (e *estimator) unsettle(now time.Duration) {
	e.unsettled, e.sinceThen = true, now
}

// remember keeps the state before a timeout, step 0.
func (e *estimator) remember() { e.srttPrev, e.rttvarPrev = e.srtt, e.rttvar }

// settle takes the sample of data that left at sentAt.
func (e *estimator) settle(sentAt, rtt time.Duration) {
	if e.unsettled && sentAt >= e.sinceThen {
		e.unsettled = false
		e.srtt, e.rttvar = max(e.srttPrev, rtt), max(e.rttvarPrev, rtt/2)
	}
}

func (e *estimator) observe(now, rtt time.Duration) { e.shortest.observe(now, rtt) }

func (e *estimator) min() time.Duration { return e.shortest.value() }

// sampleRTT takes a round-trip time into all estimates.
func (s *Sender) sampleRTT(now, rtt time.Duration) {
	expected := max(1, (s.InFlight()+2*s.mss-1)/(2*s.mss))
	s.rtt.sample(rtt, expected)
	if s.rtt.min() == 0 {
		s.rtt.observe(now, rtt)
	}
	s.timer.backoff = 0
	s.tlp.sampled = true
}
