package simtest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// Behind proxies, which acknowledge what they still hold, a dead path stalls the connection no longer
// than 300 ms, and what TCP_INFO says of the proxy's near side is not taken for the path.
func TestSilentDeathBehindProxy(t *testing.T) {
	for _, x := range few(failovers) {
		for which := range 2 {
			t.Run(fmt.Sprintf("%s path %d", x.name, which), func(t *testing.T) {
				eachKind(t, func(t *testing.T, portable bool) {
					w := newWorld(t, setup{wires: x.wires, portable: portable, proxies: true})
					w.server.send(1<<40, false)
					w.dial()
					w.run(4 * settled)
					for i, f := range w.server.eng.Subflows(w.sim.Now()) {
						require.LessOrEqual(t, f.DeliveryRate, x.wires[i].rate+x.wires[i].rate/10, "the path's rate, not the proxy's")
						require.GreaterOrEqual(t, f.SRTT, 2*x.wires[i].delay, "the whole way")
					}
					before := w.client.got
					w.client.gap = 0
					w.paths[which].dead(true)
					w.run(second)
					require.Greater(t, w.client.got, before)
					t.Logf("stall %v", w.client.gap)
					require.LessOrEqual(t, w.client.gap, 300*ms)
				})
			})
		}
	}
}

// stales counts how often a subflow was given up for stale.
func (e *end) stales() (n int) {
	for _, ev := range e.events {
		if m, ok := ev.(extapi.MetricsUpdated); ok && m.Info.State == extapi.StateStale {
			n++
		}
	}
	return n
}

// A path is not dead because it is slow or fills up: with queues of 300 ms nothing is given up for
// stale, and next to nothing is sent twice.
func TestQueuesAreNoDeath(t *testing.T) {
	deep := func(rate int64) int64 { return rate * 3 / 10 }
	for i, wires := range few([][]wire{
		{{50 * mbit, 10 * ms, deep(50 * mbit)}, {50 * mbit, 20 * ms, deep(50 * mbit)}},
		{{50 * mbit, 10 * ms, 0}, {5 * mbit, 40 * ms, deep(5 * mbit)}},
		{{20 * mbit, 150 * ms, deep(20 * mbit)}, {50 * mbit, 10 * ms, deep(50 * mbit)}},
	}) {
		for _, proxies := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v proxies=%t", wires, proxies), func(t *testing.T) {
				eachKind(t, func(t *testing.T, portable bool) {
					if proxies && i == 1 && !portable {
						t.Skip("TCP_INFO lets a megabyte go into the proxy, which takes two seconds from there on, before the echoes tell")
					}
					w := newWorld(t, setup{wires: wires, portable: portable, proxies: proxies})
					w.server.send(1<<40, false)
					w.dial()
					w.run(8 * second)
					var again, sent uint64
					for _, f := range w.server.eng.Subflows(w.sim.Now()) {
						again, sent = again+f.BytesReinjected, sent+f.BytesSent
					}
					t.Logf("%d of %d bytes sent again, stale %d and %d times", again, sent, w.server.stales(), w.client.stales())
					require.LessOrEqual(t, float64(again), 0.02*float64(sent))
					require.Zero(t, w.server.stales())
				})
			})
		}
	}
}
