package tcp

import (
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// transfer is how long n bytes take from client to server, without the handshake.
func transfer(t *testing.T, n int, set func(*world), super int) time.Duration {
	w := newWorld(t, 11)
	set(w)
	a, b := w.ends[0], w.ends[1]
	b.cfg.RecvBuffer = 8 << 20
	a.send = pattern(n, 1)
	want := a.send
	w.dial()
	a.c.SetSuper(super)
	require.True(t, w.run(time.Hour, func() bool { return len(b.got) == n }))
	require.Equal(t, want, b.got)
	took := w.now
	w.finish()
	return took
}

// A link with a queue of one bandwidth-delay product is kept full: Reno halves the window to just that.
func TestALinkIsFilled(t *testing.T) {
	const rate, rtt = 2e6, 40 * time.Millisecond
	for _, c := range []struct {
		name   string
		super  int
		pacing bool
	}{{"plain", 0, false}, {"super-segments", 64000, false}, {"paced", 0, true}, {"paced super-segments", 64000, true}} {
		t.Run(c.name, func(t *testing.T) {
			const n = 10_000_000
			took := transfer(t, n, func(w *world) {
				w.ends[0].cfg.Pacing = c.pacing
				w.links[0].delay, w.links[1].delay = rtt/2, rtt/2
				w.links[0].rate, w.links[0].queue = rate, 80_000
			}, c.super)
			ideal := time.Duration(math.Round(n*(1500.0/1448)/rate*1e9)) + 2*rtt
			require.Less(t, took, ideal*125/100, "ideal %v", ideal)
		})
	}
}

// A super-segment that a mapping cuts short is not one that waits for the window.
func TestShortMappingsDoNotWaitForEachOther(t *testing.T) {
	const rtt = 20 * time.Millisecond
	took := transfer(t, 10_000_000, func(w *world) {
		x := newTagger(t)
		x.block = 32_768
		w.ends[0].cfg.Extension, w.ends[1].cfg.Extension = x, newTagger(t)
		w.links[0].delay, w.links[1].delay = rtt/2, rtt/2
	}, 64_000)
	require.Less(t, took, 20*rtt, "slow start alone takes some 10 round trips")
}

// Under random loss Reno reaches what the formula of Mathis et al. gives, C = sqrt(3/2) with an ACK for each
// second segment taken as C = sqrt(3/4): MSS/RTT * C/sqrt(p).
func TestRandomLossAgainstTheFormula(t *testing.T) {
	const p, rtt, n = 0.01, 50 * time.Millisecond, 10_000_000
	took := transfer(t, n, func(w *world) {
		w.links[0].delay, w.links[1].delay = rtt/2, rtt/2
		w.links[0].loss = p
	}, 0)
	formula := 1448 / rtt.Seconds() * math.Sqrt(3.0/2) / math.Sqrt(p)
	got := n / took.Seconds()
	require.Greater(t, got, 0.6*formula, "formula %.0f", formula)
	require.Less(t, got, 1.7*formula, "formula %.0f", formula)
}

// Reordering within the reordering window of RACK costs little.
func TestReorderingIsNoLoss(t *testing.T) {
	w := newWorld(t, 5)
	w.links[0].rate = 4e6
	w.links[0].jitter = 2 * time.Millisecond
	a, b := w.ends[0], w.ends[1]
	a.send = pattern(5_000_000, 1)
	w.dial()
	require.True(t, w.run(time.Minute, func() bool { return len(b.got) == 5_000_000 }))
	s := a.c.Stats()
	require.Less(t, s.SegsRetrans, s.DataSegsOut/50, "of %d", s.DataSegsOut)
	require.Zero(t, s.Timeouts)
	w.finish()
}

func TestIdleConnectionIsSmall(t *testing.T) {
	const n = 200
	conns := make([]*pair, 0, n)
	before := heapBytes()
	for range n {
		conns = append(conns, newPair(t, 0))
	}
	each := (heapBytes() - before) / (2 * n)
	require.Less(t, each, 3<<10, "bytes for a connection, this test's share included")
	t.Logf("%d bytes", each)
	for _, p := range conns {
		p.end()
	}
}

func heapBytes() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
