package stream

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
)

// host is one side's token table and the connections that it accepted.
type host struct {
	t        testing.TB
	mu       sync.Mutex
	tokens   *engine.Tokens[*entry]
	accepted chan *driver.Conn
	refused  chan error
	wg       sync.WaitGroup
}

type entry struct {
	ready chan struct{}
	conn  *driver.Conn
}

func newHost(t testing.TB) *host {
	return &host{
		t: t, tokens: engine.NewTokens[*entry](rand.Reader, 1000),
		accepted: make(chan *driver.Conn, 100), refused: make(chan error, 100),
	}
}

// key makes a key, and the function that says which connection it belongs to.
func (h *host) key() (engine.Key, func(*driver.Conn)) {
	e := &entry{ready: make(chan struct{})}
	h.mu.Lock()
	defer h.mu.Unlock()
	k, err := h.tokens.NewKey(e)
	require.NoError(h.t, err)
	return k, func(c *driver.Conn) {
		e.conn = c
		close(e.ready)
	}
}

func (h *host) lookup(token uint32) (*driver.Conn, bool) {
	h.mu.Lock()
	e, ok := h.tokens.Lookup(token)
	h.mu.Unlock()
	if !ok {
		return nil, false
	}
	<-e.ready
	return e.conn, e.conn != nil
}

func (h *host) forget(k engine.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens.Remove(k)
}

// testParams are defaults like the root package's.
func testParams() Params {
	return Params{
		Engine: engine.Config{
			Rand: rand.Reader, SendBuffer: 6 << 20, RecvBuffer: 6 << 20, JoinDelay: time.Hour, JoinBytes: 1 << 60,
			NoPathTimeout: time.Minute, CloseTimeout: time.Minute, Loopback: true,
		},
		HandshakeTimeout: 10 * time.Second, JoinTimeout: 5 * time.Second,
	}
}

// serve takes one fresh connection.
func (h *host) serve(nc net.Conn, p Params) {
	defer h.wg.Done()
	o, err := Sniff(nc, SniffParams{First: 5 * time.Second, Handshake: 10 * time.Second, Secret: len(p.Engine.Secret) > 0})
	if err != nil {
		h.refused <- err
		return
	}
	switch o.Kind() {
	case KindCapable:
		k, bind := h.key()
		p.Key = k
		p.OnDone = func(*driver.Conn) { h.forget(k) }
		c, err := Server(context.Background(), o, p)
		bind(c)
		if err != nil {
			h.refused <- err
			return
		}
		h.accepted <- c
	case KindJoin:
		if err := ServeJoin(context.Background(), o, h.lookup, p.JoinTimeout); err != nil {
			h.refused <- err
		}
	default:
		nc.Close()
		h.refused <- errors.New("plain")
	}
}

// world is a client and a server with connections between them.
type world struct {
	client, server *host
	clientP        Params
	serverP        Params
	dial           func(ctx context.Context) (net.Conn, error)
}

// tcpWorld connects over loopback sockets.
func tcpWorld(t testing.TB) *world {
	w := &world{client: newHost(t), server: newHost(t), clientP: testParams(), serverP: testParams()}
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var accepting sync.WaitGroup
	accept := func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			w.server.wg.Add(1)
			go w.server.serve(nc, w.serverP)
		}
	}
	t.Cleanup(func() {
		ln.Close()
		accepting.Wait()
		w.server.wg.Wait()
	})
	d := net.Dialer{}
	d.SetMultipathTCP(false)
	var first sync.Once // the test may change the parameters until it dials
	w.dial = func(ctx context.Context) (net.Conn, error) {
		first.Do(func() { accepting.Go(accept) })
		return d.DialContext(ctx, "tcp", ln.Addr().String())
	}
	w.clientP.Open = func(ctx context.Context, _ engine.JoinRequest) (net.Conn, error) { return w.dial(ctx) }
	return w
}

// pipeWorld connects over in-memory connections that have no descriptor.
func pipeWorld(t testing.TB) *world {
	w := &world{client: newHost(t), server: newHost(t), clientP: testParams(), serverP: testParams()}
	w.dial = func(context.Context) (net.Conn, error) {
		a, b := bufferedPipe()
		w.server.wg.Add(1)
		go w.server.serve(b, w.serverP)
		return a, nil
	}
	w.clientP.Open = func(ctx context.Context, _ engine.JoinRequest) (net.Conn, error) { return w.dial(ctx) }
	t.Cleanup(w.server.wg.Wait)
	return w
}

// connect makes one connection; early is ClientEarly.
func (w *world) connect(t testing.TB, early bool) (client, server *driver.Conn) {
	nc, err := w.dial(t.Context())
	require.NoError(t, err)
	p := w.clientP
	k, bind := w.client.key()
	p.Key = k
	p.OnDone = func(*driver.Conn) { w.client.forget(k) }
	if early {
		client, err = ClientEarly(nc, p)
	} else {
		client, err = Client(t.Context(), nc, p)
	}
	bind(client)
	require.NoError(t, err)
	select {
	case server = <-w.server.accepted: // what was refused may have been a join of an earlier connection, which ended meanwhile
	case <-time.After(20 * time.Second):
		require.Fail(t, "the server takes no connection")
	}
	return client, server
}

// join opens a further subflow and waits until both sides have it.
func (w *world) join(t testing.TB, client, server *driver.Conn) extapi.PathID {
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	var id extapi.PathID
	var err error
	for range 100 { // the handshake of the connection itself may not be over
		if id, err = client.OpenSubflow(ctx, netip.AddrPort{}, netip.AddrPort{}); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	require.NoError(t, err)
	n := len(client.Subflows())
	require.Eventually(t, func() bool { return len(server.Subflows()) == n }, time.Second, time.Millisecond)
	return id
}

// finish closes both ends and waits until all is over.
func finish(t testing.TB, conns ...*driver.Conn) {
	for _, c := range conns {
		_ = c.Close()
	}
	for _, c := range conns {
		select {
		case <-c.Closed():
		case <-time.After(20 * time.Second):
			require.Fail(t, "the connection does not end", "%+v %+v", c.Info(), c.Subflows())
		}
	}
}
