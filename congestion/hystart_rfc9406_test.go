package congestion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// round acknowledges n segments, one by one, of which the first was sent at sent; all have this RTT.
func round(c Controller, sent Time, rtt time.Duration, n int) (end Time) {
	for i := range n {
		at := sent + Time(i)
		c.OnAck(at+rtt, Ack{Bytes: mss, InFlight: c.Window(), SentAt: at, RTT: rtt, SRTT: rtt, MinRTT: rtt})
	}
	return sent + rtt
}

// RFC 9406 section 4.2: RttThresh is 1/8 of the last round's minimum between 4 and 16 ms.
func TestHyStartThreshold(t *testing.T) {
	for _, tc := range []struct {
		last, now time.Duration
		css       bool
	}{
		{100 * time.Millisecond, 112499 * time.Microsecond, false},
		{100 * time.Millisecond, 112500 * time.Microsecond, true},
		{10 * time.Millisecond, 13999 * time.Microsecond, false},
		{10 * time.Millisecond, 14 * time.Millisecond, true},
		{400 * time.Millisecond, 415999 * time.Microsecond, false},
		{400 * time.Millisecond, 416 * time.Millisecond, true},
	} {
		c := newTestCubic(10)
		at := round(c, 0, tc.last, 10)
		round(c, at, tc.now, 8)
		require.Equal(t, tc.css, c.Metrics().State == "conservative_slow_start", "%v after %v", tc.now, tc.last)
	}
	c := newTestCubic(10)
	at := round(c, 0, rtt, 10)
	round(c, at, 2*rtt, 7)
	require.Equal(t, "slow_start", c.Metrics().State, "N_RTT_SAMPLE is 8")
}

// A queue on the way back is no reason to leave slow start; one that is ours is.
func TestHyStartLooksAtTheWayForth(t *testing.T) {
	for name, tc := range map[string]struct {
		back time.Duration
		css  bool
	}{"the ACKs wait": {rtt / 4, false}, "the data waits": {0, true}, "both wait": {rtt / 10, true}} {
		t.Run(name, func(t *testing.T) {
			c := newTestCubic(10)
			at := round(c, 0, rtt, 10)
			for i := range 8 {
				sent := at + Time(i)
				c.OnAck(sent+rtt*5/4, Ack{Bytes: mss, InFlight: c.Window(), SentAt: sent, RTT: rtt * 5 / 4, ReturnDelay: tc.back, SRTT: rtt, MinRTT: rtt})
			}
			require.Equal(t, tc.css, c.Metrics().State == "conservative_slow_start")
		})
	}
}

// conservative is in CSS since the eighth sample of the second round, with a window of 27.25 segments:
// seven more in full, and a quarter of one.
func conservative(t *testing.T) (Controller, Time) {
	c := newTestCubic(10)
	at := round(c, 0, rtt, 10)
	at = round(c, at, rtt*5/4, 8)
	require.Equal(t, Metrics{Window: 27*mss + mss/4, SSThresh: -1, State: "conservative_slow_start"}, c.Metrics())
	return c, at
}

// "If CSS_ROUNDS rounds are complete, enter congestion avoidance by setting ssthresh to the current
// cwnd", the partial round included.
func TestHyStartEndsAfterFiveRounds(t *testing.T) {
	c, at := conservative(t)
	for r := range 4 {
		before := c.Window()
		at = round(c, at, rtt*5/4, 8)
		require.Equal(t, before+2*mss, c.Window(), "a quarter of 8 segments")
		require.Equal(t, "conservative_slow_start", c.Metrics().State, "round %d", r+2)
	}
	window := c.Window()
	round(c, at, rtt*5/4, 1)
	require.Equal(t, Metrics{Window: window, SSThresh: window, State: "congestion_avoidance"}, c.Metrics())
}

func TestHyStartThatWasJitterGoesOn(t *testing.T) {
	c, at := conservative(t)
	at = round(c, at, rtt*5/4-1, 7)
	require.Equal(t, "conservative_slow_start", c.Metrics().State, "seven samples")
	before := c.Window()
	round(c, at-rtt*5/4+100, rtt*5/4-1, 1)
	require.Equal(t, Metrics{Window: before + mss, SSThresh: -1, State: "slow_start"}, c.Metrics(), "the eighth")
}

func TestHyStartEndsWithALoss(t *testing.T) {
	c, at := conservative(t)
	c.OnLoss(at, Loss{Bytes: mss, InFlight: 20 * mss, SentAt: at - 1})
	require.Equal(t, Metrics{Window: 14 * mss, SSThresh: 14 * mss, State: "fast_recovery"}, c.Metrics())
	c.OnLoss(at+time.Second, Loss{Bytes: mss, InFlight: 14 * mss, SentAt: at + 1, Timeout: true})
	at += 2 * time.Second
	round(c, at, 5*rtt, 10)
	require.EqualValues(t, 98*mss/10+750, max(c.Window(), 10_550), "an ordinary slow start follows, to 9.8 segments")
}

// Against a link with a queue of sixteen times its capacity: five rounds of CSS after the doubling that
// was noticed end at some ten times the capacity, without a loss; plain slow start overflows the queue.
func TestHyStartLeavesBeforeTheQueueIsFull(t *testing.T) {
	for f, overflows := range map[Factory]bool{Reno: true, Cubic: false} {
		const perSegment = time.Millisecond // a pipe of 100 segments
		c := f.NewGroup().New(0, Subflow{MSS: mss, InitialWindow: 10 * mss, RTT: rtt})
		type segment struct{ sent, acked Time }
		var flying []segment
		var now, free Time
		full := false
		for now < 20*time.Second && c.Metrics().SSThresh < 0 {
			for int64(len(flying)*mss) < c.Window() {
				free = max(free, now) + perSegment
				full = full || free-now > 1600*perSegment
				flying = append(flying, segment{now, free + rtt})
			}
			if full {
				break
			}
			s := flying[0]
			flying, now = flying[1:], s.acked
			ack(c, now, s.sent, mss)
		}
		require.Equal(t, overflows, full, f.Name())
		if !overflows {
			require.Greater(t, c.Window(), int64(100*mss))
			require.Less(t, c.Window(), int64(1200*mss))
		}
	}
}
