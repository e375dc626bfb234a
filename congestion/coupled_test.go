package congestion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var couplings = []Factory{LIA, OLIA, BALIA}

func TestCoupledConform(t *testing.T) {
	for _, f := range couplings {
		t.Run(f.Name(), func(t *testing.T) {
			testConformance(t, f)
			t.Run("alone is NewReno", func(t *testing.T) { testAloneIsReno(t, f) })
		})
	}
}

// member is a subflow in congestion avoidance: its window in segments, its RTT in seconds, and the segments
// acknowledged since its last loss.
type member struct{ window, rtt, acked float64 }

func couple(f Factory, members ...member) (*coupledGroup, []*coupled) {
	g := f.NewGroup().(*coupledGroup)
	var all []*coupled
	for _, m := range members {
		c := g.New(0, Subflow{MSS: mss}).(*coupled)
		c.cwnd = int64(m.window * mss)
		c.ssthresh = max(c.cwnd, 2*mss)
		c.flight = c.cwnd
		c.srtt = time.Duration(m.rtt * float64(time.Second))
		c.losses.since = int64(m.acked * mss)
		all = append(all, c)
	}
	return g, all
}

// The figures were computed from the formulas of the RFC and of the papers by hand, not by this code.
func TestCoupledIncrease(t *testing.T) {
	for _, c := range []struct {
		name    string
		f       Factory
		members []member
		want    []float64 // segments for each segment acknowledged
	}{
		{"equal", LIA, []member{{10, .1, 0}, {10, .1, 0}}, []float64{.025, .025}},
		{"capped at NewReno's", LIA, []member{{10, .02, 0}, {20, .15, 0}}, []float64{.062327, .05}},
		{"fast and slow", LIA, []member{{40, .01, 0}, {5, .1, 0}}, []float64{.024387, .024387}},
		{"three", LIA, []member{{10, .1, 0}, {10, .1, 0}, {10, .1, 0}}, []float64{.011111, .011111, .011111}},
		{"large and small", LIA, []member{{100, .05, 0}, {2, .05, 0}}, []float64{.009612, .009612}},
		{"the best has the smaller window", OLIA, []member{{20, .05, 100}, {5, .05, 400}}, []float64{.007, .108}},
		{"equal", OLIA, []member{{10, .1, 50}, {10, .1, 50}}, []float64{.025, .025}},
		{"quality is the paper's", OLIA, []member{{20, .02, 200}, {10, .1, 1000}}, []float64{.041322, .000826}},
		{"nothing is known yet", OLIA, []member{{20, .05, 0}, {5, .05, 0}}, []float64{.032, .008}},
		{"equal", BALIA, []member{{10, .1, 0}, {10, .1, 0}}, []float64{.025, .025}},
		{"fast and slow", BALIA, []member{{40, .01, 0}, {5, .1, 0}}, []float64{.024387, .020741}},
		{"a half", BALIA, []member{{20, .05, 0}, {10, .05, 0}}, []float64{.022222, .02}},
	} {
		t.Run(c.f.Name()+"/"+c.name, func(t *testing.T) {
			g, all := couple(c.f, c.members...)
			for i, m := range all {
				require.InDelta(t, c.want[i], g.growth(g, m), 1e-6, "subflow %d", i)
			}
		})
	}
}

func TestCoupledDecrease(t *testing.T) {
	for _, c := range []struct {
		name    string
		f       Factory
		members []member
		want    []int64 // bytes that are left
	}{
		{"half", LIA, []member{{40, .01, 0}, {5, .1, 0}}, []int64{20_000, 2500}},
		{"half", OLIA, []member{{40, .01, 0}, {5, .1, 0}}, []int64{20_000, 2500}},
		{"to a segment", OLIA, []member{{40, .01, 0}, {1, .1, 0}}, []int64{20_000, 1000}},
		{"not below two", LIA, []member{{40, .01, 0}, {3, .1, 0}}, []int64{20_000, 2000}},
		{"three quarters of the slow one", BALIA, []member{{40, .01, 0}, {5, .1, 0}}, []int64{20_000, 1250}},
		{"equal", BALIA, []member{{10, .1, 0}, {10, .1, 0}}, []int64{5000, 5000}},
	} {
		t.Run(c.f.Name()+"/"+c.name, func(t *testing.T) {
			for i := range c.members {
				_, all := couple(c.f, c.members...)
				all[i].OnLoss(time.Second, Loss{Bytes: mss, InFlight: all[i].cwnd, SentAt: time.Second - 1})
				require.Equal(t, c.want[i], all[i].Window(), "subflow %d", i)
			}
		})
	}
}

// What is counted is the window as far as it is used (RFC 6356 section 3), and only of subflows that
// carry data: a backup must not make the others slower.
func TestCoupledIdleSubflowsDoNotCount(t *testing.T) {
	g, all := couple(LIA, member{10, .1, 0}, member{10, .1, 0}, member{10, .1, 0})
	require.InDelta(t, .011111, g.growth(g, all[0]), 1e-6)
	all[2].OnAck(time.Second, Ack{Bytes: mss, InFlight: 0, SentAt: time.Second - rtt, AppLimited: true})
	require.InDelta(t, .025, g.growth(g, all[0]), 1e-6)
	g.Remove(all[1])
	require.True(t, g.alone(all[0]))
	all[2].OnSent(2*time.Second, 5*mss, 5*mss)
	require.False(t, g.alone(all[0]))
	require.InDelta(t, .044444, g.growth(g, all[0]), 1e-6, "with the half that it uses")
	all[2].srtt = 0
	require.True(t, g.alone(all[0]), "without an RTT there is no rate")
}

// OLIA takes from the largest window what it gives to the best path, down to one segment, and a window that
// shrinks so does not fall into slow start.
func TestOLIAMovesWindows(t *testing.T) {
	_, all := couple(OLIA, member{4, .1, 1}, member{3, .1, 1e6})
	now := Time(time.Second)
	acks := 0
	for all[0].Window() > 3*mss {
		now += time.Millisecond
		ack(all[0], now, now-rtt/2, mss)
		require.Equal(t, stateAvoidance, all[0].Metrics().State)
		acks++
		require.Less(t, acks, 500)
	}
}

func TestOLIAEpochs(t *testing.T) {
	_, all := couple(OLIA, member{10, .1, 0}, member{10, .1, 0})
	c := all[0]
	ack(c, time.Second, time.Second-rtt, 3*mss)
	c.OnLoss(time.Second, Loss{Bytes: mss, InFlight: 10 * mss, SentAt: time.Second - 1})
	c.OnLoss(time.Second+1, Loss{Bytes: mss, InFlight: 10 * mss, SentAt: time.Second - 1})
	require.Equal(t, epochs{before: 3 * mss, undoBetween: 3 * mss}, c.losses, "one epoch for each window of data")
	ack(c, time.Second+2, time.Second+1, 2*mss)
	c.OnSpuriousLoss(time.Second + 3)
	require.EqualValues(t, 0, c.losses.before)
	require.EqualValues(t, 5*mss, c.losses.since, "the loss was none")
}

// Whatever the members of a group live through, each stays sane, and none grows faster than it is acknowledged.
func TestCoupledAnyLives(t *testing.T) {
	for _, f := range couplings {
		t.Run(f.Name(), func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { anyLives(t, f) }) })
	}
}

func FuzzCoupled(f *testing.F) {
	f.Add([]byte("seed"))
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { anyLives(t, rapid.SampledFrom(couplings).Draw(t, "coupling")) }))
}

func anyLives(t *rapid.T, f Factory) {
	g := f.NewGroup()
	var all []Controller
	size := map[Controller]int{}
	now := Time(0)
	for range rapid.IntRange(1, 80).Draw(t, "steps") {
		now += Time(rapid.Int64Range(0, int64(time.Second)).Draw(t, "dt"))
		switch what := rapid.IntRange(0, 12).Draw(t, "what"); {
		case what == 0 || len(all) == 0:
			s := Subflow{MSS: rapid.IntRange(88, 9000).Draw(t, "mss"), RTT: time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "rtt"))}
			c := g.New(now, s)
			all, size[c] = append(all, c), s.MSS
		case what == 1:
			i := rapid.IntRange(0, len(all)-1).Draw(t, "gone")
			g.Remove(all[i])
			all = append(all[:i], all[i+1:]...)
		default:
			c := rapid.SampledFrom(all).Draw(t, "which")
			o := drawOperation(t, now, c.Window())
			before := c.Window()
			o.apply(c)
			if o.kind == 3 {
				size[c] = o.mss
			}
			m := c.Metrics()
			require.GreaterOrEqual(t, m.Window, int64(size[c]), "less than a segment")
			require.LessOrEqual(t, m.Window, int64(1<<40))
			if o.kind == 1 {
				require.LessOrEqual(t, m.Window, before, "a loss raised the window")
			}
			if o.kind > 3 {
				// OLIA's epsilon adds up to a segment for each window acknowledged on top of the first term's.
				require.LessOrEqual(t, m.Window-before, 2*o.ack.Bytes+int64(size[c]))
			}
		}
	}
}

func BenchmarkCoupledAck(b *testing.B) {
	for _, f := range couplings {
		b.Run(f.Name(), func(b *testing.B) {
			_, all := couple(f, member{100, .1, 0}, member{50, .02, 0}, member{50, .05, 0})
			b.ReportAllocs()
			now := Time(time.Second)
			for b.Loop() {
				now += time.Microsecond
				ack(all[0], now, now-rtt, mss)
				if all[0].cwnd > 1<<20 {
					all[0].cwnd = 100 * mss
				}
			}
		})
	}
}
