package congestion

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestCubicConforms(t *testing.T) { testConformance(t, Cubic) }

func FuzzCubic(f *testing.F) {
	f.Add([]byte("seed"))
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { anyLife(t, Cubic) }))
}

func BenchmarkCubicAck(b *testing.B) {
	c := newTestCubic(100)
	c.OnLoss(time.Second, Loss{Bytes: mss, InFlight: 100 * mss, SentAt: time.Second - rtt})
	b.ReportAllocs()
	now := time.Second + rtt
	for b.Loop() {
		now += time.Microsecond
		ack(c, now, now-rtt+1, mss)
	}
}

func newTestCubic(segments int64) Controller {
	return Cubic.NewGroup().New(0, Subflow{MSS: mss, InitialWindow: segments * mss, RTT: rtt})
}

// clock is the ACK clock of a sender whose window is always full: every segment is acknowledged alone,
// spread evenly over the round trip.
type clock struct {
	c   Controller
	now Time
	rtt time.Duration
}

func (k *clock) lose() {
	k.c.OnLoss(k.now, Loss{Bytes: mss, InFlight: k.c.Window(), SentAt: k.now})
	k.now += k.rtt
	k.c.OnAck(k.now, Ack{Bytes: 1, InFlight: k.c.Window(), SentAt: k.now, RTT: k.rtt, SRTT: k.rtt, MinRTT: k.rtt})
}

func (k *clock) segment() {
	k.now += k.rtt * mss / time.Duration(k.c.Window())
	k.c.OnAck(k.now, Ack{Bytes: mss, InFlight: k.c.Window(), SentAt: k.now - k.rtt, RTT: k.rtt, SRTT: k.rtt, MinRTT: k.rtt})
}

func (k *clock) until(t Time) float64 {
	for k.now < t {
		k.segment()
	}
	return segments(k.c)
}

func segments(c Controller) float64 { return float64(c.Window()) / mss }

// Figures 1 and 2: after a loss at 1000 segments the window is 0.4*(t-K)^3 + 1000 with K the cube root
// of 300/0.4, through the concave region, the plateau and the convex one.
func TestCubicFollowsFigure1(t *testing.T) {
	k := &clock{c: newTestCubic(1000), now: time.Second, rtt: rtt}
	k.lose()
	require.EqualValues(t, 700_000, k.c.Window())
	start, bigK := k.now, math.Cbrt(300/0.4)
	for s := range 15 {
		want := 0.4*math.Pow(float64(s)-bigK, 3) + 1000
		require.InDelta(t, want, k.until(start+time.Duration(s)*time.Second), 0.01*want, "%d s after the loss", s)
	}
}

// Tables 1 and 2 of RFC 9438 section 5.1: the average window in segments when one packet of 1/p is lost.
// The tables come from figure 7 and from the AIMD model, not from a run: the window that grows in steps
// and the recovery without growth lie a few per cent beside them.
func TestCubicAverageWindowsOfTheTables(t *testing.T) {
	for _, tc := range []struct {
		rtt  time.Duration
		each int
		want float64
	}{
		{100 * time.Millisecond, 100, 12}, {100 * time.Millisecond, 1000, 38},
		{100 * time.Millisecond, 10_000, 187}, {100 * time.Millisecond, 100_000, 1054},
		{10 * time.Millisecond, 100, 12}, {10 * time.Millisecond, 1000, 38},
		{10 * time.Millisecond, 10_000, 120}, {10 * time.Millisecond, 100_000, 379},
	} {
		k := &clock{c: Cubic.NewGroup().New(0, Subflow{MSS: mss, InitialWindow: int64(tc.want) * mss, RTT: tc.rtt}), rtt: tc.rtt}
		cycle := func() (area float64, took time.Duration) {
			from := k.now
			for range tc.each {
				before := k.now
				k.segment()
				area += segments(k.c) * (k.now - before).Seconds()
			}
			took = k.now - from
			k.lose()
			return area, took
		}
		for range 30 {
			cycle()
		}
		var area float64
		var took time.Duration
		for range 20 {
			a, d := cycle()
			area, took = area+a, took+d
		}
		t.Logf("rtt %v, 1/p %d: %.1f", tc.rtt, tc.each, area/took.Seconds())
		require.InEpsilon(t, tc.want, area/took.Seconds(), 0.1, "rtt %v, 1/p %d", tc.rtt, tc.each)
	}
}

// Section 4.7: with a peak of 1000 segments behind it, a loss at 800 sets the plateau to 800*1.7/2 = 680;
// K is the cube root of (680-560)/0.4.
func TestCubicFastConvergence(t *testing.T) {
	k := &clock{c: newTestCubic(1000), now: time.Second, rtt: rtt}
	k.lose()
	for k.c.Window() < 800*mss {
		k.segment()
	}
	k.lose()
	require.InDelta(t, 560, segments(k.c), 0.01, "platforms round differently")
	start, bigK := k.now, math.Cbrt(120/0.4)
	require.InDelta(t, 680, k.until(start+time.Duration(bigK*float64(time.Second))), 4)
}

// Section 4.6: 0.7 of what is in flight, two segments after a loss, one after a mark.
func TestCubicMultiplicativeDecrease(t *testing.T) {
	c := newTestCubic(100)
	c.OnLoss(time.Second, Loss{Bytes: mss, InFlight: 50 * mss, SentAt: time.Second - rtt})
	require.Equal(t, Metrics{Window: 35 * mss, SSThresh: 35 * mss, State: "fast_recovery"}, c.Metrics())
	for i := range Time(20) {
		at := (2 + i) * time.Second
		c.OnLoss(at, Loss{Bytes: mss, InFlight: c.Window(), SentAt: at - rtt})
	}
	require.Equal(t, Metrics{Window: 2 * mss, SSThresh: 2 * mss, State: "fast_recovery"}, c.Metrics())
	for i := range Time(3) {
		at := (30 + i) * time.Second
		c.OnAck(at, Ack{Bytes: mss, InFlight: c.Window(), SentAt: at - rtt, ECE: true})
	}
	require.EqualValues(t, mss, c.Window(), "until it reaches a value of 1 MSS")
	require.EqualValues(t, 2*mss, c.Metrics().SSThresh)
	c.OnSpuriousLoss(40 * time.Second)
	require.EqualValues(t, mss, c.Window(), "a mark is never spurious")
}

// Section 4.8: the stage after a timeout begins at the plateau: K = 0, W_cubic = 0.4*t^3 + 70.
func TestCubicAfterATimeout(t *testing.T) {
	k := &clock{c: newTestCubic(100), now: time.Second, rtt: rtt}
	k.c.OnLoss(k.now, Loss{Bytes: mss, InFlight: 100 * mss, SentAt: 0, Timeout: true})
	require.Equal(t, Metrics{Window: mss, SSThresh: 70 * mss, State: "slow_start"}, k.c.Metrics())
	k.now += rtt + 1
	for k.c.Metrics().State == "slow_start" {
		k.segment()
	}
	start := k.now
	for s := 6; s <= 12; s++ {
		want := 0.4*math.Pow(float64(s), 3) + 70
		require.InDelta(t, want, k.until(start+time.Duration(s)*time.Second), 0.02*want, "%d s later", s)
	}
}

// Sections 4.2 and 5.8: t stands still while the window is not tested, be it by a slow application or
// by silence.
func TestCubicTimeExcludesUntestedWindows(t *testing.T) {
	lost := func() *clock {
		k := &clock{c: newTestCubic(1000), now: time.Second, rtt: rtt}
		k.lose()
		k.until(k.now + 3*time.Second)
		return k
	}
	straight, slow, silent := lost(), lost(), lost()
	for range 50 { // a tenth of a window per round trip for 5 s
		slow.now += rtt
		slow.c.OnAck(slow.now, Ack{Bytes: 100 * mss, InFlight: 100 * mss, SentAt: slow.now - rtt, RTT: rtt, SRTT: rtt, AppLimited: true})
	}
	silent.c.OnSent(silent.now, mss, 900*mss)
	silent.now += 900 * time.Millisecond // shorter than a timeout: no restart
	silent.c.OnSent(silent.now, mss, mss)
	for _, k := range []*clock{slow, silent} {
		require.Equal(t, straight.c.Window(), k.c.Window())
	}
	want := straight.until(straight.now + 2*time.Second)
	require.InDelta(t, want, slow.until(slow.now+2*time.Second), 0.003*want)
	require.InDelta(t, want, silent.until(silent.now+2*time.Second), 0.003*want)
	require.InDelta(t, 0.4*math.Pow(5-math.Cbrt(300/0.4), 3)+1000, want, 2, "972.7; had the 5 s counted, 1000.3")
}

// Section 4.9.2: what was before comes back, curve included; not when the window has outgrown it.
func TestCubicSpuriousLoss(t *testing.T) {
	k := &clock{c: newTestCubic(1000), now: time.Second, rtt: rtt}
	k.lose()
	start, bigK := k.now, math.Cbrt(300/0.4)
	k.until(start + 4*time.Second)
	before := k.c.Window()
	k.lose()
	require.InDelta(t, 0.7*float64(before), k.c.Window(), 1)
	k.c.OnSpuriousLoss(k.now)
	require.Equal(t, before, k.c.Window())
	want := 0.4*math.Pow(8-bigK, 3) + 1000
	require.InDelta(t, want, k.until(start+8*time.Second), 0.01*want, "on the old curve")

	k.lose()
	for k.c.Window() < 1100*mss {
		k.segment()
	}
	before = k.c.Window()
	k.c.OnSpuriousLoss(k.now)
	require.Equal(t, before, k.c.Window(), "CUBIC SHOULD continue to use the current values")
}

// The window keeps its segments, the peak its bytes: that is what the path holds.
func TestCubicSegmentSizeChanges(t *testing.T) {
	k := &clock{c: newTestCubic(1000), now: time.Second, rtt: rtt}
	k.lose()
	k.c.OnMSS(mss / 2)
	require.EqualValues(t, 350_000, k.c.Window(), "as many segments as before")
	for k.c.Metrics().State == "slow_start" {
		k.segment()
	}
	require.InDelta(t, 700_000, k.c.Window(), 1000)
	bigK := math.Cbrt(600 / 0.4) // 300 kB in segments of 500 bytes
	require.InDelta(t, 1_000_000, k.until(k.now+time.Duration(bigK*float64(time.Second)))*mss, 5000)
}

func TestCubicRestartsAfterIdle(t *testing.T) {
	k := &clock{c: newTestCubic(10), now: time.Second, rtt: rtt}
	for k.c.Window() < 100*mss {
		k.segment()
	}
	k.lose()
	k.c.OnSent(k.now, mss, mss)
	k.c.OnSent(k.now+time.Minute, mss, mss)
	require.EqualValues(t, 10*mss, k.c.Window(), "the restart window")
	require.Equal(t, "slow_start", k.c.Metrics().State)
}
