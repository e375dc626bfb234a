package wire

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/stretchr/testify/require"
)

// Seeds over bad paths: loss, reordering, duplication and short deaths on both, checksums on and off,
// super-segments or none; every byte arrives and both ends end.
func TestSweepOfBadPaths(t *testing.T) {
	for seed := range uint64(15) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, a, b := two(t, 100+seed, func(h *host) {
				h.offer.Checksum = h.client && seed%3 == 0
				h.super = int(seed%2) * (64 << 10)
			})
			a.loss, b.loss = float64(seed%5)*0.01, float64(seed%4)*0.02
			a.reorder, b.reorder = float64(seed%3)*0.05, float64(seed%2)*0.1
			b.box = func(up bool, s packet.Segment) []packet.Segment {
				if w.rng.Float64() < 0.02 {
					return []packet.Segment{s, s}
				}
				return pass(s)
			}
			for i, r := range []*route{a, b} {
				at := time.Duration(100+37*seed+uint64(i)*900) * time.Millisecond
				w.after(at, func() { r.dead = true })
				w.after(at+700*time.Millisecond, func() { r.dead = false })
			}
			w.exchange(1<<20, 1<<20, 3*time.Minute)
			require.True(t, w.run(w.now+3*time.Minute, w.over))
			require.NoError(t, w.client.eng.Err())
			require.NoError(t, w.server.eng.Err())
		})
	}
}

// Options vanish at some instant, one way or both, on a path that loses and reorders: no byte is wrong, and
// none is missing unless the connection says so.
func TestSweepOfStripping(t *testing.T) {
	for _, seed := range []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 77, 107} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, r := one(t, 300+seed)
			r.loss, r.reorder = float64(seed%3)*0.005, float64(seed%4)*0.05
			from := time.Duration(w.rng.IntN(300)) * time.Millisecond
			r.box = strip(func(up bool, s packet.Segment) bool { return w.now >= from && (seed%3 == 0 || up == (seed%3 == 1)) })
			want := pattern(1 << 20)
			w.client.out, w.client.fin = want, true
			w.server.out, w.server.fin = want, true
			w.dial()
			w.run(2*time.Minute, func() bool { return w.client.eof && w.server.eof || w.client.err != nil && w.server.err != nil })
			for _, h := range []*host{w.client, w.server} {
				got := h.in.Bytes()
				require.True(t, bytes.HasPrefix(want, got), "every byte is right")
				if h.err == nil {
					require.Equal(t, len(want), len(got))
				}
			}
		})
	}
}
