package wire

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/stretchr/testify/require"
)

// period is how often the bytes that a flood sends come again.
const period = 512 << 10

var endless = append(pattern(period), pattern(period)...)

// flood makes h send for ever, and returns where the bytes that have arrived at it are counted.
func (h *host) flood() (got *int) {
	got = new(int)
	sent := 0
	h.source = func() {
		if len(h.out) == 0 {
			h.out = endless[sent : sent+period/2]
			sent = (sent + period/2) % period
		}
	}
	h.sink = func(b []byte) {
		at := *got % period
		require.True(h.w.t, bytes.Equal(endless[at:at+len(b)], b), "byte %d and what follows", *got)
		*got += len(b)
	}
	return got
}

// lanes is a world whose client has an address for each route, with the congestion control and the pacing that ModeWire has.
func lanes(t *testing.T, routes ...route) *world {
	w := newWorld(t, 40, func(h *host) {
		h.group = congestion.Cubic.NewGroup()
		h.super = 65435
		h.params.Pacing = true
		h.cfg.SendBuffer, h.cfg.RecvBuffer = 6<<20, 6<<20
	})
	for i, r := range routes {
		w.connect(fmt.Sprintf("10.0.%d.1", i+1), "10.0.100.2", r)
	}
	return w
}

// stale are the paths that h has called stale.
func (h *host) stale() (list []extapi.PathID) {
	for _, e := range h.events {
		if m, ok := e.(extapi.MetricsUpdated); ok && m.Info.State == extapi.StateStale {
			list = append(list, m.Info.ID)
		}
	}
	return list
}

// Both directions of several paths are busy at once: ACKs wait behind data, windows fill, and yet each direction gets
// nearly what its paths carry, nothing much is sent twice, and no path is called stale.
func TestBothDirectionsAreFilled(t *testing.T) {
	ms := time.Millisecond
	wide := func(m int64, delay, queue time.Duration) route {
		return route{rate: mbit(m), delay: delay, queue: queue}
	}
	for _, tc := range []struct {
		name   string
		routes []route
		want   int    // percent of what the paths carry
		again  uint64 // percent that may be sent on a second path
	}{
		{"3 x 40 Mbit/s", []route{wide(40, 2*ms, 50*ms), wide(40, 2*ms, 50*ms), wide(40, 2*ms, 50*ms)}, 80, 1},
		{"3 x 40 Mbit/s, long queues", []route{wide(40, 2*ms, 200*ms), wide(40, 2*ms, 200*ms), wide(40, 2*ms, 200*ms)}, 40, 15},
		{"50 + 5 Mbit/s", []route{wide(50, 5*ms, 100*ms), wide(5, 20*ms, 100*ms)}, 75, 1},
		{"100 + 20 Mbit/s", []route{wide(100, 5*ms, 50*ms), wide(20, 20*ms, 50*ms)}, 70, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := lanes(t, tc.routes...)
			down, up := w.client.flood(), w.server.flood()
			w.dial()
			const warm, end = time.Second, 2 * time.Second
			w.run(warm, nil)
			before := [2]int{*down, *up}
			w.run(end, nil)
			sum := 0.0
			for _, r := range tc.routes {
				sum += float64(r.rate) * 1420 / 1500 * (end - warm).Seconds()
			}
			for i, got := range []int{*down - before[0], *up - before[1]} {
				percent := int(100 * float64(got) / sum)
				t.Logf("%d %%", percent)
				require.GreaterOrEqual(t, percent, tc.want, "%v", []string{"down", "up"}[i])
			}
			for _, h := range []*host{w.client, w.server} {
				info := h.eng.Info()
				t.Logf("reinjected %d of %d", info.BytesReinjected, info.BytesSent)
				require.Less(t, info.BytesReinjected, info.BytesSent*tc.again/100)
				require.Empty(t, h.stale())
			}
		})
	}
}

// A path that dies while both directions are busy is left soon, whatever waits in queues.
func TestDeadPathIsLeftWhileBothDirectionsAreBusy(t *testing.T) {
	path := route{rate: mbit(40), delay: 2 * time.Millisecond, queue: 20 * time.Millisecond}
	w := lanes(t, path, path)
	w.client.flood()
	w.server.flood()
	w.dial()
	w.run(time.Second, nil)
	dies := w.now
	w.routes[1].dead = true
	for _, h := range []*host{w.client, w.server} {
		require.Empty(t, h.stale())
	}
	w.run(dies+2*time.Second, func() bool { return len(w.client.stale()) > 0 && len(w.server.stale()) > 0 })
	require.LessOrEqual(t, w.now-dies, 300*time.Millisecond)
	for _, h := range []*host{w.client, w.server} {
		require.Len(t, h.stale(), 1)
	}
}
