package congestion

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPacingRate(t *testing.T) {
	for _, tc := range []struct {
		why              string
		window, ssthresh int64
		srtt             time.Duration
		want             int64
	}{
		{"twice the window per round trip in slow start", 100_000, -1, 100 * time.Millisecond, 2_000_000},
		{"in the one after a timeout, too", 100_000, 300_000, 100 * time.Millisecond, 2_000_000},
		{"1.2 times from half of the threshold on", 100_000, 200_000, 100 * time.Millisecond, 1_200_000},
		{"and in congestion avoidance", 100_000, 50_000, 100 * time.Millisecond, 1_200_000},
		{"no round trip known: unpaced", 100_000, 50_000, 0, 0},
		{"never 0 by rounding, which would be unpaced", 1, 1, 10 * time.Second, 1},
		{"4 TB in a microsecond", 4e12, -1, time.Microsecond, 8e18},
		{"less than a microsecond counts as one", 1000, -1, time.Nanosecond, 2e9},
	} {
		require.Equal(t, tc.want, PacingRate(Metrics{Window: tc.window, SSThresh: tc.ssthresh}, tc.srtt), tc.why)
	}
}

func TestPacedConforms(t *testing.T) {
	testConformance(t, Paced(Reno))
	testConformance(t, Paced(Cubic))
}

// The wrapper adds the rate and changes nothing else.
func TestPacedControllers(t *testing.T) {
	f := Paced(Reno)
	require.Equal(t, "reno-paced", f.Name())
	g := f.NewGroup()
	c := g.New(0, Subflow{MSS: mss, InitialWindow: 10 * mss})
	require.Zero(t, c.PacingRate(), "no round trip known")
	ack(c, rtt, 0, mss)
	require.EqualValues(t, 2*11*mss*10, c.PacingRate())
	require.Equal(t, Metrics{Window: 11 * mss, SSThresh: -1, PacingRate: 220_000, State: "slow_start"}, c.Metrics())
	c.OnLoss(time.Second, Loss{Bytes: mss, InFlight: 11 * mss, SentAt: time.Second - rtt})
	require.EqualValues(t, 66_000, c.PacingRate(), "1.2 * 5500 bytes in 100 ms")
	g.Remove(c)
	require.EqualValues(t, 200_000, g.New(0, Subflow{MSS: mss, InitialWindow: 10 * mss, RTT: rtt}).PacingRate())
}

// RFC 9406 section 4.3: "L = infinity if paced, L = 8 if non-paced".
func TestPacedSlowStartTakesStretchAcks(t *testing.T) {
	for f, want := range map[Factory]int64{Cubic: 20 + 8, Paced(Cubic): 20 + 20} {
		c := f.NewGroup().New(0, Subflow{MSS: mss, InitialWindow: 20 * mss, RTT: rtt})
		ack(c, rtt, 0, 20*mss)
		require.Equal(t, want*mss, c.Window(), f.Name())
	}
}
