package engine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/scheduler"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goodput runs a transfer over two links and gives the share of what both carry together, in percent.
func goodput(t *testing.T, buffer int, a, b labLink, f scheduler.Factory) int {
	l := twoLinks(t, &a, &b, func(_ bool, c *Config) {
		c.Rand = rand.NewChaCha8([32]byte{1})
		c.SendBuffer, c.RecvBuffer = buffer, buffer
		c.Scheduler, c.SchedName = f.New(), f.Name()
	})
	seconds := 5 * time.Second
	l.client.out = labBytes(int(float64(a.rate+b.rate) * seconds.Seconds()))
	l.run(seconds, func() bool { return false })
	n := l.server.in.Len()
	l.client.c.Abort(l.now, ResetUnspecified)
	l.server.c.Abort(l.now, ResetUnspecified)
	l.server.c.Close(l.now)
	return int(100 * float64(n) / (float64(a.rate+b.rate) * seconds.Seconds()))
}

// How well buffers of a size fill two paths of unlike rate and delay, scheduler by scheduler. A change of
// behaviour shows as a difference to testdata/goodput.golden; go test -run Goodput -update accepts it.
func TestGoodput(t *testing.T) {
	var w strings.Builder
	fmt.Fprintf(&w, "%-34s", "goodput in % of both links")
	factories := []scheduler.Factory{scheduler.MinRTT, scheduler.RoundRobin, scheduler.Redundant}
	for _, f := range factories {
		fmt.Fprintf(&w, "%12s", f.Name())
	}
	fmt.Fprintln(&w)
	ms := time.Millisecond
	for _, pair := range [][2]labLink{
		{{rate: mbit(10), delay: 10 * ms}, {rate: mbit(10), delay: 10 * ms}},
		{{rate: mbit(20), delay: 10 * ms}, {rate: mbit(4), delay: 10 * ms}},
		{{rate: mbit(10), delay: 5 * ms}, {rate: mbit(10), delay: 80 * ms}},
		{{rate: mbit(20), delay: 10 * ms}, {rate: mbit(1), delay: 150 * ms}},
	} {
		for _, buffer := range []int{64 << 10, 256 << 10, 1 << 20, 6 << 20} {
			for i := range pair { // what TCP keeps in flight on such a path
				pair[i].queue = max(32<<10, int64(float64(pair[i].rate)*(2*pair[i].delay+20*ms).Seconds()))
			}
			fmt.Fprintf(&w, "%2d+%-2d Mbit/s %3d/%-3d ms %5d KiB  ", pair[0].rate*8/1e6, pair[1].rate*8/1e6,
				pair[0].delay/ms, pair[1].delay/ms, buffer>>10)
			for _, f := range factories {
				fmt.Fprintf(&w, "%12d", goodput(t, buffer, pair[0], pair[1], f))
			}
			fmt.Fprintln(&w)
		}
	}
	const file = "testdata/goodput.golden"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(w.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), w.String(), "goodput has changed; if that is meant: go test ./engine -run Goodput -update")
}
