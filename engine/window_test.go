package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const mebi = 1 << 20

// newWindow is a window whose peer has been told where it stands.
func newWindow(limit int64, mem Memory) *recvWindow {
	var w recvWindow
	w.init(limit, mem)
	w.start(1, 64<<10)
	w.advertise(1, 0)
	return &w
}

func TestRFC8684Section334RightEdgeNeverShrinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := &meter{limit: rapid.Int64Range(0, 2*mebi).Draw(t, "memory")}
		w := newWindow(rapid.Int64Range(0, 4*mebi).Draw(t, "limit"), mem)
		next, buffered, now := uint64(1), 0, time.Duration(0)
		edge := w.rightEdge()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 50).Draw(t, "ms")) * time.Millisecond
			switch rapid.IntRange(0, 3).Draw(t, "op") {
			case 0: // data, as much as the window takes
				n := int(rapid.Int64Range(0, int64(w.rightEdge()-next)).Draw(t, "n"))
				next, buffered = next+uint64(n), buffered+n
				w.arrived(next, buffered)
			case 1:
				n := rapid.IntRange(0, buffered).Draw(t, "read")
				buffered -= n
				w.consumed(now, n, time.Duration(rapid.IntRange(0, 80).Draw(t, "rtt"))*time.Millisecond)
			case 2:
				w.setLimit(rapid.Int64Range(0, 4*mebi).Draw(t, "newLimit"))
			default:
				window := w.advertise(next, buffered)
				require.Equal(t, window, int64(w.rightEdge()-next))
			}
			require.GreaterOrEqual(t, int64(w.rightEdge()-edge), int64(0))
			require.LessOrEqual(t, w.size, w.limit)
			edge = w.rightEdge()
			if w.shouldAck(now, next, buffered) {
				w.advertise(next, buffered)
				require.False(t, w.shouldAck(now, next, buffered), "an acknowledgement settles it")
				edge = w.rightEdge()
			}
			if next != w.acked {
				_, ok := w.deadline()
				require.True(t, ok, "what is not acknowledged will be")
			}
		}
		// When everything is read and acknowledged, the peer can always send.
		w.advertise(next, 0)
		require.Positive(t, int64(w.rightEdge()-next))
		require.Zero(t, mem.used)
	})
}

func TestShouldAck(t *testing.T) {
	const later = time.Second
	type state struct {
		received uint64 // since the last acknowledgement
		buffered int
	}
	for _, c := range []struct {
		name  string
		limit int64
		prior int   // received and acknowledged before
		held  int   // of it still unread at the time
		now   state // then
		due   bool
		owed  bool
	}{
		{"nothing", mebi, 0, 0, state{0, 0}, false, false},
		{"request of one byte", mebi, 0, 0, state{1, 1}, false, true},
		{"first bytes are quiet", mebi, 0, 0, state{quietStart - 1, 0}, false, true},
		{"first bytes with a small buffer are not", 32 << 10, 0, 0, state{40 << 10, 0}, true, false},
		{"a quarter of the window", mebi, 100_000, 0, state{64 << 10, 64 << 10}, true, false},
		{"less than a quarter", mebi, 100_000, 0, state{64<<10 - 1, 64<<10 - 1}, false, true},
		{"a quarter read", mebi, 256 << 10, 256 << 10, state{0, 192 << 10}, true, false},
		{"less than a quarter read, window not closed", mebi, 200 << 10, 200 << 10, state{0, 190 << 10}, false, false},
		{"closed and a little read: silly", mebi, 256 << 10, 256 << 10, state{0, 250 << 10}, false, false},
		{"closed and two segments read", mebi, 256 << 10, 256 << 10, state{0, 224 << 10}, true, false},
		{"tiny buffer, half read", 8 << 10, 8 << 10, 8 << 10, state{0, 4 << 10}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w recvWindow
			w.init(c.limit, nil)
			w.start(1, 0)
			w.advertise(1, 0)
			next := 1 + uint64(c.prior)
			w.advertise(next, c.held)
			next += c.now.received
			require.Equal(t, c.due, w.shouldAck(later, next, c.now.buffered))
			at, owed := w.deadline()
			require.Equal(t, c.owed, owed)
			if owed {
				require.Equal(t, later+ackDelay, at)
				require.False(t, w.shouldAck(at-1, next, c.now.buffered))
				require.Equal(t, later+ackDelay, w.due, "one deadline, not one per record")
				require.True(t, w.shouldAck(at, next, c.now.buffered))
				w.advertise(next, c.now.buffered)
				_, owed = w.deadline()
				require.False(t, owed)
			}
		})
	}
}

func TestRFC9293Section3861ProbesOfAClosedWindowAreAnswered(t *testing.T) {
	w := newWindow(mebi, nil)
	w.duplicate(0, 1)
	require.False(t, w.shouldAck(0, 1, 0), "an ordinary duplicate waits")
	w = newWindow(mebi, nil)
	next := w.rightEdge()
	w.advertise(next, startWindow)
	w.duplicate(time.Second, next)
	require.True(t, w.shouldAck(time.Second, next, startWindow))
	require.Zero(t, w.advertise(next, startWindow))
}

func TestWindowGrowsWithWhatTheApplicationReads(t *testing.T) {
	const rtt = 100 * time.Millisecond
	w := newWindow(6*mebi, nil)
	now, next := time.Duration(0), uint64(1)
	rounds := 0
	for ; w.size < 6*mebi && rounds < 20; rounds++ {
		n := int(w.rightEdge() - next) // the window is the only limit
		for range 10 {
			now += rtt / 10
			w.consumed(now, n/10, rtt)
		}
		next += uint64(n)
		w.advertise(next, 0)
	}
	require.LessOrEqual(t, rounds, 6, "doubles at least per round trip")

	w = newWindow(6*mebi, nil)
	for range 100 { // 1 MB/s over 100 ms: 256 KiB are enough
		now += rtt
		w.consumed(now, 100_000, rtt)
	}
	require.Equal(t, int64(startWindow), w.size)

	w = newWindow(6*mebi, nil)
	w.consumed(now, 100_000, rtt)
	w.consumed(now+time.Hour, 5*mebi, rtt) // an hour's reads are not a round trip's
	require.Equal(t, int64(startWindow), w.size)
}

func TestWindowGrowsWhenThePeerFillsIt(t *testing.T) {
	w := newWindow(mebi, nil)
	w.arrived(w.rightEdge()-startWindow/2, 0)
	require.Equal(t, int64(startWindow), w.size, "not filled")
	w.arrived(w.rightEdge(), startWindow)
	require.Equal(t, int64(startWindow), w.size, "the application does not keep up")
	// Behind a hole: nothing in order, the window full.
	w.arrived(w.rightEdge()-10, 0)
	w.arrived(w.rightEdge(), 0)
	require.Equal(t, int64(2*startWindow), w.size, "once per window")
	require.True(t, w.shouldAck(0, 1, 0), "and the peer hears of it at once")
	w.advertise(1, 0)
	for range 3 {
		w.arrived(w.rightEdge(), 0)
		w.advertise(1, 0)
	}
	require.Equal(t, int64(mebi), w.size)
}

func TestWindowUnderMemoryPressure(t *testing.T) {
	mem := &meter{limit: 300 << 10}
	w := newWindow(6*mebi, mem)
	w.arrived(w.rightEdge(), 0)
	require.Equal(t, int64(2*startWindow), w.size)
	w.arrived(w.rightEdge(), 0)
	w.advertise(1, 0)
	w.arrived(w.rightEdge(), 0)
	require.Equal(t, int64(2*startWindow), w.size, "no growth over the budget")
	edge := w.rightEdge()
	mem.used = mem.limit
	next := edge - 100<<10
	require.Equal(t, int64(100<<10), w.advertise(next, 0), "the edge stays")
	require.Equal(t, int64(tightWindow), w.advertise(edge, 0))
	mem.used = 0
	require.Equal(t, int64(2*startWindow), w.advertise(edge, 0))
}

func BenchmarkWindowPerRecord(b *testing.B) {
	w := newWindow(6*mebi, &meter{limit: 1 << 40})
	next, now := uint64(1), time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		now += 10 * time.Microsecond
		next += 16 << 10
		w.arrived(next, 16<<10)
		w.consumed(now, 16<<10, time.Millisecond)
		if w.shouldAck(now, next, 0) {
			w.advertise(next, 0)
		}
	}
}

// What a scaled window field says shrinks no more than the window itself while nobody reads, until an eighth more than the buffer
// is promised: full segments do not use that up, tiny ones do.
func TestRFC8684Section334RoundedRightEdgeNeverShrinks(t *testing.T) {
	for _, size := range []uint64{11, 52, 127, 300, 1152, 1428, 1460} {
		for _, scale := range []uint8{0, 2, 7, 14} {
			const limit = 128 << 10
			w, unit := newWindow(limit, nil), uint64(1)<<scale
			edge, shrunk := uint64(0), 0
			for ack := uint64(1); ; ack += size {
				n := w.rounded(ack, int(ack-1), scale)
				require.Zero(t, uint64(n)%unit)
				at := ack + uint64(n)
				if at < edge {
					require.Greater(t, edge-1+unit, uint64(limit+limit/8), "pieces of %d bytes, scale %d", size, scale)
					require.Less(t, edge-at, unit)
					shrunk++
				}
				edge = max(edge, at)
				require.LessOrEqual(t, edge, w.rightEdge(), "what was told is taken")
				require.LessOrEqual(t, edge-1, uint64(limit+limit/8), "bounded")
				if edge < ack+size {
					break // the peer may not send the next one
				}
			}
			require.Equal(t, 9*(size%unit) > size, shrunk > 0, "pieces of %d bytes, scale %d", size, scale)
		}
	}
}
