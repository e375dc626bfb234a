package netlab

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/onpath"
)

const prefix = "netlab-"

// sweep removes what a run left behind whose process was killed.
func sweep() {
	found, _ := filepath.Glob("/run/netns/" + prefix + "*")
	for _, f := range found {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(f), prefix), "-")
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			_ = exec.Command("ip", "netns", "del", filepath.Base(f)).Run()
		}
	}
}

var made atomic.Int32

func namespace(t testing.TB) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("making network namespaces needs ip(8): " + err.Error())
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("there are no TUN devices here: " + err.Error())
	}
	name := fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), made.Add(1))
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		t.Skipf("no network namespace can be made here: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
	// Package net finds out once whether there is IPv6, and asks the loopback interface of where it is.
	require.NoError(t, exec.Command("ip", "-n", name, "link", "set", "lo", "up").Run())
	// bbr, the default on some machines, takes seconds to find the rate of a short queue.
	_ = exec.Command("ip", "netns", "exec", name, "sysctl", "-qw", "net.ipv4.tcp_congestion_control=reno").Run()
	return name
}

const nearAddr, farAddr = "10.99.0.1", "10.99.0.2"

// path is a lab between two namespaces of its own.
type path struct {
	t         testing.TB
	near, far string
	*Lab
}

func newPath(t testing.TB, elements ...onpath.Element) *path {
	t.Helper()
	p := &path{t: t, near: namespace(t), far: namespace(t)}
	var err error
	p.Lab, err = Start(Config{
		Near:     End{Namespace: p.near, Addrs: []netip.Prefix{netip.MustParsePrefix(nearAddr + "/24"), netip.MustParsePrefix("fd99::1/64")}},
		Far:      End{Namespace: p.far, Addrs: []netip.Prefix{netip.MustParsePrefix(farAddr + "/24"), netip.MustParsePrefix("fd99::2/64")}, Routes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		Elements: elements,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// within runs f on a thread in the namespace: sockets that it makes belong there.
func within[T any](t testing.TB, ns string, f func() (T, error)) T {
	t.Helper()
	var v T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		var file *os.File
		if file, err = os.Open("/run/netns/" + ns); err != nil {
			return
		}
		defer file.Close()
		if err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err == nil {
			v, err = f()
		}
	}()
	<-done
	require.NoError(t, err)
	return v
}

// listen takes TCP connections at the far end.
func (p *path) listen() *net.TCPListener {
	l := within(p.t, p.far, func() (net.Listener, error) {
		return (&net.ListenConfig{}).Listen(p.t.Context(), "tcp", "[::]:0")
	})
	p.t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

// dial connects from the near end; multipath asks the kernel for MPTCP.
func (p *path) dial(l *net.TCPListener, multipath bool) (client, server *net.TCPConn) {
	p.t.Helper()
	c := within(p.t, p.near, func() (net.Conn, error) {
		d := net.Dialer{Timeout: 20 * time.Second}
		d.SetMultipathTCP(multipath)
		return d.Dial("tcp4", net.JoinHostPort(farAddr, strconv.Itoa(l.Addr().(*net.TCPAddr).Port)))
	}).(*net.TCPConn)
	p.t.Cleanup(func() { _ = c.Close() })
	require.NoError(p.t, l.SetDeadline(time.Now().Add(20*time.Second)))
	s, err := l.AcceptTCP()
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = s.Close() })
	return c, s
}

// transfer sends n pseudo-random bytes and compares what arrives; it returns how long the receiver took.
func transfer(t testing.TB, from, to *net.TCPConn, n int) time.Duration {
	t.Helper()
	data := make([]byte, n)
	_, _ = mrand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(data)
	deadline := time.Now().Add(60 * time.Second)
	require.NoError(t, from.SetDeadline(deadline))
	require.NoError(t, to.SetDeadline(deadline))
	start := time.Now()
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(data)
		sent <- err
	}()
	got := sha256.New()
	_, err := io.CopyN(got, to, int64(n))
	took := time.Since(start)
	require.NoError(t, err)
	require.NoError(t, <-sent)
	want := sha256.Sum256(data)
	require.Equal(t, want[:], got.Sum(nil))
	return took
}

// echo answers datagrams at the far end.
func (p *path) echo() (client net.Conn) {
	s := within(p.t, p.far, func() (net.PacketConn, error) { return net.ListenPacket("udp", "[::]:0") })
	p.t.Cleanup(func() { _ = s.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := s.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = s.WriteTo(buf[:n], from)
		}
	}()
	c := within(p.t, p.near, func() (net.Conn, error) {
		return net.Dial("udp6", fmt.Sprintf("[fd99::2]:%d", s.LocalAddr().(*net.UDPAddr).Port))
	})
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// The round trip is twice the delay. A busy machine adds to it, hence the shortest of several counts.
func TestNamespaceDelay(t *testing.T) {
	for _, delay := range []time.Duration{0, 5 * time.Millisecond, 40 * time.Millisecond} {
		p := newPath(t, onpath.NewLink(onpath.LinkConfig{Delay: delay}, nil))
		c := p.echo()
		var trips []time.Duration
		for i := range 20 {
			start := time.Now()
			_, err := fmt.Fprint(c, i)
			require.NoError(t, err)
			require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
			_, err = c.Read(make([]byte, 10))
			require.NoError(t, err)
			trips = append(trips, time.Since(start))
		}
		slices.Sort(trips)
		t.Logf("delay %v: shortest %v, median %v", delay, trips[0], trips[10])
		require.GreaterOrEqual(t, trips[0], 2*delay)
		require.Less(t, trips[0], 2*delay+8*time.Millisecond)
	}
}

// A transfer gets the rate, less headers and slow start, and never more.
func TestNamespaceRate(t *testing.T) {
	for _, mbit := range []float64{4, 16} {
		rate := mbit * 1e6 / 8
		p := newPath(t, onpath.NewLink(onpath.LinkConfig{Rate: int64(rate), Delay: 2 * time.Millisecond}, nil))
		c, s := p.dial(p.listen(), false)
		n := int(rate * 1.2)
		got := float64(n) / transfer(t, c, s, n).Seconds()
		t.Logf("%v Mbit/s: payload at %.1f", mbit, got*8/1e6)
		require.Less(t, got, rate)
		require.Greater(t, got, 0.6*rate)
	}
}

// The share of datagrams that come back is (1-p)^2, within five standard deviations.
func TestNamespaceLoss(t *testing.T) {
	const loss, n = 0.1, 2000
	p := newPath(t, onpath.Loss(loss, mrand.NewChaCha8([32]byte{1})))
	c := p.echo()
	back := make(chan int)
	go func() {
		count := 0
		for {
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
			if _, err := c.Read(make([]byte, 10)); err != nil {
				back <- count
				return
			}
			count++
		}
	}()
	for i := range n {
		_, err := fmt.Fprint(c, i)
		require.NoError(t, err)
		if i%20 == 0 {
			time.Sleep(time.Millisecond) // a receive buffer is not what this is about
		}
	}
	q := (1 - loss) * (1 - loss)
	require.InDelta(t, n*q, <-back, 5*math.Sqrt(n*q*(1-q)))
}

func named(t testing.TB, spec string) onpath.Element {
	t.Helper()
	e, err := onpath.Named(spec, mrand.NewChaCha8([32]byte{7}))
	require.NoError(t, err)
	return e
}

// The kernel's TCP at both ends gets its bytes through boxes that do their work right.
func TestNamespaceTCPThroughBoxes(t *testing.T) {
	for _, spec := range []string{
		"renumber", "split=500", "split-first=1000", "coalesce=8000", "no-holes", "normalize", "early-ack", "split-proxy", "syn-proxy",
		"thin-acks=4", "unseen-acks", "window=20000", "nat=192.0.2.1", "bleach-ecn", "strip-kind=8", "mtu=1300", "alg=never/seen",
	} {
		t.Run(spec, func(t *testing.T) {
			p := newPath(t, named(t, spec), onpath.NewLink(onpath.LinkConfig{Delay: time.Millisecond}, nil))
			c, s := p.dial(p.listen(), false)
			transfer(t, c, s, 1<<20)
			transfer(t, s, c, 1<<18)
			if spec == "nat=192.0.2.1" {
				require.Equal(t, "192.0.2.1", s.RemoteAddr().(*net.TCPAddr).IP.String())
			}
			require.NoError(t, c.CloseWrite())
			_, err := s.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

// And over a link with everything that goes wrong on one.
func TestNamespaceTCPOverABadLink(t *testing.T) {
	r := mrand.NewChaCha8([32]byte{9})
	p := newPath(t,
		onpath.Loss(0.01, r), onpath.Duplicate(onpath.Sometimes(0.01, r), 1), onpath.Corrupt(onpath.Sometimes(0.01, r), r),
		&onpath.Reorder{Probability: 0.02, By: 3 * time.Millisecond, Random: r},
		onpath.NewLink(onpath.LinkConfig{Rate: 10e6, Delay: 3 * time.Millisecond, Jitter: 2 * time.Millisecond}, r))
	c, s := p.dial(p.listen(), false)
	transfer(t, c, s, 1<<20)
	require.Positive(t, p.Stats().In[onpath.Forward].Packets)
}

// What the kernel's MPTCP says of boxes that take its options away, or leave them.
func TestNamespaceMPTCPMeetsBoxes(t *testing.T) {
	for spec, multipath := range map[string]bool{
		"bleach-ecn": true, "renumber": true, "split=700": true, "nat=192.0.2.1": true, "strip-add-addr": true, "twice=data": true,
		"strip=syn": false, "strip=synack": false, "blank=syn": false, "bad-option=syn": false, "strip=all": false, "syn-proxy": false,
	} {
		t.Run(spec, func(t *testing.T) {
			p := newPath(t, named(t, spec))
			enabled, err := exec.Command("ip", "netns", "exec", p.near, "cat", "/proc/sys/net/mptcp/enabled").Output()
			if err != nil || strings.TrimSpace(string(enabled)) != "1" {
				t.Skip("the kernel has no MPTCP")
			}
			c, s := p.dial(p.listen(), true)
			transfer(t, c, s, 1<<18)
			transfer(t, s, c, 1<<18)
			got, err := c.MultipathTCP()
			require.NoError(t, err)
			require.Equal(t, multipath, got)
		})
	}
}

// A gateway that rewrites the text of a protocol.
func TestNamespaceALG(t *testing.T) {
	p := newPath(t, named(t, "alg=10.99.0.1/192.0.2.100"))
	c, s := p.dial(p.listen(), false)
	for range 3 {
		_, err := c.Write([]byte("PORT 10.99.0.1\n"))
		require.NoError(t, err)
		got := make([]byte, len("PORT 192.0.2.100\n"))
		require.NoError(t, s.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, err = io.ReadFull(s, got)
		require.NoError(t, err)
		require.Equal(t, "PORT 192.0.2.100\n", string(got))
	}
	transfer(t, s, c, 1<<16)
	transfer(t, c, s, 1<<16)
}

func TestNamespaceInterfacesComeAndGo(t *testing.T) {
	near, far := namespace(t), namespace(t)
	_, err := Start(Config{Near: End{Namespace: near, Name: "left"}, Far: End{Namespace: "there-is-no-such-namespace"}})
	require.ErrorContains(t, err, "far end")
	gone := func(ns, name string) bool {
		return exec.Command("ip", "-n", ns, "link", "show", name).Run() != nil
	}
	require.True(t, gone(near, "left"), "nothing is left behind")
	_, err = Start(Config{Near: End{Namespace: near, Addrs: []netip.Prefix{{}}}, Far: End{Namespace: far}})
	require.ErrorContains(t, err, "ip -n")
	l, err := Start(Config{Near: End{Namespace: near, Name: "left"}, Far: End{Namespace: far}, MTU: 1280})
	require.NoError(t, err)
	a, b := l.Names()
	require.Equal(t, "left lab0", a+" "+b)
	out, err := exec.Command("ip", "-n", far, "link", "show", b).Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "mtu 1280")
	require.NoError(t, exec.Command("ip", "-n", far, "link", "del", b).Run())
	select {
	case <-l.Done():
	case <-time.After(20 * time.Second):
		t.Fatal("an interface is gone and nobody has noticed")
	}
	require.ErrorContains(t, l.Close(), b)
	require.True(t, gone(near, a))
}

// BenchmarkNamespaceTransfer is how much the emulator carries: kernel TCP, MTU 1500.
func BenchmarkNamespaceTransfer(b *testing.B) {
	for name, elements := range map[string][]onpath.Element{
		"nothing": nil,
		"delay":   {onpath.NewLink(onpath.LinkConfig{Delay: 5 * time.Millisecond}, nil)},
		"boxes": {
			onpath.Renumber{Forward: 1 << 31}.Element(), &onpath.NoHoles{},
			onpath.NewLink(onpath.LinkConfig{Rate: 2e9, Delay: time.Millisecond, Queue: 10e6}, nil),
		},
	} {
		b.Run(name, func(b *testing.B) {
			p := newPath(b, elements...)
			c, s := p.dial(p.listen(), false)
			const n = 64 << 20
			transfer(b, c, s, n/4)
			b.SetBytes(n)
			var took time.Duration
			for b.Loop() {
				took += transfer(b, c, s, n)
			}
			b.ReportMetric(float64(b.N)*n*8/1e6/took.Seconds(), "Mbit/s")
		})
	}
}
