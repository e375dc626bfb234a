package stack

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// What is closed on both sides ends with FINs, not with RSTs, if the stack may settle before it is closed.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		var resets, fins atomic.Int64
		w.fabric.watch(func(s *packet.Segment) bool {
			if s.Flags.Has(packet.RST) {
				resets.Add(1)
			}
			if s.Flags.Has(packet.FIN) {
				fins.Add(1)
			}
			return false
		})
		c, s := w.dial(w.seed(true))
		exchange(t, c.d, s.d, 100_000)
		require.NoError(t, s.d.Close())
		require.NoError(t, c.d.Close())
		require.NoError(t, c.d.Flush(t.Context()))
		for !w.client.closing() {
			time.Sleep(time.Millisecond)
		}
		require.NoError(t, w.client.Settle(t.Context()))
		require.False(t, w.client.closing())
		require.NoError(t, w.client.Settle(t.Context()), "there is nothing to wait for")
		w.client.mu.Lock()
		conns := len(w.client.conns)
		w.client.mu.Unlock()
		require.Zero(t, conns)
		require.Zero(t, resets.Load())
		require.EqualValues(t, 2, fins.Load())
	})
}

// A peer that does not answer FINs, or a context that ends, does not hold the program up.
func TestSettleIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		c, s := w.dial(w.seed(true))
		w.hello(c.d, s.d)
		require.NoError(t, s.d.Close())
		require.NoError(t, c.d.Close())
		for !w.client.closing() {
			time.Sleep(time.Millisecond)
		}
		w.fabric.watch(func(*packet.Segment) bool { return true })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, w.client.Settle(ctx), context.DeadlineExceeded)
		began := time.Now()
		require.NoError(t, w.client.Settle(t.Context()))
		require.Equal(t, settleMost, time.Since(began))
	})
}

// A connection that still says that it is over, and is not answered, gives its buffers back when the stack closes.
func TestCloseGivesBackWhatAnAbortedConnectionHolds(t *testing.T) {
	before := pool.Outstanding()
	t.Cleanup(func() { require.Equal(t, before, pool.Outstanding()) }) // after the world's end
	w := newWorld(t)
	c, s := w.dial(w.seed(true))
	w.hello(c.d, s.d)
	w.fabric.watch(func(*packet.Segment) bool { return true })
	_, err := c.d.Write(make([]byte, 200_000))
	require.NoError(t, err)
	require.Greater(t, pool.Outstanding(), before)
	require.NoError(t, c.d.Abort(engine.ResetUnspecified))
}

// The peer's FIN comes again to a subflow that waits out TIME-WAIT, while the connection goes on over another one: for the
// race detector, since different locks guard the two.
func TestFINComesAgainInTimeWait(t *testing.T) {
	w := newWorld(t, secondAddr)
	c, s := w.dial(w.seed(true))
	w.hello(c.d, s.d)
	w.join(c.d)
	var fins atomic.Int32
	w.fabric.watch(func(s *packet.Segment) bool {
		if s.Dst.Addr() == clientAddr && s.Flags.Has(packet.FIN) {
			fins.Add(1)
		}
		return s.Src.Addr() == clientAddr && fins.Load() > 0 && fins.Load() < 3
	})
	require.NoError(t, c.d.CloseSubflow(1))
	require.Eventually(t, func() bool {
		w.hello(c.d, s.d)
		return fins.Load() >= 3
	}, 10*time.Second, time.Microsecond)
	require.Eventually(t, func() bool { return len(s.d.Subflows()) == 1 }, 5*time.Second, time.Millisecond)
}
