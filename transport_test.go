package mptcp

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

func TestUnusedTransportHoldsNothing(t *testing.T) {
	tr := &Transport{}
	require.Empty(t, tr.Conns())
	require.NoError(t, tr.Shutdown(t.Context()))
	_, ok := tr.Conn(1)
	require.False(t, ok)
	require.Nil(t, tr.shared)
}

func TestConnsAreListed(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		tr := newTransport(t)
		a, _ := connect(t, Dialer{Config: carriers[i].dial, Transport: tr}, l)
		b, _ := connect(t, Dialer{Config: carriers[i].dial, Transport: tr}, l)
		infos := tr.Conns()
		require.Len(t, infos, 2)
		require.Equal(t, a.Info().ID, infos[0].ID)
		require.Equal(t, b.Info().ID, infos[1].ID)
		got, ok := tr.Conn(b.Info().ID)
		require.True(t, ok)
		require.Same(t, b, got)
		require.NoError(t, b.Close())
		require.Len(t, tr.Conns(), 1)
		_, ok = tr.Conn(infos[1].ID)
		require.False(t, ok)
	})
}

func TestShutdownWaitsForDelivery(t *testing.T) {
	l := listen(t, ListenConfig{})
	tr := newTransport(t)
	client, server := connect(t, Dialer{Config: streamOnly, Transport: tr}, l)
	data := make([]byte, 4<<20)
	_, err := client.Write(data)
	require.NoError(t, err)
	require.NoError(t, client.Close(), "at once")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, tr.Shutdown(ctx), context.DeadlineExceeded, "nobody reads")

	sum := make(chan []byte, 1)
	go func() {
		h := sha256.New()
		_, _ = io.Copy(h, server)
		sum <- h.Sum(nil)
	}()
	require.NoError(t, tr.Shutdown(t.Context()))
	require.NoError(t, tr.Close())
	want := sha256.Sum256(data)
	require.Equal(t, want[:], <-sum)
}

// holder is a tracer that holds who brings it a priority's change.
type holder struct{ held, release chan struct{} }

func (h holder) Trace(_ time.Duration, ev extapi.Event) {
	if _, ok := ev.(extapi.SubflowPriority); ok {
		close(h.held)
		<-h.release
	}
}

func (holder) Close() error { return nil }

// While another goroutine tells of an event, a Close that has returned counts for Shutdown and Conns all the same.
func TestCloseCountsAtOnce(t *testing.T) {
	eachOfOurs(t, func(t *testing.T, d Dialer, listen func() *Listener) {
		h := holder{make(chan struct{}), make(chan struct{})}
		d.Trace, d.SendBuffer = func(context.Context, extapi.ConnInfo) extapi.Tracer { return h }, 1<<20
		client, _ := connect(t, d, listen())
		go client.SetBackup(client.Subflows()[0].ID, true)
		<-h.held
		defer close(h.release)
		_, err := client.Write(make([]byte, 1<<20))
		require.NoError(t, err)
		require.NoError(t, client.Close())
		require.Empty(t, d.Transport.Conns())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, d.Transport.Shutdown(ctx), context.DeadlineExceeded, "nobody reads")
	})
}

func TestTransportClose(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		tr := newTransport(t)
		client, server := connect(t, Dialer{Config: carriers[i].dial, Transport: tr}, l)
		own, err := (&ListenConfig{Transport: tr}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, tr.Close())
		require.NoError(t, tr.Close())
		_, err = client.Read(make([]byte, 1))
		require.Error(t, err)
		<-client.Context().Done()
		_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err = server.Read(make([]byte, 1))
		require.Error(t, err)
		_, err = own.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = (&Dialer{Transport: tr}).Dial("tcp", l.Addr().String())
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = (&ListenConfig{Transport: tr}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.ErrorIs(t, err, net.ErrClosed)
		require.Empty(t, tr.Conns())
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	l := listen(t, ListenConfig{})
	tr := newTransport(t)
	for range 5 {
		client, server := connect(t, Dialer{Config: streamOnly, Transport: tr}, l)
		exchange(t, client, server)
		require.NoError(t, client.Close())
		require.NoError(t, server.Close())
	}
	s := tr.use()
	require.Eventually(t, func() bool { return !s.busy() }, 10*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		s.addrs.mu.Lock()
		defer s.addrs.mu.Unlock()
		return s.addrs.stop == nil
	}, 2*time.Second, 5*time.Millisecond, "and nobody watches addresses any more")
}

// waitSubflows waits until c has n working subflows.
func waitSubflows(t *testing.T, c *Conn, n int) []extapi.SubflowInfo {
	t.Helper()
	var active []extapi.SubflowInfo
	require.Eventually(t, func() bool {
		active = active[:0]
		for _, s := range c.Subflows() {
			if s.State == extapi.StateActive {
				active = append(active, s)
			}
		}
		return len(active) == n
	}, 5*time.Second, 5*time.Millisecond, "%d subflows", n)
	return active
}

// A second address on loopback stands for a second path: another listener of the Transport, announced by
// the first.
func twoPaths(t *testing.T) (first, second *Listener, policy extapi.PathPolicy) {
	tr := newTransport(t)
	second = listen(t, ListenConfig{Transport: tr, ConfigForPeer: func(local, remote netip.AddrPort) (*Config, error) {
		t.Error("a join never asks for a configuration")
		return nil, nil
	}})
	first = listen(t, ListenConfig{Transport: tr, Announce: []netip.AddrPort{addrPort(second.Addr())}})
	return first, second, extapi.PathPolicy{AnyAnnouncedPort: true}
}

func TestAnnouncedAddressBecomesASubflow(t *testing.T) {
	first, second, policy := twoPaths(t)
	client, server := connect(t, Dialer{Config: Config{Mode: ModeStream, Paths: policy}}, first)
	local, remote := client.LocalAddr(), client.RemoteAddr()
	flows := waitSubflows(t, client, 2)
	require.Equal(t, second.Addr().String(), flows[1].Remote.String())
	waitSubflows(t, server, 2)

	require.NoError(t, client.CloseSubflow(flows[0].ID))
	waitSubflows(t, client, 1)
	exchange(t, client, server)
	require.Equal(t, local, client.LocalAddr(), "for life (RFC 6897 section 4.2.2)")
	require.Equal(t, remote, client.RemoteAddr())
}

func TestAnnouncedPortNeedsThePolicy(t *testing.T) {
	first, _, _ := twoPaths(t)
	client, server := connect(t, Dialer{Config: streamOnly}, first)
	time.Sleep(200 * time.Millisecond)
	exchange(t, client, server)
	require.Len(t, client.Subflows(), 1)
}

func TestDataMovesOverTwoSubflows(t *testing.T) {
	first, _, policy := twoPaths(t)
	client, server := connect(t, Dialer{Config: Config{Mode: ModeStream, Paths: policy}}, first)
	waitSubflows(t, client, 2)
	data := make([]byte, 32<<20)
	for i := range data {
		data[i] = byte(i * 7 >> 3)
	}
	go func() {
		_, _ = client.Write(data)
		_ = client.CloseWrite()
	}()
	h := sha256.New()
	n, err := io.Copy(h, server)
	require.NoError(t, err)
	require.EqualValues(t, len(data), n)
	want := sha256.Sum256(data)
	require.Equal(t, want[:], h.Sum(nil))
}

func TestOpenSubflow(t *testing.T) {
	first, second, _ := twoPaths(t)
	client, server := connect(t, Dialer{Config: streamOnly}, first)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	id, err := client.OpenSubflow(ctx, netip.AddrPort{}, addrPort(second.Addr()))
	require.NoError(t, err)
	flows := waitSubflows(t, client, 2)
	require.Equal(t, id, flows[1].ID)
	require.NoError(t, client.SetBackup(id, true))
	require.Eventually(t, func() bool {
		s := server.Subflows()
		return len(s) == 2 && s[1].Backup
	}, 5*time.Second, 5*time.Millisecond)
	exchange(t, client, server)
}

// "An application MAY also specify a port number": then the subflow leaves from it (RFC 6897 section 5.3.3).
func TestOpenSubflowFromAPort(t *testing.T) {
	first, second, _ := twoPaths(t)
	client, server := connect(t, Dialer{Config: streamOnly}, first)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	from := addrPort(free.Addr())
	require.NoError(t, free.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = client.OpenSubflow(ctx, from, addrPort(second.Addr()))
	require.NoError(t, err)
	require.Equal(t, from, waitSubflows(t, client, 2)[1].Local)
	require.Equal(t, from, waitSubflows(t, server, 2)[1].Remote)
}

func TestBoundListenerAnnouncesNothing(t *testing.T) {
	l := listen(t, ListenConfig{})
	client, server := connect(t, Dialer{Config: Config{Mode: ModeStream, Paths: extapi.PathPolicy{FullMesh: true, AnyAnnouncedPort: true}}}, l)
	time.Sleep(150 * time.Millisecond)
	exchange(t, client, server)
	require.Len(t, client.Subflows(), 1)
}

func TestMemoryLimitIsShared(t *testing.T) {
	tr := &Transport{MemoryLimit: 1 << 20}
	t.Cleanup(func() { tr.Close() })
	l := listen(t, ListenConfig{})
	client, server := connect(t, Dialer{Config: streamOnly, Transport: tr}, l)
	_ = client.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := client.Write(make([]byte, 64<<20))
	require.Error(t, err)
	require.Less(t, n, 32<<20)
	require.LessOrEqual(t, tr.use().memory.used.Load(), int64(1<<20))
	_ = client.SetWriteDeadline(time.Time{})
	go io.Copy(io.Discard, server)
	require.NoError(t, client.Flush(t.Context()))
	exchangeOneWay(t, server, client)
}

// A Write that finds the memory of all connections used up waits for its own acknowledgements, and reads them where nobody else does.
func TestWriterWaitsForMemory(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		tr := newTransport(t)
		tr.MemoryLimit = 128 << 10
		client, server := connect(t, Dialer{Config: carriers[i].dial, Transport: tr}, l)
		const size = 16 << 20
		wrote := make(chan error)
		go func() {
			_ = client.SetWriteDeadline(time.Now().Add(20 * time.Second))
			_, err := client.Write(make([]byte, size))
			wrote <- errors.Join(err, client.CloseWrite())
		}()
		time.Sleep(50 * time.Millisecond) // until it is used up
		n, err := io.Copy(io.Discard, server)
		require.NoError(t, err)
		require.EqualValues(t, size, n)
		require.NoError(t, <-wrote)
	})
}

func exchangeOneWay(t *testing.T, from, to net.Conn) {
	t.Helper()
	_, err := from.Write([]byte("back"))
	require.NoError(t, err)
	b := make([]byte, 4)
	_, err = io.ReadFull(to, b)
	require.NoError(t, err)
	require.Equal(t, "back", string(b))
}
