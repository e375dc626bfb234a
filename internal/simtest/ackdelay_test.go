package simtest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A DATA_ACK does not queue behind data: with the reverse direction saturated it is back within a round
// trip and 10 ms (RFC 6182 section 5.4). What is measured here is by how much more than the way back it
// takes, the queue of the link included, from the moment at which the last byte has been read.
func TestAckDelayUnderReverseLoad(t *testing.T) {
	eachKind(t, func(t *testing.T, portable bool) {
		w := newWorld(t, setup{wires: []wire{{100 * mbit, 10 * ms, 64 << 10}, {100 * mbit, 10 * ms, 64 << 10}}, portable: portable})
		w.server.send(1<<40, false) // saturates what the acknowledgements come back on
		w.dial()
		w.run(settled)
		const n = 50
		var delays []time.Duration
		for range n {
			w.run(37 * ms)
			want := w.server.got + 20<<10
			w.client.send(20<<10, false)
			w.until(second, func() bool { return w.server.got == want })
			at := w.sim.Now()
			way := time.Duration(0)
			for _, p := range w.paths {
				way = max(way, 10*ms+time.Duration(float64(p.down.Backlog())/float64(p.down.Config().Rate)*1e9))
			}
			w.until(second, w.client.eng.Drained)
			delays = append(delays, w.sim.Now()-at-way)
		}
		slices.Sort(delays)
		t.Logf("beyond the way back: median %v, worst %v", delays[n/2], delays[n-1])
		want := 10 * ms
		if portable {
			want = 40 * ms // nothing caps what the kernel's buffer holds
		}
		require.LessOrEqual(t, delays[n/2], want)
	})
}
