package simtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// eachKind runs a test with the measurements that a kernel's socket gives, and without.
func eachKind(t *testing.T, f func(t *testing.T, portable bool)) {
	for _, portable := range []bool{false, true} {
		t.Run(fmt.Sprintf("portable=%t", portable), func(t *testing.T) { f(t, portable) })
	}
}

// stall is how long nothing may come when a path dies: the must of the project.
const stall = 300 * ms

// settled is when both paths are in full use.
const settled = 2 * second

// failover runs a download over two paths, one of which dies for a while (0: for good) and says how
// long nothing came at the most.
func failover(t *testing.T, s setup, which int, outage time.Duration) (w *world, gap time.Duration) {
	w = newWorld(t, s)
	w.server.send(1<<40, false)
	w.dial()
	w.run(settled)
	require.Len(t, w.server.legs, 2)
	before := w.client.got
	w.client.gap = 0
	w.paths[which].dead(true)
	w.run(max(outage, 5*second))
	require.Greater(t, w.client.got, before)
	return w, max(w.client.gap, w.sim.Now()-w.client.gotAt)
}

var failovers = []struct {
	name  string
	wires []wire
}{
	{"alike", []wire{{50 * mbit, 10 * ms, 0}, {50 * mbit, 10 * ms, 0}}},
	{"unequal", []wire{{100 * mbit, 5 * ms, 0}, {20 * mbit, 30 * ms, 0}}},
	{"far", []wire{{50 * mbit, 40 * ms, 0}, {50 * mbit, 25 * ms, 0}}},
}

// The longest stall is 300 ms when one of two paths goes silently dead, and the path is used again
// within 1 s of its return.
func TestSilentPathDeath(t *testing.T) {
	for _, x := range few(failovers) {
		for which := range 2 {
			t.Run(fmt.Sprintf("%s path %d", x.name, which), func(t *testing.T) {
				eachKind(t, func(t *testing.T, portable bool) {
					const outage = 4 * second
					w, gap := failover(t, setup{wires: x.wires, portable: portable}, which, outage)
					p := w.paths[which]
					before := p.down.Stats().Bytes
					p.dead(false)
					back := w.sim.Now()
					w.until(10*second, func() bool { return p.down.Stats().Bytes-before > 64<<10 })
					used := w.sim.Now() - back
					t.Logf("stall %v, used again after %v", gap, used)
					require.LessOrEqual(t, gap, stall)
					require.LessOrEqual(t, used, second)
				})
			})
		}
	}
}

// The path never returns: the transfer ends all the same, with every byte.
func TestPathDeadForGood(t *testing.T) {
	eachKind(t, func(t *testing.T, portable bool) {
		w := newWorld(t, setup{wires: twoPaths, portable: portable})
		w.server.send(16<<20, true)
		w.client.send(0, true)
		w.dial()
		w.run(800 * ms)
		w.client.gap = 0
		w.paths[0].dead(true)
		w.until(10*second, func() bool { return w.client.eof })
		require.EqualValues(t, 16<<20, w.client.got)
		require.LessOrEqual(t, w.client.gap, stall)
	})
}

// A path that flaps ten times a second neither stalls the connection for longer than one that dies once,
// nor costs it the other path, whatever it was about to do when that began.
func TestFlappingPath(t *testing.T) {
	var phases []time.Duration
	for i := range time.Duration(10) {
		phases = append(phases, i*11*ms)
	}
	for which := range 2 {
		t.Run(fmt.Sprintf("path %d", which), func(t *testing.T) {
			eachKind(t, func(t *testing.T, portable bool) {
				for _, phase := range few(phases) {
					w := newWorld(t, setup{wires: twoPaths, portable: portable})
					w.server.send(1<<40, false)
					w.dial()
					w.run(settled + phase)
					w.client.gap = 0
					w.paths[which].up.Churn(50*ms, 50*ms)
					w.paths[which].down.Churn(50*ms, 50*ms)
					const d = 4 * second
					joins, got := w.joins, w.client.got
					w.run(d)
					rate := float64(w.client.got-got) / d.Seconds()
					t.Logf("longest stall %v, %d joins, %.1f Mbit/s", w.client.gap, w.joins-joins, rate/mbit)
					require.LessOrEqual(t, max(w.client.gap, w.sim.Now()-w.client.gotAt), stall)
					require.LessOrEqual(t, w.joins-joins, 9, "one probe per interval")
					require.Greater(t, rate, 0.8*50*mbit, "at least what the other path gives")
				}
			})
		})
	}
}

// Both paths die and one comes back: nothing is lost.
func TestAllPathsDead(t *testing.T) {
	eachKind(t, func(t *testing.T, portable bool) {
		w := newWorld(t, setup{wires: twoPaths, portable: portable})
		w.client.send(8<<20, true)
		w.server.send(8<<20, true)
		w.dial()
		w.run(500 * ms)
		for _, p := range w.paths {
			p.dead(true)
		}
		w.run(20 * second)
		require.False(t, w.client.eof)
		w.paths[1].dead(false)
		w.until(20*second, func() bool { return w.client.eof && w.server.eof })
		require.EqualValues(t, 8<<20, w.client.got)
		require.EqualValues(t, 8<<20, w.server.got)
	})
}

// The path dies right behind the handshake: the first record is lost with it.
func TestFirstRecordLost(t *testing.T) {
	eachKind(t, func(t *testing.T, portable bool) {
		w := newWorld(t, setup{wires: twoPaths, portable: portable})
		w.dial()
		w.until(second, func() bool { return len(w.client.legs) == 2 })
		w.run(100 * ms)
		w.paths[0].dead(true)
		w.client.send(100_000, true)
		w.until(5*second, func() bool { return w.server.eof })
		require.EqualValues(t, 100_000, w.server.got)
		require.Less(t, w.sim.Now(), 3*second)
	})
}
