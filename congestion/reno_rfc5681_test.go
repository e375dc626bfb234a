package congestion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	mss = 1000
	rtt = 100 * time.Millisecond
)

func newTestReno(segments int64) Controller {
	return Reno.NewGroup().New(0, Subflow{MSS: mss, InitialWindow: segments * mss, RTT: rtt})
}

// ack acknowledges n bytes of data sent at sentAt with the window full.
func ack(c Controller, now, sentAt Time, n int64) {
	c.OnAck(now, Ack{Bytes: n, InFlight: c.Window(), SentAt: sentAt, RTT: now - sentAt, SRTT: rtt, MinRTT: rtt})
}

// inAvoidance returns a controller in congestion avoidance with this window, at 1 s.
func inAvoidance(t *testing.T, segments int64) Controller {
	c := newTestReno(2 * segments)
	c.OnLoss(time.Second, Loss{Bytes: mss, InFlight: 2 * segments * mss, SentAt: time.Second - rtt})
	ack(c, time.Second+rtt, time.Second+1, 0)
	require.Equal(t, segments*mss, c.Window())
	require.Equal(t, segments*mss, c.Metrics().SSThresh)
	return c
}

func TestInitialWindowRFC6928(t *testing.T) {
	for size, want := range map[int]int64{536: 5360, 1000: 10_000, 1460: 14_600, 2000: 14_600, 7300: 14_600, 8960: 17_920} {
		require.Equal(t, want, InitialWindow(size))
		require.Equal(t, want, Reno.NewGroup().New(0, Subflow{MSS: size}).Window())
	}
	require.EqualValues(t, 5360, Reno.NewGroup().New(0, Subflow{}).Window(), "an MSS that is not known is 536")
	require.EqualValues(t, 4000, newTestReno(4).Window(), "the owner's initial window")
	c := newTestReno(10)
	require.Equal(t, Metrics{Window: 10_000, SSThresh: -1, State: "slow_start"}, c.Metrics())
	require.Zero(t, c.PacingRate())
}

// RFC 3465 section 2.2: by the bytes acknowledged, at most L=2*SMSS.
func TestSlowStartRFC3465(t *testing.T) {
	c := newTestReno(10)
	ack(c, rtt, 0, 1000)
	require.EqualValues(t, 11_000, c.Window())
	ack(c, rtt, 0, 2000)
	require.EqualValues(t, 13_000, c.Window(), "a delayed ACK counts for two segments")
	ack(c, rtt, 0, 5000)
	require.EqualValues(t, 15_000, c.Window(), "a stretch ACK for no more than two")
	ack(c, rtt, 0, 1)
	require.EqualValues(t, 15_001, c.Window(), "ACK division gains nothing")
	ack(c, rtt, 0, 0)
	require.EqualValues(t, 15_001, c.Window())
	c.OnAck(rtt, Ack{Bytes: 1000, InFlight: 1000, SentAt: 0, AppLimited: true})
	require.EqualValues(t, 15_001, c.Window(), "a window that was not used is not known to be safe")
}

func TestSlowStartDoublesPerRoundTrip(t *testing.T) {
	c := newTestReno(10)
	for round := range Time(5) {
		before := c.Window()
		for range before / mss {
			ack(c, (round+1)*rtt, round*rtt, mss)
		}
		require.Equal(t, 2*before, c.Window())
	}
}

// RFC 3465 section 2.1: one segment when a window of bytes has been acknowledged.
func TestCongestionAvoidanceCountsBytes(t *testing.T) {
	c := inAvoidance(t, 10)
	now := 2 * time.Second
	for range 9 {
		ack(c, now, now-rtt, 1000)
	}
	require.EqualValues(t, 10_000, c.Window())
	ack(c, now, now-rtt, 999)
	require.EqualValues(t, 10_000, c.Window(), "one byte short of a window")
	ack(c, now, now-rtt, 501)
	require.EqualValues(t, 11_000, c.Window())
	ack(c, now, now-rtt, 10_499)
	require.EqualValues(t, 11_000, c.Window(), "500 bytes were left over, one is missing")
	ack(c, now, now-rtt, 1)
	require.EqualValues(t, 12_000, c.Window())
	require.Equal(t, "congestion_avoidance", c.Metrics().State)
}

// RFC 5681 section 3.2, steps 2 and 6, and RFC 6582: one reduction for all losses of a window.
func TestFastRecoveryRFC6582(t *testing.T) {
	c := newTestReno(20)
	at := time.Second
	c.OnLoss(at, Loss{Bytes: mss, InFlight: 20_000, SentAt: at - rtt})
	require.Equal(t, Metrics{Window: 10_000, SSThresh: 10_000, State: "fast_recovery"}, c.Metrics())
	c.OnLoss(at+rtt/2, Loss{Bytes: 3 * mss, InFlight: 15_000, SentAt: at - 1})
	require.EqualValues(t, 10_000, c.Window(), "a further loss of the same window")
	c.OnLoss(at+rtt/2, Loss{Bytes: mss, InFlight: 15_000, SentAt: at})
	require.EqualValues(t, 10_000, c.Window(), "sent in the very instant of the reduction")
	ack(c, at+rtt, at-1, 5000)
	require.EqualValues(t, 10_000, c.Window(), "a partial ACK does not grow the window")
	require.Equal(t, "fast_recovery", c.Metrics().State)
	ack(c, at+rtt+1, at+1, 1000)
	require.Equal(t, "congestion_avoidance", c.Metrics().State)
	ack(c, at+rtt+2, at+2, 9000)
	require.EqualValues(t, 11_000, c.Window(), "recovery over, growth goes on")
	c.OnLoss(at+2*rtt, Loss{Bytes: mss, InFlight: 11_000, SentAt: at + 3})
	require.EqualValues(t, 5500, c.Window(), "a loss of the next window")
}

func TestThresholdRFC5681Equation4(t *testing.T) {
	for _, tc := range []struct {
		why          string
		flight, want int64
	}{
		{"half of what is in flight, not of the window", 12_000, 6000},
		{"odd sizes round down", 12_345, 6172},
		{"two segments at least", 3000, 2000},
		{"also when nothing is known to be in flight", 0, 2000},
		{"never more than half of the window", 90_000, 10_000},
	} {
		c := newTestReno(20)
		c.OnLoss(time.Second, Loss{Bytes: mss, InFlight: tc.flight, SentAt: time.Second - rtt})
		require.Equal(t, tc.want, c.Window(), tc.why)
		require.Equal(t, tc.want, c.Metrics().SSThresh, tc.why)
	}
}

func TestTimeoutRFC5681(t *testing.T) {
	c := newTestReno(20)
	at := time.Second
	c.OnLoss(at, Loss{Bytes: 20_000, InFlight: 20_000, SentAt: 0, Timeout: true})
	require.Equal(t, Metrics{Window: 1000, SSThresh: 10_000, State: "slow_start"}, c.Metrics())
	c.OnLoss(3*at, Loss{Bytes: 1000, InFlight: 1000, SentAt: at, Timeout: true})
	require.Equal(t, Metrics{Window: 1000, SSThresh: 10_000, State: "slow_start"}, c.Metrics(),
		"the second timeout of a segment holds ssthresh constant")
	c.OnLoss(3*at, Loss{Bytes: 1000, InFlight: 1000, SentAt: at})
	require.EqualValues(t, 1000, c.Window(), "old losses were answered by the timeout")
	for i := range int64(9) {
		ack(c, 4*at, 3*at+1, 5000)
		require.EqualValues(t, 2000+i*1000, c.Window(), "L=1*SMSS after a timeout (RFC 3465 section 2.3)")
	}
	require.Equal(t, "congestion_avoidance", c.Metrics().State)
	ack(c, 5*at, 4*at, 9999)
	require.EqualValues(t, 10_000, c.Window())
	ack(c, 5*at, 4*at, 1)
	require.EqualValues(t, 11_000, c.Window())
	c.OnLoss(6*at, Loss{Bytes: 1000, InFlight: 8000, SentAt: 5 * at, Timeout: true})
	require.EqualValues(t, 4000, c.Metrics().SSThresh, "an ACK came between: a new timeout")
}

func TestSlowStartEndsAtTheThreshold(t *testing.T) {
	c := newTestReno(20)
	c.OnLoss(time.Second, Loss{InFlight: 7000, Bytes: mss, SentAt: 0, Timeout: true})
	require.EqualValues(t, 3500, c.Metrics().SSThresh)
	for _, want := range []int64{2000, 3000, 3500} {
		ack(c, 2*time.Second, time.Second+1, 1000)
		require.Equal(t, want, c.Window())
	}
	ack(c, 2*time.Second, time.Second+1, 2999)
	require.EqualValues(t, 3500, c.Window())
	ack(c, 2*time.Second, time.Second+1, 1)
	require.EqualValues(t, 4500, c.Window(), "the 500 bytes beyond the threshold counted")
}

func TestPersistentCongestionStartsOver(t *testing.T) {
	c := newTestReno(20)
	c.OnLoss(time.Second, Loss{Bytes: 20_000, InFlight: 20_000, SentAt: 0, Persistent: true})
	require.EqualValues(t, 1000, c.Window())
}

func TestSpuriousLossIsUndone(t *testing.T) {
	c := newTestReno(20)
	c.OnSpuriousLoss(0)
	require.EqualValues(t, 20_000, c.Window(), "nothing to undo")
	c.OnLoss(time.Second, Loss{Bytes: mss, InFlight: 20_000, SentAt: 0, Timeout: true})
	c.OnLoss(3*time.Second, Loss{Bytes: mss, InFlight: 1000, SentAt: time.Second, Timeout: true})
	c.OnSpuriousLoss(3 * time.Second)
	require.Equal(t, Metrics{Window: 20_000, SSThresh: -1, State: "slow_start"}, c.Metrics(), "both timeouts")
	c.OnLoss(4*time.Second, Loss{Bytes: mss, InFlight: 20_000, SentAt: 500 * time.Millisecond})
	require.EqualValues(t, 10_000, c.Window(), "a real loss of the old window counts again")
	c.OnSpuriousLoss(4 * time.Second)
	c.OnSpuriousLoss(4 * time.Second)
	require.EqualValues(t, 20_000, c.Window())
}

// RFC 3168 section 6.1.2: as to a lost packet, once per window of data, and nothing to undo.
func TestCongestionMarksRFC3168(t *testing.T) {
	c := newTestReno(20)
	at := time.Second
	c.OnAck(at, Ack{Bytes: 1000, InFlight: 20_000, SentAt: at - rtt, ECE: true})
	require.EqualValues(t, 10_000, c.Window())
	c.OnAck(at+1, Ack{Bytes: 1000, InFlight: 20_000, SentAt: at - rtt + 1, ECE: true})
	c.OnLoss(at+1, Loss{InFlight: 20_000, SentAt: at - rtt + 1, ECN: true})
	require.EqualValues(t, 10_000, c.Window())
	c.OnSpuriousLoss(at + 2)
	require.EqualValues(t, 10_000, c.Window())
}

// RFC 5681 section 4.1.
func TestRestartAfterIdle(t *testing.T) {
	grown := func() Controller {
		c := newTestReno(10)
		c.OnSent(0, 1000, 1000)
		for range 10 {
			ack(c, rtt, 0, 1000)
		}
		require.EqualValues(t, 20_000, c.Window())
		return c
	}
	c := grown()
	c.OnSent(time.Second, 1000, 1000)
	require.EqualValues(t, 20_000, c.Window(), "not longer than a retransmission timeout")
	c = grown()
	c.OnSent(time.Second+1, 1000, 5000)
	require.EqualValues(t, 20_000, c.Window(), "something is in flight: not idle")
	c = grown()
	c.OnSent(time.Second+1, 1000, 1000)
	require.EqualValues(t, 10_000, c.Window(), "the restart window")
	c = inAvoidance(t, 4)
	c.OnSent(2*time.Second, 1000, 1000)
	c.OnSent(9*time.Second, 1000, 1000)
	require.EqualValues(t, 4000, c.Window(), "RW = min(IW, cwnd)")
	slow := Reno.NewGroup().New(0, Subflow{MSS: mss, RTT: time.Second})
	ack(slow, time.Second, 0, 1000)
	slow.OnSent(0, 1000, 1000)
	slow.OnSent(2*time.Second, 1000, 1000)
	require.EqualValues(t, 11_000, slow.Window(), "a long path has a longer timeout")
}

func TestSegmentSizeChanges(t *testing.T) {
	c := newTestReno(10)
	c.OnMSS(500)
	require.EqualValues(t, 5000, c.Window(), "as many segments as before")
	c.OnMSS(1460)
	require.EqualValues(t, 5000, c.Window())
	c.OnMSS(9000)
	require.EqualValues(t, 9000, c.Window(), "one segment at least")
	c.OnMSS(0)
	require.EqualValues(t, 9000, c.Window())
	c = inAvoidance(t, 2)
	c.OnMSS(1500)
	require.EqualValues(t, 3000, c.Metrics().SSThresh)
}
