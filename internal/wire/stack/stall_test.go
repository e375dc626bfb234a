package stack

import (
	"context"
	"io"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// Hosts whose queues are small and full all the time: segments wait for room, none is lost and none overtakes another.
func TestFullQueuesLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		w := newDistantWorld(t)
		seed := w.seed(true)
		seed.Plain = extapi.FallbackDisabled
		c, s := w.dial(seed)
		payload := 0
		var stalls atomic.Int64
		var top uint32
		w.fabric.watch(func(s *packet.Segment) bool {
			if s.Src.Addr() == clientAddr && s.PayloadLen() > 0 {
				if payload > 0 {
					require.Positive(t, int32(s.Seq-top), "in order, and once")
				}
				payload, top = payload+s.PayloadLen(), s.Seq
			}
			return false
		})
		done := make(chan struct{})
		defer close(done)
		for _, h := range w.fabric.hosts {
			h.allow(0)
			go func() {
				for {
					select {
					case <-done:
						h.allow(1 << 30)
						return
					case <-time.After(time.Millisecond):
						h.mu.Lock()
						full := h.room < 0
						h.mu.Unlock()
						if full {
							stalls.Add(1)
							h.allow(5)
						}
					}
				}
			}()
		}
		exchange(t, c.d, s.d, size)
		synctest.Wait()
		require.Equal(t, size, payload)
		require.Greater(t, stalls.Load(), int64(50))
	})
}

// A connection that ends while its segments wait says so once there is room, and gives back what it holds.
func TestAbortWhileTheQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		c, s := w.dial(w.seed(true))
		client := w.fabric.hosts[0]
		client.allow(3)
		_, err := c.d.Write(make([]byte, 100<<10))
		require.NoError(t, err)
		require.NoError(t, c.d.Abort(engine.ResetUnspecified))
		time.Sleep(50 * time.Millisecond)
		require.NoError(t, s.d.Err())
		client.allow(1000)
		time.Sleep(50 * time.Millisecond)
		require.Error(t, s.d.Err())
		w.client.mu.Lock()
		defer w.client.mu.Unlock()
		require.Empty(t, w.client.conns)
	})
}

// A port that waits for room waits for nothing else: the end of a write leaves with the rest.
func TestNothingCollectsWhileTheQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		c, s := w.dial(w.seed(true))
		for range 20 { // which opens the windows
			_, err := c.d.Write(make([]byte, 400<<10))
			require.NoError(t, err)
			_, err = io.ReadFull(s.d, make([]byte, 400<<10))
			require.NoError(t, err)
		}
		client := w.fabric.hosts[0]
		client.super.Store(64 << 10)
		write := func(room int) {
			client.allow(room)
			_, err := c.d.Write(make([]byte, 100<<10))
			require.NoError(t, err)
		}
		write(1 << 30)
		write(0)
		waits := false
		c.d.EachPackets(func(now time.Duration, p driver.Packets) {
			_, waiting := p.Gather(now, true)
			waits = waits || waiting
		})
		client.allow(1 << 30) // before anything can fail: who waits for both tries again and again at the same instant
		require.False(t, waits)
		_, err := io.ReadFull(s.d, make([]byte, 200<<10))
		require.NoError(t, err)
	})
}

// The stack is closed while segments wait: leaks are looked for after the tests.
func TestCloseWhileTheQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		c, _ := w.dial(w.seed(true))
		w.fabric.hosts[0].allow(3)
		_, err := c.d.Write(make([]byte, 100<<10))
		require.NoError(t, err)
	})
}

// What keeps the segments of a handshake from leaving is the reason that the program hears.
func TestDialTellsWhyNothingLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		w.fabric.hosts[0].refuse = syscall.EPERM
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		for _, parent := range []context.Context{ctx, t.Context()} {
			_, _, err := w.client.Dial(parent, w.seed(true), netip.AddrPort{}, serverAt, "")
			require.ErrorIs(t, err, syscall.EPERM)
			if parent == ctx {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			} else {
				require.ErrorIs(t, err, tcp.ErrTimeout)
			}
		}
	})
}

// An established connection survives what keeps its segments from leaving, and says it.
func TestSendErrorsAreSurvivedAndTold(t *testing.T) {
	for _, reason := range []error{syscall.EPERM, syscall.ENETDOWN, syscall.ENOBUFS, syscall.EMSGSIZE} {
		synctest.Test(t, func(t *testing.T) {
			w := newDistantWorld(t)
			seed := w.seed(true)
			told := &traced{over: make(chan struct{})}
			seed.Driver.Trace = func(extapi.ConnInfo) extapi.Tracer { return told }
			c, s := w.dial(seed)
			w.hello(c.d, s.d)
			host := w.fabric.hosts[0]
			host.deny(reason)
			_, err := c.d.Write(make([]byte, 100<<10))
			require.NoError(t, err)
			time.Sleep(5 * time.Second)
			host.deny(nil)
			_, err = io.ReadFull(s.d, make([]byte, 100<<10))
			require.NoError(t, err)
			require.NoError(t, c.d.Close())
			require.NoError(t, s.d.Close())
			<-told.over
			n := 0
			for _, e := range told.events {
				if f, ok := e.(extapi.SendFailed); ok {
					require.ErrorIs(t, f.Err, reason)
					require.EqualValues(t, 1, f.ID)
					n++
				}
			}
			require.Greater(t, n, 0)
			require.LessOrEqual(t, n, 6, "not for every segment")
		})
	}
}

// shrinks lets an interface take no more than 1200 bytes.
func (h *host) shrinks() {
	h.mu.Lock()
	h.mtu = 1200
	h.mu.Unlock()
}

// ship writes and reads 100 KiB, and says how long that took.
func ship(t *testing.T, from, to *driver.Conn) time.Duration {
	began := time.Now()
	_, err := from.Write(make([]byte, 100<<10))
	require.NoError(t, err)
	_, err = io.ReadFull(to, make([]byte, 100<<10))
	require.NoError(t, err)
	return time.Since(began)
}

// The interface's MTU shrinks: the first segment that it refuses says so, and no timeout has to find it out.
func TestInterfaceShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		c, s := w.dial(w.seed(true))
		w.hello(c.d, s.d)
		ship(t, c.d, s.d)
		w.fabric.hosts[0].shrinks()
		require.Less(t, ship(t, c.d, s.d), 200*time.Millisecond)
	})
}

// It shrinks while nothing gets through, so that it refuses what a timeout sends again. That leaves at once in smaller segments, and
// neither waits for another timeout nor for the peer to tell of what is missing: Linux may not, while it sends data itself, which leave
// no room for SACK blocks.
func TestInterfaceShrinksBeforeATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		c, s := w.dial(w.seed(true))
		w.hello(c.d, s.d)
		ship(t, c.d, s.d)
		var first uint32
		var again time.Time
		dark, lost := true, false
		w.fabric.watch(func(s *packet.Segment) bool {
			switch {
			case s.Flags.Has(packet.SYN):
				return true // no other subflow helps out
			case s.PayloadLen() == 0:
				return false
			case dark:
				if first == 0 {
					first = s.Seq
				}
				return true
			case s.Seq != first:
				ahead := !lost // what would have made the peer tell
				lost = true
				return ahead
			case again.IsZero() && s.Len() <= 1200:
				again = time.Now()
			}
			return false
		})
		began := time.Now()
		time.AfterFunc(100*time.Millisecond, func() {
			w.fabric.mu.Lock()
			dark = false
			w.fabric.mu.Unlock()
			w.fabric.hosts[0].shrinks()
		})
		ship(t, c.d, s.d)
		require.Less(t, again.Sub(began), 300*time.Millisecond, "with the first timeout")
	})
}
