package simtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/simnet"
)

// alone is how many bytes one TCP connection by itself brings over a wire within d, its handshake
// counted.
func alone(x wire, d time.Duration) (got int64) {
	s := simnet.New(1)
	up, down := s.NewLink(x.link()), s.NewLink(x.link())
	s.Dial(simnet.PipeConfig{}, []*simnet.Link{up}, []*simnet.Link{down}, func() func(*simnet.Socket) {
		return func(b *simnet.Socket) { b.OnReadable(func(p []byte) { got += int64(len(p)) }) }
	}, func(a *simnet.Socket, _ error) {
		more := func() {
			for a.Write(pattern) == len(pattern) {
			}
		}
		a.OnWritable(more)
		more()
	})
	s.Run(d)
	return got
}

// together is how many bytes a connection over all wires brings within d.
func together(t testing.TB, s setup, d time.Duration) int64 {
	w := newWorld(t, s)
	w.client.send(1<<40, false)
	w.dial()
	w.run(d)
	return w.server.got
}

var aggregations = []struct {
	name  string
	wires []wire
}{
	{"50+50", []wire{{50 * mbit, 10 * ms, 0}, {50 * mbit, 10 * ms, 0}}},
	{"50+50 unequal delays", []wire{{50 * mbit, 10 * ms, 0}, {50 * mbit, 40 * ms, 0}}},
	{"50+50 deep queue", []wire{{50 * mbit, 20 * ms, 1 << 20}, {50 * mbit, 20 * ms, 128 << 10}}},
	{"100+20", []wire{{100 * mbit, 10 * ms, 0}, {20 * mbit, 10 * ms, 0}}},
	{"100+20 slow one near", []wire{{100 * mbit, 40 * ms, 0}, {20 * mbit, 10 * ms, 0}}},
	{"100+20 slow one far", []wire{{100 * mbit, 10 * ms, 0}, {20 * mbit, 40 * ms, 0}}},
	{"50+5", []wire{{50 * mbit, 10 * ms, 0}, {5 * mbit, 10 * ms, 0}}},
	{"50+5 far, deep queue", []wire{{50 * mbit, 10 * ms, 0}, {5 * mbit, 40 * ms, 512 << 10}}},
	{"5+50 begun on the slow one", []wire{{5 * mbit, 30 * ms, 0}, {50 * mbit, 10 * ms, 0}}},
}

// The target is 97 % of what TCP alone gets on each link, from the dial on, with default buffers,
// also where only echoes tell what has arrived.
func TestAggregation(t *testing.T) {
	const d = 30 * time.Second
	for i, x := range aggregations {
		for _, portable := range []bool{false, true} {
			if portable && i%2 == 1 {
				continue // it takes as long as the rest together
			}
			t.Run(fmt.Sprintf("%s portable=%t", x.name, portable), func(t *testing.T) {
				t.Parallel()
				if testing.Short() || slow {
					t.Skip("30 s of virtual time over each pair of links: not with -short or -race")
				}
				var sum int64
				for _, l := range x.wires {
					sum += alone(l, d)
				}
				got := together(t, setup{wires: x.wires, portable: portable}, d)
				ratio := float64(got) / float64(sum)
				t.Logf("%.1f Mbit/s, %.1f %% of the sum", float64(got)*8/1e6/d.Seconds(), 100*ratio)
				require.GreaterOrEqual(t, ratio, 0.97)
			})
		}
	}
}
