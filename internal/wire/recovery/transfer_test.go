package recovery

import (
	"math/bits"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// checked makes every step of the world look into the sender.
func checked(t *testing.T, w *world) *world {
	w.step = func(w *world, what string, _ Outcome) {
		if b := w.s.broken(); b != "" {
			t.Fatalf("at %v, after %s: %s", w.now, what, b)
		}
	}
	return w
}

func TestCleanTransfer(t *testing.T) {
	w := checked(t, newWorld(1e6, 50*time.Millisecond))
	require.True(t, w.run(time.Minute))
	require.Equal(t, 1000, w.sent)
	require.Zero(t, w.again)
	require.Zero(t, w.timeouts)
	require.Less(t, w.done, 8*50*time.Millisecond)
}

// nth loses the packets with the numbers, counted as they leave.
func nth(numbers ...int) func(*world, packet) bool {
	return func(_ *world, p packet) bool {
		for _, n := range numbers {
			if p.number == n {
				return true
			}
		}
		return false
	}
}

const rtt = 100 * time.Millisecond

// TestSingleLoss: one lost segment of a window is repaired within a round trip and the reordering
// window after its successor's ACK could say so, by one retransmission.
func TestSingleLoss(t *testing.T) {
	for lost := range 9 { // the last one of the window is the probe's: see TestTailLoss
		clean := checked(t, newWorld(10*simMSS, rtt))
		require.True(t, clean.run(time.Minute))
		w := checked(t, newWorld(10*simMSS, rtt))
		w.lose = nth(lost)
		require.True(t, w.run(time.Minute))
		require.Equal(t, 1, w.again)
		require.Zero(t, w.spurious)
		require.Zero(t, w.timeouts)
		require.Zero(t, w.probes)
		require.LessOrEqual(t, w.done-clean.done, rtt+rtt/4+2*granularity, "segment %d", lost)
	}
}

// TestTailLoss: what the last segments of a transfer lose is repaired by a probe after two round trips,
// never by a timeout.
func TestTailLoss(t *testing.T) {
	for lost := 1; lost <= 5; lost++ {
		clean := checked(t, newWorld(10*simMSS, rtt))
		require.True(t, clean.run(time.Minute))
		w := checked(t, newWorld(10*simMSS, rtt))
		w.lose = func(_ *world, p packet) bool { return !p.again && p.number >= 10-lost }
		require.True(t, w.run(time.Minute))
		require.Zero(t, w.timeouts, "%d lost", lost)
		require.Equal(t, 1, w.probes)
		require.Zero(t, w.spurious)
		require.Equal(t, lost, w.again)
		// PTO runs from the last ACK, the probe takes a round trip, and what it reveals is repaired in slow
		// start, as RFC 8985 section 9.3 reckons.
		bound := 2*rtt + granularity + rtt + time.Duration(bits.Len(uint(lost-1)))*rtt
		if lost == 1 {
			bound += defaultDelayedAck
		}
		require.LessOrEqual(t, w.done-clean.done, bound, "%d lost", lost)
	}
}

// TestLostRetransmission: a retransmission that is lost as well is found by what was sent after it, in
// another round trip, without a timeout.
func TestLostRetransmission(t *testing.T) {
	for copies := 1; copies <= 4; copies++ {
		w := checked(t, newWorld(200*simMSS, rtt))
		killed := 0
		w.lose = func(_ *world, p packet) bool {
			if p.from == 5*simMSS+1 && killed < copies {
				killed++
				return true
			}
			return false
		}
		clean := checked(t, newWorld(200*simMSS, rtt))
		require.True(t, clean.run(time.Minute))
		require.True(t, w.run(time.Minute))
		require.Zero(t, w.timeouts, "%d copies lost", copies)
		require.Equal(t, copies, w.again)
		require.Zero(t, w.spurious)
		require.Less(t, w.done, 3*time.Second)
	}
}

// TestBursts: any run of losses within a window is repaired without a timeout and without a superfluous
// retransmission, as long as something of the window arrives.
func TestBursts(t *testing.T) {
	for first := 0; first < 30; first += 3 {
		for n := 1; n < 30; n += 4 {
			w := checked(t, newWorld(300*simMSS, rtt))
			w.lose = func(_ *world, p packet) bool { return !p.again && p.index() >= first && p.index() < first+n }
			require.True(t, w.run(time.Minute))
			require.Zero(t, w.spurious, "%d lost from %d", n, first)
			require.Equal(t, n, w.again, "%d lost from %d", n, first)
			if first > 0 && n <= 13 { // more would take the probe along as well
				require.Zero(t, w.timeouts, "%d lost from %d", n, first)
			}
		}
	}
}
