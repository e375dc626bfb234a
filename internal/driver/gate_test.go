package driver

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Callers take turns in the order in which they came.
func TestTurnsAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var g gate
		var order []int
		mu.Lock()
		g.enter(&mu)
		for i := range 5 {
			go func() {
				mu.Lock()
				g.enter(&mu)
				order = append(order, i)
				mu.Unlock()
				time.Sleep(time.Second) // it has the turn, not the lock
				mu.Lock()
				g.leave()
				mu.Unlock()
			}()
			mu.Unlock()
			synctest.Wait()
			mu.Lock()
		}
		require.Empty(t, order)
		g.leave()
		require.True(t, g.busy, "the turn passes on: nobody gets between")
		mu.Unlock()
		time.Sleep(time.Second / 2)
		mu.Lock()
		require.Equal(t, []int{0}, order, "one at a time")
		mu.Unlock()
		time.Sleep(10 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, []int{0, 1, 2, 3, 4}, order)
		require.False(t, g.busy)
	})
}

// A wake-up between announcement and wait is not lost, more of them are one, and one for nobody is none.
func TestWakeUps(t *testing.T) {
	var mu sync.Mutex
	var g gate
	mu.Lock()
	g.wake()
	g.announce()
	g.wake()
	g.wake()
	require.False(t, g.waiting)
	g.wait(&mu)
	require.Empty(t, g.ch)
	mu.Unlock()
}

func TestWhyACallCannotGoOn(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		g    gate
		want error
	}{
		{gate{}, nil},
		{gate{deadline: 11}, nil},
		{gate{deadline: 10}, os.ErrDeadlineExceeded},
		{gate{deadline: -1}, os.ErrDeadlineExceeded},
		{gate{err: broken, deadline: 1}, broken},
		{gate{closed: true, err: broken, deadline: 1}, net.ErrClosed},
	} {
		require.Equal(t, c.want, c.g.check(10))
	}
}

// The zero time is no deadline; every other time is one, that of the epoch too.
func TestGateDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		g.setDeadline(time.Now().Add(time.Second), 5*time.Second)
		require.Equal(t, 6*time.Second, g.deadline)
		g.setDeadline(time.Now().Add(-5*time.Second), 5*time.Second)
		require.True(t, g.expired(5*time.Second))
		g.setDeadline(time.Time{}, 5*time.Second)
		require.False(t, g.expired(1<<60))
	})
}

// A result wins over a context or a deadline that is over.
func TestResultWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, theirs := attached(t, Params{})
		defer end(t, c, theirs)
		reason := errors.New("no time left")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(reason)
		require.NoError(t, c.Flush(ctx), "nothing is under way")
		_, err := c.Write([]byte("hello"))
		require.NoError(t, err)
		require.ErrorIs(t, c.Flush(ctx), reason)

		live, stop := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Flush(live) }()
		synctest.Wait()
		require.Empty(t, done)
		stop(reason)
		require.ErrorIs(t, <-done, reason)
		require.Empty(t, c.life.flushes, "nobody waits any more")
		answer(t, theirs, 5)
		require.NoError(t, c.Flush(ctx))
	})
}

// A Read that waits for its turn behind another ends with what ends the one ahead.
func TestDeadlineEndsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, theirs := attached(t, Params{})
		defer end(t, c, theirs)
		first, second := blockedRead(c), blockedRead(c)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		require.ErrorIs(t, <-first, os.ErrDeadlineExceeded)
		require.ErrorIs(t, <-second, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetReadDeadline(time.Time{}))

		first, second = blockedRead(c), blockedRead(c)
		var s stream
		s.record(pattern(3, 1))
		_, err := theirs.Write(s.Bytes())
		require.NoError(t, err)
		require.NoError(t, <-first)
		synctest.Wait()
		require.Empty(t, second, "its turn, and nothing there")
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-second, net.ErrClosed)
	})
}
