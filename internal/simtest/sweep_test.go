package simtest

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/scheduler"
)

var update = flag.Bool("update", false, "write testdata anew")

// Two paths are never slower than the better one of them, however small the buffer.
func TestReceiveBufferSweep(t *testing.T) {
	if testing.Short() || slow {
		t.Skip("a sweep: not with -short or -race")
	}
	const d = 3 * second
	for _, wires := range [][]wire{
		{{50 * mbit, 10 * ms, 0}, {50 * mbit, 10 * ms, 0}},
		{{50 * mbit, 10 * ms, 0}, {5 * mbit, 40 * ms, 0}},
	} {
		for _, kib := range []int{64, 128, 256, 512, 1024, 6144} {
			one := together(t, setup{wires: wires[:1], buffer: kib << 10}, d)
			two := together(t, setup{wires: wires, buffer: kib << 10}, d)
			t.Logf("%d Mbit/s beside 50, %4d KiB: %5.1f -> %5.1f Mbit/s", wires[1].rate/mbit, kib, float64(one)*8/3e6, float64(two)*8/3e6)
			require.GreaterOrEqual(t, float64(two), 0.9*float64(one))
		}
	}
}

// What a transfer of a size may take on two paths of 50 Mbit/s and 20 ms: from the dial on.
func TestCompletionTimes(t *testing.T) {
	for _, x := range []struct {
		size  int64
		limit float64 // seconds
	}{
		{1, 0.075}, {10 << 10, 0.080}, {100 << 10, 0.16}, {1 << 20, 0.38}, {10 << 20, 1.3}, {50 << 20, 5.0},
	} {
		w := newWorld(t, setup{wires: []wire{{50 * mbit, 10 * ms, 0}, {50 * mbit, 10 * ms, 0}}})
		w.client.send(x.size, true)
		w.dial()
		w.until(20*second, func() bool { return w.server.eof })
		t.Logf("%d bytes: %v", x.size, w.sim.Now())
		require.LessOrEqual(t, w.sim.Now().Seconds(), x.limit, "%d bytes", x.size)
		require.Equal(t, x.size, w.server.got)
	}
}

// golden is where the goodput stands, so that a change of behaviour shows up as a diff of numbers:
// go test ./internal/simtest -run Golden -update.
const golden = "testdata/goodput.json"

// The table differs by machine in nothing: it is virtual time.
func TestGoldenGoodput(t *testing.T) {
	if testing.Short() || slow {
		t.Skip("a sweep: not with -short or -race")
	}
	got := map[string]string{}
	for _, s := range []scheduler.Factory{scheduler.MinRTT, scheduler.RoundRobin, scheduler.Weighted, scheduler.Redundant} {
		for _, kib := range []int{256, 1024} {
			for _, second := range []wire{{50 * mbit, 10 * ms, 0}, {20 * mbit, 40 * ms, 0}, {5 * mbit, 20 * ms, 0}} {
				n := together(t, setup{wires: []wire{{50 * mbit, 10 * ms, 0}, second}, buffer: kib << 10, sched: s}, 3e9)
				key := fmt.Sprintf("%s, 50 Mbit/s 10 ms + %d Mbit/s %v, %d KiB", s.Name(), second.rate/mbit, second.delay, kib)
				got[key] = fmt.Sprintf("%.1f Mbit/s", float64(n)*8/3e6)
			}
		}
	}
	if *update {
		b, err := json.MarshalIndent(got, "", "\t")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(golden, append(b, '\n'), 0o644))
	}
	b, err := os.ReadFile(golden)
	require.NoError(t, err)
	want := map[string]string{}
	require.NoError(t, json.Unmarshal(b, &want))
	require.Equal(t, want, got)
}

// The same seed gives the same run.
func TestRunsAreDeterministic(t *testing.T) {
	s := setup{wires: []wire{{50 * mbit, 10 * ms, 64 << 10}, {20 * mbit, 20 * ms, 64 << 10}}, seed: 7}
	require.Equal(t, together(t, s, 3*second), together(t, s, 3*second))
}
