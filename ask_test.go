package mptcp

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

func TestDiscoveryFindsOurListener(t *testing.T) {
	l := listen(t, ListenConfig{})
	tr := newTransport(t)
	for range 3 { // unknown, then remembered
		client, server := connect(t, Dialer{Transport: tr}, l)
		requireCarrier(t, client, extapi.CarrierStream, extapi.FallbackNone)
		requireCarrier(t, server, extapi.CarrierStream, extapi.FallbackNone)
		exchange(t, client, server)
	}
	require.NoError(t, l.SetDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := l.Accept()
	require.Error(t, err, "the plain connection beside the question is never handed out")
}

// strangers are servers that know nothing of multipath.
var strangers = []struct {
	name  string
	serve func(net.Conn)
	check func(t *testing.T, c *Conn)
}{
	{"echo", func(c net.Conn) { io.Copy(c, c) }, func(t *testing.T, c *Conn) {
		_, err := c.Write([]byte("ping"))
		require.NoError(t, err)
		b := make([]byte, 4)
		_, err = io.ReadFull(c, b)
		require.NoError(t, err)
		require.Equal(t, "ping", string(b), "and no byte of the question")
	}},
	{"silent", func(c net.Conn) {}, func(t *testing.T, c *Conn) {}},
	{"speaks first", func(c net.Conn) { io.WriteString(c, "220 ready\r\n") }, func(t *testing.T, c *Conn) {
		b := make([]byte, 11)
		_, err := io.ReadFull(c, b)
		require.NoError(t, err)
		require.Equal(t, "220 ready\r\n", string(b))
	}},
	{"closes on nonsense", closeOnNonsense, func(t *testing.T, c *Conn) {
		_, err := io.WriteString(c, "HELLO\n")
		require.NoError(t, err)
		b := make([]byte, 3)
		_, err = io.ReadFull(c, b)
		require.NoError(t, err)
		require.Equal(t, "OK\n", string(b))
	}},
	{"answers an error", func(c net.Conn) {
		b := make([]byte, 512)
		c.Read(b)
		io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		c.Close()
	}, func(t *testing.T, c *Conn) {}},
}

func closeOnNonsense(c net.Conn) {
	b := make([]byte, 512)
	n, _ := c.Read(b)
	if string(b[:n]) == "HELLO\n" {
		io.WriteString(c, "OK\n")
		return
	}
	c.Close()
}

// inVain is how many connections the kernel's MPTCP costs at a peer that does not speak it: see dial.offer.
func inVain() int {
	if kernelMPTCP() != nil {
		return 0
	}
	return 1
}

func TestDiscoveryFallsBack(t *testing.T) {
	for _, s := range strangers {
		t.Run(s.name, func(t *testing.T) {
			address, accepted := serve(t, s.serve)
			tr := newTransport(t)
			begin := time.Now()
			c := dialTo(t, Dialer{Transport: tr}, address)
			require.Less(t, time.Since(begin), 2*time.Second)
			requireCarrier(t, c, extapi.CarrierTCP, extapi.FallbackDiscovery)
			s.check(t, c)
			require.Eventually(t, func() bool { return accepted() == 2+inVain() }, time.Second, time.Millisecond, "the question and the connection")

			require.Eventually(t, func() bool { return known(tr) == 1 }, 2*time.Second, time.Millisecond)
			begin = time.Now()
			c = dialTo(t, Dialer{Transport: tr}, address)
			require.Less(t, time.Since(begin), answerWait, "remembered")
			requireCarrier(t, c, extapi.CarrierTCP, extapi.FallbackDiscovery)
			require.Eventually(t, func() bool { return accepted() == 3+inVain() }, time.Second, time.Millisecond, "no second question")
		})
	}
}

func TestSilentPeerCostsTheAnswerWait(t *testing.T) {
	address, _ := serve(t, func(net.Conn) {})
	begin := time.Now()
	dialTo(t, Dialer{}, address)
	took := time.Since(begin)
	require.GreaterOrEqual(t, took, answerWait-20*time.Millisecond)
	require.Less(t, took, answerWait+500*time.Millisecond)
}

func TestRefusedDialAsksOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	tr := newTransport(t)
	_, err = (&Dialer{Transport: tr}).Dial("tcp", address)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "mptcp", op.Net)
	require.Equal(t, "dial", op.Op)
	var p *PathError
	require.ErrorAs(t, err, &p)
	require.Equal(t, address, p.Remote.String())
	require.Zero(t, known(tr), "nobody there is no verdict")
}

// countBytes serves as a server that tells what it was sent.
func countBytes(got chan<- string) func(net.Conn) {
	return func(c net.Conn) {
		b := make([]byte, 512)
		for {
			n, err := c.Read(b)
			if n > 0 {
				got <- string(b[:n])
			}
			if err != nil {
				return
			}
		}
	}
}

func TestNobodyIsAskedUnbidden(t *testing.T) {
	for name, cfg := range map[string]Config{
		"DiscoverNone": {Discovery: DiscoverNone},
		"ModeTCP":      {Mode: ModeTCP},
		"ModeKernel":   {Mode: ModeKernel},
		"MultipathOff": {Multipath: MultipathOff},
		"kernel, TCP":  {Mode: ModeKernel, Multipath: MultipathOff},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 8)
			address, accepted := serve(t, countBytes(got))
			c := dialTo(t, Dialer{Config: cfg}, address)
			_, err := c.Write([]byte("only this"))
			require.NoError(t, err)
			require.Equal(t, "only this", <-got)
			want := 1
			if cfg.Mode != ModeTCP && cfg.Multipath != MultipathOff {
				want += inVain()
			}
			require.Equal(t, want, accepted())
			require.Equal(t, extapi.CarrierTCP, c.Info().Carrier)
		})
	}
}

func TestOneQuestionForManyDials(t *testing.T) {
	var mu sync.Mutex
	questions := 0
	address, _ := serve(t, func(c net.Conn) {
		b := make([]byte, 64)
		n, _ := c.Read(b)
		if strings.Contains(string(b[:n]), "MPTCP/") {
			mu.Lock()
			questions++
			mu.Unlock()
		}
	})
	tr := newTransport(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			c, err := (&Dialer{Transport: tr}).Dial("tcp", address)
			if err == nil {
				c.Close()
			}
		})
	}
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, 1, questions)
}

func TestQuestionOutlivesTheDialThatBeganIt(t *testing.T) {
	l := listen(t, ListenConfig{})
	tr := newTransport(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := (&Dialer{Transport: tr}).DialContext(ctx, "tcp", l.Addr().String())
	require.ErrorIs(t, err, context.Canceled)

	address, _ := serve(t, func(net.Conn) {})
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = (&Dialer{Transport: tr}).DialContext(ctx, "tcp", address)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, isTimeout(err))
	require.Eventually(t, func() bool { return known(tr) == 1 }, 2*time.Second, time.Millisecond, "the verdict comes all the same")
}

func TestRequireMultipath(t *testing.T) {
	address, _ := serve(t, func(c net.Conn) { io.Copy(c, c) })
	l := listen(t, ListenConfig{})
	for name, cfg := range map[string]Config{
		"auto": {}, "stream": {Mode: ModeStream}, "kernel": {Mode: ModeKernel}, "tcp": {Mode: ModeTCP},
		"off": {Multipath: MultipathOff}, "public": {Discovery: DiscoverNone},
	} {
		cfg.RequireMultipath = true
		_, err := (&Dialer{Config: cfg, Transport: newTransport(t)}).Dial("tcp", address)
		require.ErrorIs(t, err, ErrNotMultipath, name)
	}
	_, err := (&Dialer{Transport: newTransport(t)}).Dial("mptcp", address)
	require.ErrorIs(t, err, ErrNotMultipath)
	tr := newTransport(t)
	c, err := (&Dialer{Transport: tr}).DialMultipath(t.Context(), "mptcp4", l.Addr().String())
	require.NoError(t, err)
	require.Equal(t, extapi.CarrierStream, c.Info().Carrier)
	c.Close()
}

func TestSecret(t *testing.T) {
	secret := Config{Secret: []byte("sesame")}
	l := listen(t, ListenConfig{Config: secret})
	client, server := connect(t, Dialer{Config: secret}, l)
	exchange(t, client, server)
	requireCarrier(t, client, extapi.CarrierStream, extapi.FallbackNone)

	tr := newTransport(t)
	for name, cfg := range map[string]Config{
		"wrong": {Secret: []byte("open"), HandshakeTimeout: time.Second},
		"tcp":   {Secret: []byte("sesame"), Mode: ModeTCP},
	} {
		_, err := (&Dialer{Config: cfg, Transport: tr}).Dial("tcp", l.Addr().String())
		require.Error(t, err, name)
	}
	address, _ := serve(t, func(c net.Conn) { io.Copy(c, c) })
	_, err := (&Dialer{Config: secret, Transport: tr}).Dial("tcp", address)
	require.ErrorIs(t, err, ErrNotMultipath, "no fallback")

	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, syscall.EAGAIN)
	require.NoError(t, l.SetDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = l.Accept()
	require.True(t, isTimeout(err), "no hand-out as plain TCP")
}

func TestNamedPeerSendsEarlyData(t *testing.T) {
	l := listen(t, ListenConfig{})
	client, server := connect(t, Dialer{Config: Config{Peers: []string{l.Addr().String()}}}, l)
	exchange(t, client, server)
	requireCarrier(t, client, extapi.CarrierStream, extapi.FallbackNone)

	address, _ := serve(t, func(c net.Conn) { io.Copy(c, c) })
	c := dialTo(t, Dialer{Config: Config{Peers: []string{"127.0.0.1"}}}, address)
	_, _ = c.Write([]byte("early"))
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, ErrNotMultipath, "what may have been parsed is not sent twice")
}

func TestBoundDialerIsPlain(t *testing.T) {
	l := listen(t, ListenConfig{})
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	tr := newTransport(t)
	client, _ := connect(t, Dialer{LocalAddr: local, Transport: tr}, l)
	requireCarrier(t, client, extapi.CarrierTCP, extapi.FallbackBound)

	client, _ = connect(t, Dialer{LocalAddr: local, Transport: tr, Config: Config{Multipath: MultipathOn}}, l)
	requireCarrier(t, client, extapi.CarrierStream, extapi.FallbackNone)
	require.True(t, client.LocalAddr().(*net.TCPAddr).IP.Equal(local.IP))

	client, _ = connect(t, Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4zero}, Transport: tr}, l)
	requireCarrier(t, client, extapi.CarrierStream, extapi.FallbackNone)

	_, err := (&Dialer{LocalAddr: local, Transport: tr, Config: Config{RequireMultipath: true}}).Dial("tcp", l.Addr().String())
	require.ErrorIs(t, err, ErrNotMultipath)
	_, err = (&Dialer{LocalAddr: local, Transport: tr}).Dial("tcp", "[::1]:80")
	require.ErrorContains(t, err, "no suitable address")
}

// known is the number of verdicts that a Transport remembers.
func known(tr *Transport) int {
	v := tr.use().verdicts
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.recent.Len()
}
