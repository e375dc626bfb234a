package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/stretchr/testify/require"
)

func mbit(n int64) int64 { return n * 1e6 / 8 }

// one is a world with one path.
func one(t testing.TB, seed uint64, with ...func(h *host)) (*world, *route) {
	w := newWorld(t, seed, with...)
	return w, w.connect("10.0.1.1", "10.0.1.2", route{delay: 5 * time.Millisecond, rate: mbit(100), queue: 30 * time.Millisecond})
}

// two has two.
func two(t testing.TB, seed uint64, with ...func(h *host)) (w *world, a, b *route) {
	w, a = one(t, seed, with...)
	return w, a, w.connect("10.0.2.1", "10.0.1.2", route{delay: 10 * time.Millisecond, rate: mbit(50), queue: 30 * time.Millisecond})
}

func TestTransferOverOnePath(t *testing.T) {
	w, _ := one(t, 1)
	w.exchange(3<<20, 1<<20, time.Minute)
	require.True(t, w.client.result.Capable.Remote == w.server.key && w.server.result.Capable.Remote == w.client.key)
	require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
	require.Equal(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
	require.True(t, w.run(w.now+time.Minute, w.over))
	require.NoError(t, w.client.eng.Err())
	require.NoError(t, w.server.eng.Err())
	require.Less(t, w.now, 5*time.Second)
}

func TestTransferOverTwoPaths(t *testing.T) {
	w, _, b := two(t, 2)
	b.keep = true
	w.exchange(8<<20, 8<<20, time.Minute)
	require.Greater(t, len(b.seen), 2000, "the second path carries its share")
	require.True(t, w.run(w.now+time.Minute, w.over))
}
