package recovery

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestGoodputFormula: under random loss the goodput of Reno is near that of Mathis et al. (1997),
// MSS/RTT * sqrt(3/2p) with an ACK for each segment, and hardly a timeout is needed. The formula's model
// has no timeouts and no slow start, hence the span.
func TestGoodputFormula(t *testing.T) {
	for _, p := range []float64{0.002, 0.01, 0.03} {
		for _, super := range []int64{simMSS, 8 * simMSS} {
			w := newWorld(20e6, 20*time.Millisecond)
			w.super = super
			w.lose = func(w *world, _ packet) bool { return w.rnd.Float64() < p }
			w.rate = 1e9
			require.True(t, w.run(time.Hour))
			have := float64(w.total) / w.done.Seconds()
			want := simMSS / 0.020 * math.Sqrt(1.5/p)
			require.Greater(t, have, 0.75*want, "p %v super %d", p, super)
			require.Less(t, have, 1.5*want, "p %v super %d", p, super)
			require.LessOrEqual(t, w.spurious, w.again/50, "p %v", p)
			require.LessOrEqual(t, w.timeouts, w.dropped/50, "p %v", p)
		}
	}
}

// TestFullBottleneck: a queue of a bandwidth-delay product keeps the link busy through losses.
func TestFullBottleneck(t *testing.T) {
	for _, sack := range []bool{true, false} {
		w := newWorld(20e6, 40*time.Millisecond, func(c *Config) { c.SACK = sack })
		w.rate, w.queue = 1e6, 40_000
		require.True(t, w.run(time.Hour))
		have := float64(w.total) / w.done.Seconds()
		require.Greater(t, have, 0.9e6, "sack %v, %d timeouts", sack, w.timeouts)
		require.LessOrEqual(t, w.spurious, w.sent/100)
	}
}

// TestReordering: steady reordering is learnt: after the first mistakes next to nothing is sent again,
// and the window is given back.
func TestReordering(t *testing.T) {
	for _, timestamps := range []bool{true, false} {
		w := newWorld(20e6, rtt, func(c *Config) { c.Timestamps = timestamps })
		w.delay = func(w *world) time.Duration { // one of ten is a fifth of a round trip late
			if w.rnd.Intn(10) == 0 {
				return rtt/2 + rtt/5
			}
			return rtt / 2
		}
		w.rate = 20e6
		require.True(t, w.run(time.Hour))
		require.Less(t, w.spurious, 100, "timestamps %v", timestamps)
		require.Zero(t, w.timeouts)
		require.Less(t, w.done, 6*time.Second, "timestamps %v: %v", timestamps, w.s.Window())
	}
}

// TestHeavyReordering: delays of more than the first reordering window are learnt from DSACKs.
func TestHeavyReordering(t *testing.T) {
	w := newWorld(20e6, rtt)
	w.delay = func(w *world) time.Duration {
		if w.rnd.Intn(10) == 0 {
			return rtt/2 + rtt*7/10
		}
		return rtt / 2
	}
	w.rate = 20e6
	require.True(t, w.run(time.Hour))
	require.Less(t, float64(w.spurious), 0.03*float64(w.sent))
	require.Less(t, w.done, time.Minute)
}

// TestRTTJump: the path becomes five times as long at once. The timeout is spurious, is found to be, and does
// not come again.
func TestRTTJump(t *testing.T) {
	for _, timestamps := range []bool{true, false} {
		w := newWorld(20e6, rtt, func(c *Config) { c.Timestamps = timestamps })
		w.rate = 10e6
		spurious := 0
		w.step = func(w *world, _ string, o Outcome) {
			if o.Spurious {
				spurious++
			}
		}
		w.delay = func(w *world) time.Duration {
			if w.now > time.Second {
				return 450 * time.Millisecond
			}
			return rtt / 2
		}
		require.True(t, w.run(time.Hour))
		require.LessOrEqual(t, w.timeouts, 2)
		require.GreaterOrEqual(t, spurious, min(w.timeouts, 1), "timestamps %v", timestamps)
		require.LessOrEqual(t, w.again, 4, "timestamps %v", timestamps)
		require.Greater(t, w.s.RTO(), 450*time.Millisecond)
	}
}

// TestLostACKs: acknowledgments are cumulative; a third of them lost costs next to nothing.
func TestLostACKs(t *testing.T) {
	clean := newWorld(2e6, rtt)
	require.True(t, clean.run(time.Hour))
	w := newWorld(2e6, rtt)
	w.loseACK = func(w *world) bool { return w.rnd.Intn(3) == 0 }
	require.True(t, w.run(time.Hour))
	require.LessOrEqual(t, w.again, 2)
	require.LessOrEqual(t, w.timeouts, 1)
	require.Less(t, w.done, clean.done+6*rtt)
}

// TestDuplication: copies that the network makes are no losses.
func TestDuplication(t *testing.T) {
	w := newWorld(2e6, rtt)
	w.copies = func(w *world, _ packet) int { return 1 + w.rnd.Intn(2) }
	require.True(t, w.run(time.Hour))
	require.Zero(t, w.again)
	require.EqualValues(t, 1, w.s.rack.multiplier)
}

// TestBlackout: the path is dead for seconds. The first segment that gets through after it starts the
// rest.
func TestBlackout(t *testing.T) {
	w := newWorld(5e6, rtt)
	dead := func(w *world) bool { return w.now > time.Second && w.now < 4*time.Second }
	w.lose = func(w *world, _ packet) bool { return dead(w) }
	w.rate = 5e6
	require.True(t, w.run(time.Hour))
	require.LessOrEqual(t, w.timeouts, 5)
	require.Less(t, w.done, 8*time.Second)
	require.LessOrEqual(t, w.spurious, 1)
}
