package mptcp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/simnet"
)

// preface is a whole question of the stream carrier.
const preface = "\x9eMPTCP/01 0123456789abcdef\r\n\r\n"

// rawDial opens a plain TCP connection.
func rawDial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	var d net.Dialer
	d.SetMultipathTCP(false)
	c, err := d.DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func TestPlainPeerIsHandedOut(t *testing.T) {
	l := listen(t, ListenConfig{Config: Config{PrefaceTimeout: time.Minute}})
	c := rawDial(t, l.Addr().String())
	io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
	s := accept(t, l) // the first byte told
	requireCarrier(t, s, extapi.CarrierTCP, extapi.FallbackPeer)
	b := make([]byte, 4)
	for _, want := range []string{"GET ", "/ HT", "TP/1"} {
		_, err := io.ReadFull(s, b)
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
}

func TestSilentPeerIsHandedOutAfterPrefaceTimeout(t *testing.T) {
	l := listen(t, ListenConfig{Config: Config{PrefaceTimeout: 100 * time.Millisecond}})
	c := rawDial(t, l.Addr().String())
	begin := time.Now()
	s := accept(t, l)
	require.GreaterOrEqual(t, time.Since(begin), 80*time.Millisecond)
	requireCarrier(t, s, extapi.CarrierTCP, extapi.FallbackPeer)
	exchange(t, s, c)
}

func TestServerSpeaksFirst(t *testing.T) {
	speaker := ListenConfig{Config: Config{PrefaceTimeout: 5 * time.Second, ServerSpeaksFirst: true}}
	inWorld(t, fiftyMbit, speaker, func(t *testing.T, w *world) {
		c := w.stranger(t)
		begin := time.Now()
		s, err := w.listener.AcceptMultipath(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(begin), prefaceGrace)
		exchange(t, s, c)

		client, server := w.accepted(t, Config{Mode: ModeStream, RequireMultipath: true})
		requireCarrier(t, server, extapi.CarrierStream, extapi.FallbackNone)
		exchange(t, server, client)
	})
}

func TestSilentPeersDoNotBlockOthers(t *testing.T) {
	l := listen(t, ListenConfig{Config: Config{PrefaceTimeout: time.Minute}})
	for range 10 {
		rawDial(t, l.Addr().String())
	}
	c := rawDial(t, l.Addr().String())
	io.WriteString(c, "hello")
	begin := time.Now()
	accept(t, l)
	require.Less(t, time.Since(begin), 2*time.Second)
}

func TestThousandSilentPeersAreReaped(t *testing.T) {
	l := listen(t, ListenConfig{Config: Config{PrefaceTimeout: time.Minute}, Backlog: 64})
	before := runtime.NumGoroutine()
	for range 500 {
		rawDial(t, l.Addr().String())
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine()-before < 200 }, 5*time.Second, 5*time.Millisecond,
		"no goroutine for each silent peer, but while it is being turned away")
	client := dialTo(t, Dialer{Config: Config{Mode: ModeStream, RequireMultipath: true}}, l.Addr().String())
	server := accept(t, l)
	for !server.Multipath() { // those that had to make room
		server = accept(t, l)
	}
	exchange(t, client, server)
	begin := time.Now()
	require.NoError(t, l.Close())
	require.Less(t, time.Since(begin), 2*time.Second)
	exchange(t, client, server)
}

func TestSilentPeerThatMakesRoomIsHandedOutAtOnce(t *testing.T) {
	lc := ListenConfig{Config: Config{PrefaceTimeout: time.Minute}, Backlog: 2}
	inWorld(t, simnet.LinkConfig{}, lc, func(t *testing.T, w *world) {
		begin := time.Now()
		first := w.stranger(t)
		for range lc.Backlog {
			synctest.Wait()
			defer w.stranger(t).Close()
		}
		c, err := w.listener.Accept()
		require.NoError(t, err)
		require.Equal(t, first.LocalAddr().String(), c.RemoteAddr().String())
		require.Zero(t, time.Since(begin))
		require.NoError(t, c.Close())
		require.NoError(t, first.Close())
	})
}

func TestClosedBeforeItsFirstByteIsNotReturned(t *testing.T) {
	l := listen(t, ListenConfig{})
	rawDial(t, l.Addr().String()).Close()
	require.NoError(t, l.SetDeadline(time.Now().Add(400*time.Millisecond)))
	_, err := l.Accept()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestPartialPrefaceThenData(t *testing.T) {
	l := listen(t, ListenConfig{})
	c := rawDial(t, l.Addr().String())
	io.WriteString(c, preface[:7])
	time.Sleep(20 * time.Millisecond)
	io.WriteString(c, "no, data")
	s := accept(t, l)
	b := make([]byte, 15)
	_, err := io.ReadFull(s, b)
	require.NoError(t, err)
	require.Equal(t, preface[:7]+"no, data", string(b))
}

func TestLatePrefaceResets(t *testing.T) {
	l := listen(t, ListenConfig{Config: Config{PrefaceTimeout: 20 * time.Millisecond}})
	c := rawDial(t, l.Addr().String())
	s := accept(t, l)
	_, err := io.WriteString(c, preface)
	require.NoError(t, err)
	n, err := s.Read(make([]byte, 100))
	require.Zero(t, n, "a preface is no data")
	require.ErrorIs(t, err, syscall.ECONNRESET)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// sleepy is a connection in a process that gets no processor for a while: until wake, or else until the first deadline has passed.
type sleepy struct {
	net.Conn
	wake time.Time
}

func (c *sleepy) SetReadDeadline(t time.Time) error {
	if c.wake.IsZero() {
		c.wake = t.Add(10 * time.Millisecond)
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *sleepy) Read(b []byte) (int, error) {
	time.Sleep(time.Until(c.wake))
	return c.Conn.Read(b)
}

// hesitant is a connection whose first segment is lost: it arrives as late as it is sent again.
type hesitant struct {
	net.Conn
	until time.Time
}

func (c *hesitant) Write(b []byte) (int, error) {
	time.Sleep(time.Until(c.until))
	return c.Conn.Write(b)
}

// wrapped is the system, but for what it does to connections.
type wrapped struct {
	system
	dialled, accepted func(net.Conn) net.Conn
}

func (n *wrapped) Dial(ctx context.Context, spec DialSpec) (net.Conn, error) {
	c, err := n.system.Dial(ctx, spec)
	if err != nil || n.dialled == nil {
		return c, err
	}
	return n.dialled(c), nil
}

func (n *wrapped) Listen(ctx context.Context, spec ListenSpec) (net.Listener, error) {
	l, err := n.system.Listen(ctx, spec)
	return &wrappedListener{l, n.accepted}, err
}

type wrappedListener struct {
	net.Listener
	accepted func(net.Conn) net.Conn
}

func (l *wrappedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.accepted(c), nil
}

// A deadline that has passed wins over bytes that are there, in package net as well: a busy server must not take for silent whose
// preface lies in the socket.
func TestPrefaceThatCameWhileTheServerSlept(t *testing.T) {
	tr := &Transport{Network: &wrapped{accepted: func(c net.Conn) net.Conn { return &sleepy{Conn: c} }}}
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	l := listen(t, ListenConfig{Transport: tr})
	client, server := connect(t, Dialer{Config: Config{Mode: ModeStream, RequireMultipath: true}}, l)
	requireCarrier(t, server, extapi.CarrierStream, extapi.FallbackNone)
	exchange(t, client, server)
}

func TestRequiringListenerWaitsForALatePreface(t *testing.T) {
	late := func(c net.Conn) net.Conn { return &hesitant{c, time.Now().Add(100 * time.Millisecond)} }
	tr := &Transport{Network: &wrapped{dialled: late}}
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	l := listen(t, ListenConfig{Config: Config{RequireMultipath: true, PrefaceTimeout: 10 * time.Millisecond}})
	client, server := connect(t, Dialer{Transport: tr, Config: Config{Mode: ModeStream, RequireMultipath: true}}, l)
	requireCarrier(t, server, extapi.CarrierStream, extapi.FallbackNone)
	exchange(t, client, server)
}

func TestGarbageAfterPreface(t *testing.T) {
	l := listen(t, ListenConfig{Config: Config{HandshakeTimeout: 200 * time.Millisecond}})
	c := rawDial(t, l.Addr().String())
	io.WriteString(c, preface+"GET / HTTP/1.1\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := io.Copy(io.Discard, c)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it is closed")
	slow := rawDial(t, l.Addr().String())
	io.WriteString(slow, preface[:20])
	_ = slow.SetReadDeadline(time.Now().Add(5 * time.Second))
	client, server := connect(t, Dialer{Config: streamOnly}, l)
	exchange(t, client, server)
}

func TestRequiringListenerTurnsPlainPeersAway(t *testing.T) {
	tr := newTransport(t)
	l, err := (&ListenConfig{Transport: tr}).Listen(t.Context(), "mptcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c := rawDial(t, l.Addr().String())
	io.WriteString(c, "hello")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	client, server := connect(t, Dialer{}, l)
	exchange(t, client, server)
	require.True(t, server.Multipath())
}

func TestConfigForPeer(t *testing.T) {
	asked := make(chan netip.AddrPort, 8)
	l := listen(t, ListenConfig{ConfigForPeer: func(local, remote netip.AddrPort) (*Config, error) {
		asked <- remote
		if len(asked) > 1 {
			return nil, errors.New("one is enough")
		}
		return &Config{Checksum: true}, nil
	}})
	client, server := connect(t, Dialer{Config: streamOnly}, l)
	require.True(t, server.Info().Checksum)
	require.Eventually(t, func() bool { return client.Info().Checksum }, time.Second, time.Millisecond)
	require.Equal(t, client.LocalAddr().String(), (<-asked).String())
	asked <- netip.AddrPort{}
	c := rawDial(t, l.Addr().String())
	io.WriteString(c, "x")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// A join belongs to its connection, whichever listener it comes through: the other listener's ConfigForPeer is not
// asked, changes nothing, and Accept there returns nothing.
func TestJoinThroughAnotherListener(t *testing.T) {
	tr := newTransport(t)
	first := listen(t, ListenConfig{Transport: tr, ConfigForPeer: func(local, remote netip.AddrPort) (*Config, error) {
		return &Config{Checksum: true}, nil
	}})
	asked := make(chan netip.AddrPort, 1)
	second := listen(t, ListenConfig{Transport: tr, ConfigForPeer: func(local, remote netip.AddrPort) (*Config, error) {
		asked <- remote
		return nil, errors.New("nobody comes in here")
	}})
	client, server := connect(t, Dialer{Config: streamOnly}, first)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := client.OpenSubflow(ctx, netip.AddrPort{}, addrPort(second.Addr()))
	require.NoError(t, err)
	waitSubflows(t, server, 2)
	exchange(t, client, server)
	require.True(t, server.Info().Checksum)
	require.Empty(t, asked)
	require.NoError(t, second.SetDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = second.Accept()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	c := rawDial(t, second.Addr().String()) // the door is shut indeed
	io.WriteString(c, "x")
	require.Equal(t, addrPort(c.LocalAddr()), <-asked)
}

func TestListenerDeadlineAndClose(t *testing.T) {
	l := listen(t, ListenConfig{})
	require.NoError(t, l.SetDeadline(time.Now().Add(-time.Second)))
	_, err := l.Accept()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())

	require.NoError(t, l.SetDeadline(time.Time{}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = l.AcceptMultipath(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	got := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		got <- err
	}()
	time.Sleep(10 * time.Millisecond)
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-got, net.ErrClosed)
	require.ErrorIs(t, l.Close(), net.ErrClosed)
	require.ErrorIs(t, l.SetDeadline(time.Time{}), net.ErrClosed)
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = net.Dial("tcp", l.Addr().String())
	require.Error(t, err)
}

func TestBacklogTurnsTheNewestAway(t *testing.T) {
	l := listen(t, ListenConfig{Backlog: 2})
	for range 5 {
		c := rawDial(t, l.Addr().String())
		io.WriteString(c, "x")
		time.Sleep(5 * time.Millisecond)
	}
	require.Eventually(t, func() bool { return len(l.queue) == 2 }, time.Second, time.Millisecond)
	accept(t, l)
	accept(t, l)
	require.NoError(t, l.SetDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := l.Accept()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// starved is a listener of a Network whose system has run out of descriptors for a while.
type starved struct {
	net.Listener
	left int
}

func (s *starved) Accept() (net.Conn, error) {
	if s.left > 0 {
		s.left--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return s.Listener.Accept()
}

type starvedNet struct{ system }

func (n *starvedNet) Listen(ctx context.Context, spec ListenSpec) (net.Listener, error) {
	l, err := n.system.Listen(ctx, spec)
	return &starved{Listener: l, left: 4}, err
}

func TestAcceptSurvivesEMFILE(t *testing.T) {
	tr := &Transport{Network: &starvedNet{}}
	t.Cleanup(func() { tr.Close() })
	l := listen(t, ListenConfig{Transport: tr})
	client, server := connect(t, Dialer{}, l)
	exchange(t, client, server)
}
