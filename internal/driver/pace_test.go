package driver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
)

// gauge is a Raw of which only the gauges and the bound are looked at.
type gauge struct {
	Raw
	stats  engine.FlowStats
	asked  int
	lowats []int
}

func (g *gauge) SetLowat(n int) { g.lowats = append(g.lowats, n) }

func (g *gauge) Stats(s *engine.FlowStats) error {
	g.asked++
	*s = g.stats
	return nil
}

// What a flow queues follows the rate of its path between the bounds: 4 ms in the socket, 16 ms in
// the flow, 3 ms of them in one record.
func TestAdaptClamps(t *testing.T) {
	for _, c := range []struct {
		rate              int64
		lowat, cap, grain int
	}{
		{1, 16 << 10, 64 << 10, 8 << 10},
		{1_000_000, 16 << 10, 64 << 10, 8 << 10},
		{4_096_000, 16 << 10, 65_536, 12_288},
		{10_000_000, 40_000, 160_000, 30_000},
		{60_000_000, 240_000, 960_000, 64 << 10},
		{70_000_000, 256 << 10, 1 << 20, 64 << 10},
		{10_000_000_000, 256 << 10, 1 << 20, 64 << 10},
	} {
		w, g := new(wire), new(gauge)
		f := &flow{f: w, raw: g}
		f.pace.stats.DeliveryRate = c.rate
		f.adapt(0)
		require.Equal(t, []int{c.lowat}, g.lowats, "%d B/s", c.rate)
		require.Equal(t, []int{c.cap}, w.caps, "%d B/s", c.rate)
		require.Equal(t, c.grain, f.pace.grain, "%d B/s", c.rate)
	}
}

func TestAdaptFollowsTheRate(t *testing.T) {
	w, g := new(wire), new(gauge)
	f := &flow{f: w, raw: g}
	for _, c := range []struct {
		what    string
		rate    int64
		full    bool // the socket was full
		blocked bool // a writer waits for it
		want    bool // it follows
	}{
		{"unknown", -1, true, false, false},
		{"nothing was delivered", 0, true, false, false},
		{"first", 20_000_000, false, false, true},
		{"a quarter more is noise", 24_900_000, true, false, false},
		{"a quarter less is noise", 15_100_000, true, false, false},
		{"less, but the application's own", 5_000_000, false, false, false},
		{"less, with a full socket", 10_000_000, true, false, true},
		{"the socket was full earlier only", 5_000_000, false, false, false},
		{"less, with a writer that waits", 5_000_000, false, true, true},
		{"more", 30_000_000, false, false, true},
	} {
		w.caps = nil
		f.pace.stats.DeliveryRate, f.pace.full, f.blocked = c.rate, c.full, c.blocked
		f.adapt(0)
		if !c.want {
			require.Empty(t, w.caps, c.what)
			continue
		}
		require.Equal(t, []int{int(max(64<<10, c.rate*16/1000))}, w.caps, c.what)
		require.Equal(t, int(max(16<<10, c.rate*4/1000)), g.lowats[len(g.lowats)-1], c.what)
		require.False(t, f.pace.full)
	}
	n := len(g.lowats)
	f.pace.rate, f.pace.stats.DeliveryRate = 1_000_000_000, 2_000_000_000
	f.adapt(0)
	f.pace.stats.DeliveryRate = 4_000_000_000
	f.adapt(0)
	require.Len(t, g.lowats, n+1, "the same bound is not set again: it is a system call")
}

// The kernel is asked no more often than every so often, and its ages become times.
func TestMeasureKeepsItsDistance(t *testing.T) {
	c, _, theirs := attached(t, Params{})
	defer end(t, c, theirs)
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &gauge{stats: engine.FlowStats{DeliveryRate: -1, LastProgress: -3 * time.Millisecond}}
	f := &flow{f: new(wire), raw: g}
	at := time.Second
	c.measure(at, f, measureEvery)
	c.measure(at+measureEvery-1, f, measureEvery)
	require.Equal(t, 1, g.asked)
	require.Equal(t, at-3*time.Millisecond, f.pace.stats.LastProgress)
	c.measure(at+measureEvery, f, measureEvery)
	c.measure(at+measureEvery, f, 0)
	require.Equal(t, 3, g.asked)
	f.gone = true
	c.measure(time.Hour, f, 0)
	require.Equal(t, 3, g.asked)
}
