package mptcp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// hoarder is a relay with a long way behind it, which at some point acknowledges what it gets and passes on
// nothing more, and dies once it holds a mebibyte.
type hoarder struct {
	l      net.Listener
	to     string
	passes int64 // bytes that it still passes on
	held   atomic.Int64
	died   chan struct{}
}

// way is how long the relay takes to pass something on: then a window of a mebibyte is worth having.
const way = 30 * time.Millisecond

func newHoarder(t *testing.T, to string, passes int64) *hoarder {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &hoarder{l: l, to: to, passes: passes, died: make(chan struct{})}
	go h.serve()
	return h
}

// serve relays one connection, and swallows what comes after it.
func (h *hoarder) serve() {
	c, err := h.l.Accept()
	if err != nil {
		return
	}
	s, err := net.Dial("tcp", h.to)
	if err != nil {
		c.Close()
		return
	}
	go io.Copy(c, s)
	type piece struct {
		at time.Time
		b  []byte
	}
	queue := make(chan piece, 4096)
	defer close(queue)
	go func() {
		for p := range queue {
			time.Sleep(time.Until(p.at))
			s.Write(p.b)
		}
	}()
	for passed := int64(0); h.held.Load() < 1<<20; {
		b := make([]byte, 64<<10)
		n, err := c.Read(b)
		if err != nil {
			break
		}
		if passed < h.passes {
			queue <- piece{time.Now().Add(way), b[:n]}
			passed += int64(n)
		} else {
			h.held.Add(int64(n))
		}
	}
	h.l.Close()
	c.Close()
	s.Close()
	close(h.died)
}

// Delivery is the DATA_ACK: what a relay has acknowledged and takes along when it dies arrives all the same.
func TestRelayDiesWithAMebibyteInside(t *testing.T) {
	server := newTransport(t)
	l, err := (&ListenConfig{Transport: server}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	sums := make(chan []byte, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		h := sha256.New()
		io.Copy(h, c)
		sums <- h.Sum(nil)
	}()
	relay := newHoarder(t, l.Addr().String(), 64<<20)
	d := &Dialer{Transport: newTransport(t), Config: Config{
		Mode: ModeStream, RequireMultipath: true,
		Paths: extapi.PathPolicy{AnyAnnouncedPort: true, FullMesh: true},
	}}
	c, err := d.DialMultipath(t.Context(), "tcp", relay.l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	var direct extapi.PathID
	for err = io.EOF; err != nil && ctx.Err() == nil; { // until the connection is established
		direct, err = c.OpenSubflow(ctx, netip.AddrPort{}, netip.MustParseAddrPort(l.Addr().String()))
	}
	require.NoError(t, err)
	require.NoError(t, c.SetBackup(direct, true)) // while the relay works everything goes through it

	data, sum := bytes.Repeat([]byte("delivery is the DATA_ACK. "), 1<<16), sha256.New()
	for sent := 0; ; sent += len(data) {
		select {
		case <-relay.died:
		default:
			require.Less(t, sent, 1<<30, "the relay never got its mebibyte")
			sum.Write(data)
			_, err := c.Write(data)
			require.NoError(t, err)
			continue
		}
		break
	}
	require.NoError(t, c.CloseWrite())
	require.GreaterOrEqual(t, relay.held.Load(), int64(1<<20))
	require.Equal(t, sum.Sum(nil), <-sums)
}
