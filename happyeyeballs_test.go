package mptcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestInterleaveAlternatesFamilies(t *testing.T) {
	parse := func(s ...string) (l []netip.Addr) {
		for _, a := range s {
			l = append(l, netip.MustParseAddr(a))
		}
		return l
	}
	require.Equal(t, parse("::1", "1.1.1.1", "::2", "1.1.1.2", "::3"), interleave(parse("::1", "::2", "::3", "1.1.1.1", "1.1.1.2")))
	require.Equal(t, parse("1.1.1.1", "::1", "::2"), interleave(parse("1.1.1.1", "::1", "::2")))
	require.Equal(t, parse("1.1.1.1"), interleave(parse("1.1.1.1")))
}

// attempt says how one attempt of a test ends.
type attempt struct {
	connects, takes time.Duration // connects 0: never says so
	err             error
}

// run races the attempts and returns who won, when each began, and how long it all took.
func runRace(t *testing.T, ctx context.Context, delay time.Duration, list []attempt) (won *Conn, began []time.Duration, took time.Duration, err error) {
	t.Helper()
	start := time.Now()
	began = make([]time.Duration, len(list))
	conns := make([]*Conn, len(list))
	won, err = raceAttempts(ctx, len(list), delay, func(ctx context.Context, i int, connected func()) (*Conn, error) {
		began[i] = time.Since(start)
		a := list[i]
		if a.connects > 0 {
			time.Sleep(a.connects)
			connected()
		}
		select {
		case <-time.After(a.takes - a.connects):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if a.err != nil {
			return nil, a.err
		}
		conns[i] = &Conn{id: 0, b: nopBackend{}}
		return conns[i], nil
	})
	took = time.Since(start)
	synctest.Wait()
	return won, began, took, err
}

type nopBackend struct{ backend }

func (nopBackend) Close() error { return nil }

const ms = time.Millisecond

func TestRaceStaggersAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, began, took, err := runRace(t, t.Context(), 300*ms, []attempt{{takes: time.Hour}, {takes: time.Hour}, {takes: 50 * ms}})
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0, 300 * ms, 600 * ms}, began)
		require.Equal(t, 650*ms, took)
	})
}

func TestRaceMovesOnAtOnceAfterAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, began, took, err := runRace(t, t.Context(), 300*ms, []attempt{{takes: 10 * ms, err: errors.New("refused")}, {takes: 20 * ms}})
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0, 10 * ms}, began)
		require.Equal(t, 30*ms, took)
	})
}

func TestRaceStartsNothingMoreOnceConnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, began, took, err := runRace(t, t.Context(), 300*ms, []attempt{{connects: 100 * ms, takes: 900 * ms}, {takes: 1 * ms}})
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0, 0}, began, "the second never began")
		require.Equal(t, 900*ms, took)
	})
}

func TestRaceJoinsEveryFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := errors.New("a"), errors.New("b")
		_, _, _, err := runRace(t, t.Context(), 300*ms, []attempt{{takes: 10 * ms, err: a}, {takes: 10 * ms, err: b}})
		require.ErrorIs(t, err, a)
		require.ErrorIs(t, err, b)
	})
}

func TestRaceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, took, err := runRace(t, ctx, 300*ms, []attempt{{takes: time.Hour}, {takes: time.Hour}, {takes: time.Hour}, {takes: time.Hour}, {takes: time.Hour}})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, took)
	})
}

func TestNegativeFallbackDelayTriesOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, began, took, err := runRace(t, ctx, -1, []attempt{{takes: time.Hour}, {takes: time.Hour}, {takes: 50 * ms}})
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0, 10 * time.Second, 20 * time.Second}, began, "each gets its share of the deadline")
		require.Equal(t, 20*time.Second+50*ms, took)
	})
}

func TestRaceClosesTheLosers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := 0
		_, err := raceAttempts(t.Context(), 2, 10*ms, func(ctx context.Context, i int, _ func()) (*Conn, error) {
			time.Sleep(time.Duration(2-i) * 50 * ms) // wins late on purpose: deaf to the context
			return &Conn{b: closeCounter{n: &closed}}, nil
		})
		require.NoError(t, err)
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 1, closed, fmt.Sprint(closed))
	})
}

type closeCounter struct {
	backend
	n *int
}

func (c closeCounter) Close() error { *c.n++; return nil }
func (c closeCounter) discard()     { *c.n++ }

func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d deadline
		expired, changed := d.wait()
		require.Nil(t, expired)
		d.set(time.Now().Add(time.Second))
		<-changed
		expired, _ = d.wait()
		start := time.Now()
		<-expired
		require.Equal(t, time.Second, time.Since(start))
		d.set(time.Now().Add(-time.Second))
		expired, _ = d.wait()
		<-expired
		d.set(time.Time{})
		expired, _ = d.wait()
		require.Nil(t, expired)
	})
}
