package mptcp

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// plainServer is a listener of package net without multipath; what it accepts comes through the channel.
func plainServer(t *testing.T) (addr string, conns <-chan net.Conn) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	ch := make(chan net.Conn, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			ch <- c
		}
	}()
	return l.Addr().String(), ch
}

// take is the next connection of a plainServer.
func take(t *testing.T, conns <-chan net.Conn) net.Conn {
	t.Helper()
	select {
	case c := <-conns:
		t.Cleanup(func() { c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		return c
	case <-time.After(5 * time.Second):
		require.Fail(t, "nobody connected")
		return nil
	}
}

// Bytes get lost in the kernel on MPTCP sockets that have fallen back: none is handed out.
func TestNoFallenBackKernelSocketIsHandedOut(t *testing.T) {
	requireKernel(t)
	for _, cfg := range []Config{{Mode: ModeKernel}, {Discovery: DiscoverNone}} {
		addr, conns := plainServer(t)
		d := Dialer{Config: cfg, Transport: newTransport(t)}

		c := dialTo(t, d, addr)
		unused, used := take(t, conns), take(t, conns)
		_, err := unused.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "closed without a byte")
		requirePlainSocket(t, c, used)

		again := dialTo(t, d, addr)
		requirePlainSocket(t, again, take(t, conns))
		require.Empty(t, conns, "that the peer does not speak it is remembered")
	}
}

// The TCP socket gets the local port that the kernel's MPTCP socket had a moment ago.
func TestFallenBackKernelSocketFreesItsPort(t *testing.T) {
	requireKernel(t)
	addr, conns := plainServer(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())

	d := Dialer{Config: Config{Mode: ModeKernel}, Transport: newTransport(t), LocalAddr: &net.TCPAddr{Port: port}}
	c := dialTo(t, d, addr)
	require.Equal(t, port, c.LocalAddr().(*net.TCPAddr).Port)
	take(t, conns)
	requirePlainSocket(t, c, take(t, conns))
}

// requirePlainSocket says that c leads to server over plain TCP, with no MPTCP socket beneath.
func requirePlainSocket(t *testing.T, c *Conn, server net.Conn) {
	t.Helper()
	require.Equal(t, extapi.CarrierTCP.String(), c.Info().Carrier.String())
	require.NotEqual(t, extapi.FallbackNone, c.Info().Fallback)
	require.False(t, isMPTCPSocket(c.b.(*plain).nc))
	require.Equal(t, c.LocalAddr().String(), server.RemoteAddr().String())
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(server, make([]byte, 1))
	require.NoError(t, err)
}
