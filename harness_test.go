package mptcp

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
)

func TestMain(m *testing.M) {
	code := m.Run()
	DefaultTransport.Close()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if n := pool.Outstanding(); n != 0 && code == 0 {
		fmt.Fprintln(os.Stderr, n, "pooled buffers were never released")
		code = 1
	}
	os.Exit(code)
}

// newTransport returns a Transport that ends with the test.
func newTransport(t testing.TB) *Transport {
	tr := &Transport{}
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr
}

// listen returns a listener of our own on loopback that ends with the test.
func listen(t testing.TB, lc ListenConfig) *Listener {
	if lc.Transport == nil {
		lc.Transport = newTransport(t)
	}
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// accept waits for the next connection, for at most 5 s.
func accept(t testing.TB, l *Listener) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := l.AcceptMultipath(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// dialTo dials, for at most 5 s.
func dialTo(t testing.TB, d Dialer, address string) *Conn {
	t.Helper()
	if d.Transport == nil {
		d.Transport = newTransport(t)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := d.DialMultipath(ctx, "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// connect returns both ends of a connection through l. The client speaks first, as most do.
func connect(t testing.TB, d Dialer, l *Listener) (client, server *Conn) {
	t.Helper()
	client = dialTo(t, d, l.Addr().String())
	_, err := client.Write([]byte("?"))
	require.NoError(t, err)
	server = accept(t, l)
	var b [1]byte
	_, err = io.ReadFull(server, b[:])
	require.NoError(t, err)
	return client, server
}

// exchange sends a few bytes both ways.
func exchange(t testing.TB, a, b net.Conn) {
	t.Helper()
	for _, dir := range [][2]net.Conn{{a, b}, {b, a}} {
		_, err := dir[0].Write([]byte("over all paths"))
		require.NoError(t, err)
		buf := make([]byte, 14)
		_, err = io.ReadFull(dir[1], buf)
		require.NoError(t, err)
		require.Equal(t, "over all paths", string(buf))
	}
}

// serve runs f on every connection of a plain TCP listener that knows nothing of multipath, and counts them.
func serve(t testing.TB, f func(net.Conn)) (address string, accepted func() int) {
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	conns := make(chan net.Conn, 4096)
	n := make(chan int, 1)
	n <- 0
	go func() {
		defer close(conns)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n <- <-n + 1
			conns <- c
			go f(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		for c := range conns {
			c.Close()
		}
	})
	return l.Addr().String(), func() int { v := <-n; n <- v; return v }
}

// requireKernel skips where the operating system has no MPTCP.
func requireKernel(t testing.TB) {
	if err := kernelMPTCP(); err != nil {
		t.Skipf("no kernel MPTCP here: %v", err)
	}
}

// streamOnly is the Config of a dialer whose plain connections are plain TCP.
var streamOnly = Config{Mode: ModeStream}

func requireCarrier(t testing.TB, c *Conn, carrier extapi.Carrier, why extapi.FallbackReason) {
	t.Helper()
	i := c.Info()
	require.Equal(t, carrier.String(), i.Carrier.String())
	require.Equal(t, why.String(), i.Fallback.String())
}
