package netmon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

func addr(ifIndex int, ip string) Addr {
	return newAddr(netip.MustParseAddr(ip), "if", ifIndex, nature{kind: extapi.KindEthernet})
}

func tableOf(addrs ...Addr) *table {
	t := &table{addrs: addrs}
	t.finish()
	return t
}

// fake is a source whose changes a test makes.
type fake struct {
	changes chan struct{}
	fail    chan error
	done    chan struct{}
	state   atomic.Pointer[table] // nil: cannot be read
	reads   atomic.Int32
}

func newFake(t *table) *fake {
	f := &fake{changes: make(chan struct{}, 100), fail: make(chan error, 1), done: make(chan struct{})}
	f.state.Store(t)
	return f
}

func (f *fake) wait() error {
	select {
	case <-f.done:
		return errClosed
	case err := <-f.fail:
		return err
	case <-f.changes:
		return nil
	}
}

func (f *fake) settle(d time.Duration) {
	select {
	case <-f.done:
	case <-time.After(d):
	}
	for len(f.changes) > 0 {
		<-f.changes
	}
}

func (f *fake) read() (*table, error) {
	f.reads.Add(1)
	if t := f.state.Load(); t != nil {
		return t, nil
	}
	return nil, errors.New("unreadable")
}

func (f *fake) close() {
	select {
	case <-f.done:
	default:
		close(f.done)
	}
}

func (f *fake) become(t *table) {
	f.state.Store(t)
	f.changes <- struct{}{}
}

func watching(f *fake, opts Options) *Watcher {
	w := New(opts)
	w.events = func(Options) (source, error) { return f, nil }
	return w
}

// pollable makes w poll a state that the test changes.
func pollable(w *Watcher, t *table) *atomic.Pointer[table] {
	state := new(atomic.Pointer[table])
	state.Store(t)
	w.poller = func(o Options) source {
		return &poller{opts: o, closed: make(chan struct{}), state: func(Options) (*table, error) { return state.Load(), nil }}
	}
	return state
}

func ticked(c <-chan struct{}) bool {
	select {
	case _, ok := <-c:
		return ok
	default:
		return false
	}
}

func TestWatcherPublishesWholeSnapshotsOncePerBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(tableOf(addr(1, "10.0.0.1")))
		w := watching(f, Options{})
		one, two := w.Changes(), w.Changes()
		require.Equal(t, "10.0.0.1:0", w.Snapshot()[0].Local.String())
		require.NoError(t, w.Mode())

		f.become(tableOf(addr(1, "10.0.0.1"), addr(2, "10.0.1.1")))
		time.Sleep(50 * time.Millisecond)
		f.become(tableOf(addr(2, "10.0.1.1")))
		synctest.Wait()
		require.False(t, ticked(one), "the burst has not ended")
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		require.True(t, ticked(one))
		require.True(t, ticked(two))
		require.EqualValues(t, 2, f.reads.Load(), "one read at the start, one for the burst")
		require.Len(t, w.Addrs(), 1)
		require.Equal(t, 2, w.Addrs()[0].IfIndex)

		f.changes <- struct{}{}
		time.Sleep(time.Second)
		synctest.Wait()
		require.False(t, ticked(one), "nothing that matters has changed")

		require.NoError(t, w.Close())
		_, open := <-one
		require.False(t, open)
		require.NoError(t, w.Close())
	})
}

func TestWatcherUntakenTickStandsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(tableOf())
		w := watching(f, Options{})
		defer w.Close()
		c := w.Changes()
		for _, ip := range []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"} {
			f.become(tableOf(addr(1, ip)))
			time.Sleep(time.Second)
		}
		require.True(t, ticked(c))
		require.False(t, ticked(c))
		require.Equal(t, "10.0.0.3:0", w.Snapshot()[0].Local.String())
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(tableOf())
		w := watching(f, Options{})
		defer w.Close()
		ctx, cancel := context.WithCancel(t.Context())
		c, other := w.Watch(ctx), w.Changes()
		cancel()
		_, open := <-c
		require.False(t, open)
		f.become(tableOf(addr(1, "10.0.0.1")))
		time.Sleep(time.Second)
		require.True(t, ticked(other), "others go on")
		_, open = <-w.Watch(ctx)
		require.False(t, open)
	})
}

func TestWatcherKeepsTheLastStateWhenItCannotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(tableOf(addr(1, "10.0.0.1")))
		w := watching(f, Options{})
		defer w.Close()
		c := w.Changes()
		f.become(nil)
		time.Sleep(time.Second)
		require.False(t, ticked(c))
		require.Len(t, w.Snapshot(), 1)
	})
}

func TestWatcherPollsWhenEventsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(tableOf(addr(1, "10.0.0.1")))
		w := watching(f, Options{})
		polled := pollable(w, tableOf(addr(1, "10.0.0.1")))
		c := w.Changes()
		lost := errors.New("netlink is gone")
		f.fail <- lost
		time.Sleep(3 * time.Second)
		require.ErrorIs(t, w.Mode(), lost)
		require.False(t, ticked(c))
		polled.Store(tableOf(addr(1, "10.0.0.2")))
		time.Sleep(3 * time.Second)
		require.True(t, ticked(c))
		require.Equal(t, "10.0.0.2:0", w.Snapshot()[0].Local.String())
		require.NoError(t, w.Close())
	})
}

func TestWatcherPollsWhereThereAreNoEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		w := New(Options{Poll: 5 * time.Second})
		w.events = func(Options) (source, error) { return nil, errors.ErrUnsupported }
		polled := pollable(w, tableOf())
		require.ErrorIs(t, w.Mode(), errors.ErrUnsupported, "before the first use, too")
		require.Empty(t, w.Snapshot())
		c := w.Changes()
		polled.Store(tableOf(addr(1, "10.0.0.1")))
		<-c
		require.Equal(t, 5*time.Second, time.Since(began))
		require.NoError(t, w.Close())
	})
}

func TestWatcherOwnsNothingBeforeUseAndAfterClose(t *testing.T) {
	f := newFake(tableOf(addr(1, "10.0.0.1")))
	w := watching(f, Options{})
	require.Len(t, w.Snapshot(), 1)
	require.True(t, w.HasRoute(1, netip.MustParseAddr("192.0.2.1")))
	require.NoError(t, w.Mode())
	require.Nil(t, w.src)
	require.NoError(t, w.Close())
	require.Len(t, w.Snapshot(), 1, "snapshots are still taken")
	_, open := <-w.Changes()
	require.False(t, open)
}

func TestOptionsWants(t *testing.T) {
	up := net.FlagUp | net.FlagRunning
	lo := net.Interface{Name: "lo", Flags: up | net.FlagLoopback}
	eth := net.Interface{Name: "eth0", Flags: up}
	require.True(t, Options{}.wants(eth))
	require.False(t, Options{}.wants(lo))
	require.True(t, Options{Loopback: true}.wants(lo))
	require.False(t, Options{}.wants(net.Interface{Flags: net.FlagUp}), "no carrier")
	none := Options{Loopback: true, Interfaces: func(net.Interface) bool { return false }}
	require.False(t, none.wants(eth))
	require.False(t, none.wants(lo))
}

// This machine's own addresses, as package net tells them.
func TestWatcherOnThisMachine(t *testing.T) {
	w := New(Options{Loopback: true})
	defer w.Close()
	own := map[netip.Addr]bool{}
	ifaces, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range ifaces {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own[p.Addr().Unmap()] = true
		}
	}
	check := func() {
		for _, c := range w.Snapshot() {
			require.Contains(t, own, c.Local.Addr())
			require.Zero(t, c.Local.Port())
			require.NotZero(t, c.IfIndex)
			require.NotEmpty(t, c.Interface)
			if c.Local.Addr().IsLoopback() {
				require.Equal(t, extapi.KindLoopback, c.Kind)
			}
		}
	}
	check()
	w.Changes()
	check()
}
