package simtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A DATA_ACK does not queue behind data: with the reverse direction saturated it is back within a round
// trip and 10 ms (RFC 6182 section 5.4). What is measured here is by how much more than the way back it
// takes, the queue of the link included, from the moment at which the last byte has been read.
func TestAckDelayUnderReverseLoad(t *testing.T) {
	for _, x := range few([]wire{{100 * mbit, 10 * ms, 64 << 10}, {20 * mbit, 10 * ms, 64 << 10}, {100 * mbit, 10 * ms, 512 << 10}}) {
		t.Run(fmt.Sprint(x), func(t *testing.T) {
			eachKind(t, func(t *testing.T, portable bool) {
				w := newWorld(t, setup{wires: []wire{x, x}, portable: portable})
				w.server.send(1<<40, false) // saturates what the acknowledgements come back on
				w.dial()
				w.run(settled)
				const n = 200
				var delays []time.Duration
				for range n {
					delays = append(delays, ackDelay(w))
				}
				slices.Sort(delays)
				t.Logf("beyond the way back: median %v, 99 of 100 %v, worst %v", delays[n/2], delays[n*99/100-1], delays[n-1])
				if portable { // nothing caps what the kernel's buffer holds when its window shrinks
					require.LessOrEqual(t, delays[n/2], 10*ms)
					require.LessOrEqual(t, delays[n-1], 60*ms)
					return
				}
				require.LessOrEqual(t, delays[n*99/100-1], 10*ms)
				require.LessOrEqual(t, delays[n-1], 20*ms, "on a subflow that has just been opened")
			})
		})
	}
}

// ackDelay lets the client send something and says how long its DATA_ACK takes beyond the way back.
func ackDelay(w *world) time.Duration {
	w.run(37 * ms)
	want := w.server.got + 20<<10
	w.client.send(20<<10, false)
	w.until(second, func() bool { return w.server.got == want })
	at := w.sim.Now()
	way := time.Duration(0)
	for _, p := range w.paths {
		d := p.down
		way = max(way, d.Config().Delay+time.Duration(float64(d.Backlog())/float64(d.Config().Rate)*1e9))
	}
	w.until(second, w.client.eng.Drained)
	return w.sim.Now() - at - way
}
