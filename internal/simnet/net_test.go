package simnet

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/nettest"

	"github.com/mptcp-go/mptcp/extapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
func ip(s string) netip.Addr     { return netip.MustParseAddr(s) }

// twoHosts are a client with eth0 and wlan0, and a server.
func twoHosts(link LinkConfig) (n *Net, client, server *Host) {
	n = NewNet(1, PipeConfig{})
	client, server = n.Host("client"), n.Host("server")
	client.AddInterface("eth0", extapi.KindEthernet, link, link, ip("10.0.0.1"), ip("fd00::1"))
	client.AddInterface("wlan0", extapi.KindWiFi, link, link, ip("10.0.1.1"))
	server.AddInterface("eth0", extapi.KindEthernet, LinkConfig{}, LinkConfig{}, ip("10.0.9.9"), ip("fd00::9"))
	return n, client, server
}

func connect(t *testing.T, client, server *Host, local string) (c, s *Conn, l *Listener) {
	l, err := server.Listen(ap("0.0.0.0:80"))
	require.NoError(t, err)
	c0, err := client.Dial(t.Context(), ap(local), ap("10.0.9.9:80"))
	require.NoError(t, err)
	s0, err := l.Accept()
	require.NoError(t, err)
	return c0.(*Conn), s0.(*Conn), l
}

func TestConnIsANetConn(t *testing.T) {
	for name, link := range map[string]LinkConfig{"instant": {}, "slow": {Rate: 100e6, Delay: time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				n, client, server := twoHosts(link)
				a, b, _ := connect(t, client, server, "10.0.0.1:0")
				return a, b, n.Close, nil
			})
		})
	}
}

func TestRateAndBlackholeUnderSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, client, server := twoHosts(LinkConfig{Rate: 1e6, Delay: 20 * time.Millisecond})
		defer n.Close()
		start := time.Now()
		c, s, _ := connect(t, client, server, "10.0.1.1:0")
		require.Equal(t, "10.0.1.1", c.LocalAddr().(*net.TCPAddr).IP.String())
		require.InDelta(t, 0.06, time.Since(start).Seconds(), 0.002, "three times the delay")

		want := bytes.Repeat([]byte("0123456789abcdef"), 1<<18)
		go func() {
			_, _ = c.Write(want)
			_ = c.CloseWrite()
		}()
		wlan := client.ifaces[2]
		time.AfterFunc(time.Second, func() { wlan.Blackhole(true) })
		time.AfterFunc(2*time.Second, func() { wlan.Blackhole(false) })
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
		ideal := float64(len(want)) / (1e6 * 1448 / 1514)
		require.InDelta(t, ideal+1, time.Since(start).Seconds(), 1.5)

		_, err = s.Write([]byte("half-closed"))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		back, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "half-closed", string(back))
	})
}

func TestDialErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, client, _ := twoHosts(LinkConfig{Delay: time.Millisecond})
		defer n.Close()
		_, err := client.Dial(t.Context(), netip.AddrPort{}, ap("10.0.9.9:80"))
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		_, err = client.Dial(t.Context(), ap("10.7.7.7:0"), ap("10.0.9.9:80"))
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
		_, err = client.DialVia(t.Context(), "wlan0", netip.AddrPort{}, ap("[fd00::9]:80"))
		require.ErrorIs(t, err, syscall.ENETUNREACH)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err = client.Dial(ctx, netip.AddrPort{}, ap("10.0.200.1:80"))
		require.ErrorIs(t, err, context.DeadlineExceeded, "nobody answers")
	})
}

func TestListenerRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, client, server := twoHosts(LinkConfig{Delay: time.Millisecond})
		defer n.Close()
		l, err := server.Listen(ap("[::]:80"))
		require.NoError(t, err)
		_, err = server.Listen(ap("[::]:80"))
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		_, err = server.Listen(ap("10.0.0.1:80"))
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
		for _, to := range []string{"10.0.9.9:80", "[fd00::9]:80"} {
			c, err := client.Dial(t.Context(), netip.AddrPort{}, ap(to))
			require.NoError(t, err)
			s, err := l.Accept()
			require.NoError(t, err)
			require.Equal(t, c.LocalAddr().String(), s.RemoteAddr().String())
		}
		c, err := server.Dial(t.Context(), netip.AddrPort{}, ap("127.0.0.1:80"))
		require.NoError(t, err, "loopback")
		require.Equal(t, "127.0.0.1", c.LocalAddr().(*net.TCPAddr).IP.String())
		require.NoError(t, l.SetDeadline(time.Now().Add(-time.Second)))
		_, err = l.Accept()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, l.Close())
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		time.Sleep(time.Second)
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET, "never accepted")
	})
}

func TestAddressesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, client, server := twoHosts(LinkConfig{Delay: time.Millisecond})
		defer n.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ticks := client.WatchAddrs(ctx)
		require.Len(t, client.Addrs(), 3)
		c, s, _ := connect(t, client, server, "10.0.1.1:0")
		wlan := client.ifaces[2]
		wlan.RemoveAddr(ip("10.0.1.1"))
		<-ticks
		require.Len(t, client.Addrs(), 2)
		_, err := client.Dial(t.Context(), ap("10.0.1.1:0"), ap("10.0.9.9:80"))
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)

		_, err = c.Write([]byte("x"))
		require.NoError(t, err, "a kernel does not tell")
		require.NoError(t, s.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = s.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		wlan.AddAddr(ip("10.0.1.1"))
		<-ticks
		require.NoError(t, s.SetReadDeadline(time.Time{}))
		_, err = s.Read(make([]byte, 1))
		require.NoError(t, err)
		cancel()
		_, open := <-ticks
		require.False(t, open)
	})
}

func TestCutIsAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, client, server := twoHosts(LinkConfig{Delay: time.Millisecond})
		defer n.Close()
		c, s, _ := connect(t, client, server, "10.0.0.1:0")
		client.ifaces[2].Cut()
		_, err := c.Write([]byte("x"))
		require.NoError(t, err, "another interface")
		client.ifaces[1].Cut()
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		for err = nil; err == nil; {
			_, err = s.Read(make([]byte, 1))
		}
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

func TestCloseDeliversPastThePeersFIN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, client, server := twoHosts(LinkConfig{Rate: 1e6, Delay: time.Millisecond})
		defer n.Close()
		c, s, _ := connect(t, client, server, "10.0.0.1:0")
		want := make([]byte, 1<<20)
		_, err := c.Write(want)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.NoError(t, s.CloseWrite())
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.Len(t, got, len(want))
	})
}

func TestWriterToAClosedConnIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, client, server := twoHosts(LinkConfig{Delay: time.Millisecond})
		defer n.Close()
		c, s, _ := connect(t, client, server, "10.0.0.1:0")
		require.NoError(t, s.Close())
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

func TestSynctestRunsAreReproducible(t *testing.T) {
	run := func() (took time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			n, client, server := twoHosts(LinkConfig{Rate: 3e6, Delay: 7 * time.Millisecond, Loss: 0.01})
			defer n.Close()
			start := time.Now()
			c, s, _ := connect(t, client, server, "10.0.0.1:0")
			go func() {
				_, _ = c.Write(make([]byte, 1<<20))
				_ = c.Close()
			}()
			_, err := io.Copy(io.Discard, s)
			require.NoError(t, err)
			took = time.Since(start)
		})
		return took
	}
	require.Equal(t, run(), run())
}

func TestLookup(t *testing.T) {
	n, _, _ := twoHosts(LinkConfig{})
	defer n.Close()
	n.SetName("server.test", ip("10.0.9.9"), ip("fd00::9"))
	got, err := n.LookupNetIP(t.Context(), "ip6", "server.test")
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{ip("fd00::9")}, got)
	_, err = n.LookupNetIP(t.Context(), "ip", "nobody.test")
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	require.True(t, dns.IsNotFound)
}
