package congestion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What every controller of this package does, however it grows its window. A controller's own test
// calls testConformance with its factory, and, if alone it is to be NewReno, testAloneIsReno.

func TestRenoConforms(t *testing.T) { testConformance(t, Reno) }

func testConformance(t *testing.T, f Factory) {
	t.Run("any life", func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { anyLife(t, f) }) })
	t.Run("first window", func(t *testing.T) { conformFirstWindow(t, f) })
	t.Run("one reduction per window", func(t *testing.T) { conformReduction(t, f) })
	t.Run("timeout", func(t *testing.T) { conformTimeout(t, f) })
	t.Run("application limited", func(t *testing.T) { conformAppLimited(t, f) })
	t.Run("split ACKs", func(t *testing.T) { conformSplitting(t, f) })
	t.Run("spurious", func(t *testing.T) { conformSpurious(t, f) })
	t.Run("no allocation", func(t *testing.T) { conformAllocations(t, f) })
	require.NotEmpty(t, f.Name())
}

// conformSplitting: a peer that acknowledges each segment in many pieces gains nothing by it (RFC 3465 section 2.3).
func conformSplitting(t *testing.T, f Factory) {
	const size, flight = 1000, 20
	grown := func(avoiding bool, pieces int) int64 {
		c := f.NewGroup().New(0, Subflow{MSS: size, InitialWindow: flight * size, RTT: rtt})
		now := rtt
		if avoiding {
			c.OnLoss(now, Loss{Bytes: size, InFlight: 2 * flight * size, SentAt: 0})
		}
		before := c.Window()
		rounds := 3 // of slow start, which doubles the window in each
		if avoiding {
			rounds = 20
		}
		for range rounds {
			now += rtt
			for left := c.Window() / size * size; left > 0; left -= size / int64(pieces) {
				c.OnAck(now, Ack{
					Bytes: size / int64(pieces), InFlight: c.Window(), SentAt: now - rtt + 1, RTT: rtt, SRTT: rtt, MinRTT: rtt,
				})
			}
		}
		return c.Window() - before
	}
	for _, avoiding := range []bool{false, true} {
		whole := grown(avoiding, 1)
		require.Positive(t, whole)
		for _, pieces := range []int{10, 1000} {
			require.LessOrEqual(t, grown(avoiding, pieces), whole+2*size, "in %d pieces, in congestion avoidance: %v", pieces, avoiding)
		}
	}
}

// operation is one input, drawn once and given to several controllers.
type operation struct {
	kind int
	now  Time
	ack  Ack
	loss Loss
	mss  int
}

func drawOperation(t *rapid.T, now Time, window int64) operation {
	sentAt := Time(rapid.Int64Range(0, int64(now)).Draw(t, "sent at"))
	n := rapid.Int64Range(0, window).Draw(t, "bytes")
	flight := rapid.Int64Range(n, max(n, window)).Draw(t, "in flight")
	return operation{
		kind: rapid.IntRange(0, 9).Draw(t, "kind"), now: now, mss: rapid.IntRange(88, 9000).Draw(t, "mss"),
		ack: Ack{
			Bytes: n, InFlight: flight, SentAt: sentAt, RTT: now - sentAt, SRTT: now - sentAt, MinRTT: time.Millisecond,
			AppLimited: rapid.Bool().Draw(t, "limited"), ECE: rapid.IntRange(0, 20).Draw(t, "ece") == 0,
		},
		loss: Loss{
			Bytes: n, InFlight: flight, SentAt: sentAt, Timeout: rapid.IntRange(0, 3).Draw(t, "timeout") == 0,
			ECN: rapid.Bool().Draw(t, "ecn"), Persistent: rapid.IntRange(0, 9).Draw(t, "persistent") == 0,
		},
	}
}

func (o operation) apply(c Controller) {
	switch o.kind {
	case 0:
		c.OnSent(o.now, o.ack.Bytes, o.ack.InFlight)
	case 1:
		c.OnLoss(o.now, o.loss)
	case 2:
		c.OnSpuriousLoss(o.now)
	case 3:
		c.OnMSS(o.mss)
	default:
		c.OnAck(o.now, o.ack)
	}
}

// anyLife: whatever happens, in whatever order, the window stays sane, a loss never raises it, an ACK
// raises it by no more than it acknowledges or one segment, and the same inputs give the same answers.
func anyLife(t *rapid.T, f Factory) {
	size := rapid.IntRange(88, 9000).Draw(t, "mss")
	one := f.NewGroup().New(0, Subflow{MSS: size})
	two := f.NewGroup().New(0, Subflow{MSS: size})
	now := Time(0)
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		now += Time(rapid.Int64Range(0, int64(time.Second)).Draw(t, "dt"))
		o := drawOperation(t, now, one.Window())
		before := one.Window()
		o.apply(one)
		o.apply(two)
		if o.kind == 3 {
			size = o.mss
		}
		m := one.Metrics()
		require.Equal(t, m, two.Metrics(), "not a function of its inputs")
		require.Equal(t, one.Window(), m.Window)
		require.GreaterOrEqual(t, m.Window, int64(size), "less than a segment")
		require.GreaterOrEqual(t, one.PacingRate(), int64(0))
		if m.SSThresh >= 0 {
			require.GreaterOrEqual(t, m.SSThresh, int64(2*size))
		}
		switch o.kind {
		case 1:
			require.LessOrEqual(t, m.Window, before, "a loss raised the window")
		case 0, 2, 3:
		default:
			require.LessOrEqual(t, m.Window-before, max(o.ack.Bytes, int64(size)), "grew by more than was acknowledged")
		}
	}
}

func conformFirstWindow(t *testing.T, f Factory) {
	g := f.NewGroup()
	require.EqualValues(t, 14_600, g.New(0, Subflow{MSS: 1460}).Window())
	c := g.New(0, Subflow{MSS: 1460, InitialWindow: 2920})
	require.EqualValues(t, 2920, c.Window())
	require.EqualValues(t, -1, c.Metrics().SSThresh)
	g.Remove(c)
	require.EqualValues(t, 14_600, g.New(0, Subflow{MSS: 1460}).Window(), "a group outlives its controllers")
}

func conformReduction(t *testing.T, f Factory) {
	c := f.NewGroup().New(0, Subflow{MSS: mss, InitialWindow: 100 * mss, RTT: rtt})
	c.OnLoss(time.Second, Loss{Bytes: mss, InFlight: 100 * mss, SentAt: time.Second - rtt})
	reduced := c.Window()
	require.Less(t, reduced, int64(100*mss))
	require.GreaterOrEqual(t, reduced, int64(20*mss))
	require.Equal(t, stateRecovery, c.Metrics().State)
	for i := range Time(10) {
		c.OnLoss(time.Second+i, Loss{Bytes: mss, InFlight: 90 * mss, SentAt: time.Second - rtt + i})
		ack(c, time.Second+i, time.Second-rtt+i, 3*mss)
	}
	require.Equal(t, reduced, c.Window(), "one window of data, one reduction, and no growth in recovery")
	ack(c, time.Second+rtt, time.Second+1, mss)
	require.NotEqual(t, stateRecovery, c.Metrics().State)
	c.OnLoss(2*time.Second, Loss{Bytes: mss, InFlight: reduced, SentAt: 2*time.Second - rtt})
	require.Less(t, c.Window(), reduced)
}

func conformTimeout(t *testing.T, f Factory) {
	c := f.NewGroup().New(0, Subflow{MSS: mss, InitialWindow: 100 * mss, RTT: rtt})
	c.OnLoss(time.Second, Loss{Bytes: mss, InFlight: 100 * mss, SentAt: 0, Timeout: true})
	require.EqualValues(t, mss, c.Window())
	threshold := c.Metrics().SSThresh
	require.Equal(t, stateSlowStart, c.Metrics().State)
	c.OnLoss(3*time.Second, Loss{Bytes: mss, InFlight: mss, SentAt: time.Second, Timeout: true})
	require.Equal(t, threshold, c.Metrics().SSThresh)
	ack(c, 4*time.Second, 3*time.Second+1, 10*mss)
	require.EqualValues(t, 2*mss, c.Window(), "one segment per ACK in the slow start after a timeout")
}

func conformAppLimited(t *testing.T, f Factory) {
	c := f.NewGroup().New(0, Subflow{MSS: mss, InitialWindow: 10 * mss, RTT: rtt})
	for i := range Time(100) {
		c.OnAck(rtt+i, Ack{Bytes: mss, InFlight: mss, SentAt: i, RTT: rtt, SRTT: rtt, MinRTT: rtt, AppLimited: true})
	}
	require.EqualValues(t, 10*mss, c.Window())
}

func conformSpurious(t *testing.T, f Factory) {
	for _, timeout := range []bool{false, true} {
		c := f.NewGroup().New(0, Subflow{MSS: mss, InitialWindow: 100 * mss, RTT: rtt})
		c.OnLoss(time.Second, Loss{Bytes: mss, InFlight: 100 * mss, SentAt: 0, Timeout: timeout})
		c.OnSpuriousLoss(time.Second + 1)
		require.EqualValues(t, 100*mss, c.Window())
		require.Equal(t, stateSlowStart, c.Metrics().State)
	}
}

func conformAllocations(t *testing.T, f Factory) {
	g := f.NewGroup()
	c := g.New(0, Subflow{MSS: mss, RTT: rtt})
	g.New(0, Subflow{MSS: mss, RTT: 2 * rtt})
	now := Time(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		now += time.Millisecond
		c.OnSent(now, mss, 5*mss)
		ack(c, now, now-rtt, mss)
		if now%(100*time.Millisecond) == 0 {
			c.OnLoss(now, Loss{Bytes: mss, InFlight: c.Window(), SentAt: now})
		}
		c.Window()
	}))
}

// testAloneIsReno: with a single subflow a coupled controller is NewReno, input by input.
func testAloneIsReno(t *testing.T, f Factory) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(88, 9000).Draw(t, "mss")
		want := Reno.NewGroup().New(0, Subflow{MSS: size, RTT: rtt})
		got := f.NewGroup().New(0, Subflow{MSS: size, RTT: rtt})
		now := Time(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += Time(rapid.Int64Range(0, int64(time.Second)).Draw(t, "dt"))
			o := drawOperation(t, now, want.Window())
			o.apply(want)
			o.apply(got)
			require.Equal(t, want.Metrics(), got.Metrics())
		}
	})
}

func TestRenoAloneIsReno(t *testing.T) { testAloneIsReno(t, Reno) }

func FuzzReno(f *testing.F) {
	f.Add([]byte("seed"))
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { anyLife(t, Reno) }))
}

func BenchmarkRenoAck(b *testing.B) {
	c := Reno.NewGroup().New(0, Subflow{MSS: mss, RTT: rtt})
	b.ReportAllocs()
	now := Time(0)
	for b.Loop() {
		now += time.Microsecond
		ack(c, now, now-rtt, mss)
	}
}
