package stack

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/leaks"
	"github.com/mptcp-go/mptcp/internal/wire"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/options"
	"github.com/mptcp-go/mptcp/scheduler"
)

func TestMain(m *testing.M) { leaks.Main(m) }

var (
	clientAddr = netip.MustParseAddr("192.0.2.1")
	serverAddr = netip.MustParseAddr("192.0.2.2")
	secondAddr = netip.MustParseAddr("198.51.100.1")
)

const serverPort = 8080

var ourTCP = tcp.Config{NoDelay: true}

// world is a client and a server on a fabric.
type world struct {
	t      testing.TB
	fabric *fabric
	client *Stack
	server *Stack
	l      *Listener

	mu       sync.Mutex
	tokens   *engine.Tokens[*driver.Conn]
	byToken  map[uint32]*driver.Conn
	accepted chan outcome
	plain    extapi.FallbackReason // of the server's connections
	early    int                   // SYNs that come before the server is ready
	taken    bool                  // no token is free that a cookie would have
	late     bool                  // likewise, but that is found out when the third segment comes
	conns    []*driver.Conn
}

func newWorld(t testing.TB, clientAddrs ...netip.Addr) *world {
	w := &world{
		t: t, fabric: &fabric{}, tokens: engine.NewTokens[*driver.Conn](rand.Reader, 0),
		byToken: make(map[uint32]*driver.Conn), accepted: make(chan outcome, 1000),
	}
	w.client = w.fabric.boot(append([]netip.Addr{clientAddr}, clientAddrs...)...)
	w.server = w.fabric.boot(serverAddr)
	var err error
	w.l, err = w.server.Listen(netip.AddrPortFrom(serverAddr, serverPort), ListenConfig{TCP: ourTCP}, w)
	require.NoError(t, err)
	t.Cleanup(w.close)
	return w
}

func (w *world) close() {
	w.mu.Lock()
	conns := w.conns
	w.mu.Unlock()
	for _, d := range conns {
		_ = d.Abort(engine.ResetUnspecified)
	}
	_ = w.l.Close()
	time.Sleep(20 * time.Millisecond) // for the RSTs
	require.NoError(w.t, w.client.Close())
	require.NoError(w.t, w.server.Close())
}

// seed is what a connection is made from.
func (w *world) seed(client bool) Seed {
	w.mu.Lock()
	defer w.mu.Unlock()
	key, err := w.tokens.NewKey(nil)
	require.NoError(w.t, err)
	return Seed{
		Key:     key,
		Discard: func() { w.forget(key) },
		Driver: driver.Params{
			ID: extapi.ConnID(w.tokens.Len()), JoinTimeout: 5 * time.Second,
			Engine: engine.Config{
				Client: client, Rand: rand.Reader, Scheduler: scheduler.MinRTT.New(), SchedName: "minrtt",
				SendBuffer: 1 << 20, RecvBuffer: 1 << 20, JoinDelay: time.Hour, JoinBytes: 1 << 60,
				NoPathTimeout: 5 * time.Second, CloseTimeout: 5 * time.Second,
			},
		},
		TCP: func() tcp.Config { return ourTCP }, Congestion: congestion.Reno,
	}
}

func (w *world) forget(k engine.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tokens.Remove(k)
}

func (w *world) Seed(r Request) (Seed, error) {
	if w.early > 0 {
		w.early--
		return Seed{}, ErrLater
	}
	s := w.seed(false)
	if r.Key != 0 {
		w.mu.Lock()
		w.tokens.Remove(s.Key)
		s.Key = r.Key
		if w.late || !w.tokens.Enter(r.Key, nil) {
			s.Plain = extapi.FallbackPeer
		}
		w.mu.Unlock()
	}
	if !r.Capable {
		s.Plain = extapi.FallbackPeer
	}
	if w.plain != extapi.FallbackNone {
		s.Plain = w.plain
	}
	return s, nil
}

func (w *world) Taken(uint32) bool { return w.taken }

func (w *world) Lookup(token uint32) (*driver.Conn, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d, ok := w.byToken[token]
	return d, ok
}

func (w *world) Welcome(d *driver.Conn, r wire.Result, _ any) {
	w.keep(d)
	w.accepted <- outcome{d, r}
}

func (w *world) keep(d *driver.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.byToken[d.Token()] = d
	w.conns = append(w.conns, d)
}

func (w *world) dial(seed Seed) (client, server outcome) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	d, r, err := w.client.Dial(ctx, seed, netip.AddrPortFrom(clientAddr, 0), netip.AddrPortFrom(serverAddr, serverPort), "")
	require.NoError(w.t, err)
	w.keep(d)
	return outcome{d, r}, <-w.accepted
}

// join opens a second subflow of a client's connection.
func (w *world) join(d *driver.Conn) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	defer cancel()
	d.SetLocalAddrs([]extapi.Candidate{
		{Local: netip.AddrPortFrom(clientAddr, 0), Interface: "f0", IfIndex: 1}, {Local: netip.AddrPortFrom(secondAddr, 0), Interface: "f1", IfIndex: 2},
	})
	id, err := d.OpenSubflow(ctx, netip.AddrPortFrom(secondAddr, 0), netip.AddrPort{})
	require.NoError(w.t, err)
	require.EqualValues(w.t, 2, id)
}

// hello sends a word, whose DATA_ACK tells the client that both sides have the keys.
func (w *world) hello(c, s *driver.Conn) {
	w.t.Helper()
	_, err := c.Write([]byte("hello"))
	require.NoError(w.t, err)
	_, err = io.ReadFull(s, make([]byte, 5))
	require.NoError(w.t, err)
	require.Eventually(w.t, c.Established, 5*time.Second, time.Millisecond)
}

// exchange sends size random bytes each way at once, half-closes, and compares.
func exchange(t *testing.T, a, b net.Conn, size int) {
	t.Helper()
	var wg sync.WaitGroup
	one := func(from, to net.Conn) {
		data := make([]byte, size)
		_, _ = rand.Read(data)
		wg.Go(func() {
			_, err := from.Write(data)
			require.NoError(t, err)
			require.NoError(t, from.(interface{ CloseWrite() error }).CloseWrite())
		})
		wg.Go(func() {
			got, err := io.ReadAll(to)
			require.NoError(t, err)
			require.Equal(t, size, len(got))
			require.Equal(t, sha256.Sum256(data), sha256.Sum256(got))
		})
	}
	one(a, b)
	one(b, a)
	wg.Wait()
}

func TestDialAndAccept(t *testing.T) {
	w := newWorld(t)
	c, s := w.dial(w.seed(true))
	require.Equal(t, extapi.FallbackNone, c.r.Fallback)
	require.Equal(t, extapi.CarrierWire, c.d.Info().Carrier)
	require.Equal(t, s.d.Token(), engine.Key(c.r.Capable.Remote).Token())
	require.Equal(t, c.d.LocalAddr().String(), s.d.RemoteAddr().String())
	exchange(t, c.d, s.d, 3<<20)
	require.NoError(t, c.d.Close())
	require.NoError(t, s.d.Close())
	<-c.d.Closed()
	<-s.d.Closed()
}

func TestPlainPeers(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		w := newWorld(t)
		seed := w.seed(true)
		seed.Plain = extapi.FallbackDisabled
		c, s := w.dial(seed)
		require.Equal(t, extapi.FallbackDisabled, c.r.Fallback)
		require.Equal(t, extapi.CarrierTCP, s.d.Info().Carrier)
		exchange(t, c.d, s.d, 1<<20)
	})
	t.Run("server", func(t *testing.T) {
		w := newWorld(t)
		w.plain = extapi.FallbackPeer
		c, s := w.dial(w.seed(true))
		require.Equal(t, extapi.FallbackPeer, c.r.Fallback)
		exchange(t, c.d, s.d, 1<<20)
	})
}

// The one window update that a reader causes gets lost, and nothing else is under way: probes find the window open.
func TestLostWindowUpdateOfPlainTCP(t *testing.T) {
	const size = 4 << 20
	w := newWorld(t)
	seed := w.seed(true)
	seed.Plain = extapi.FallbackDisabled
	c, s := w.dial(seed)
	var sent, answered atomic.Int64
	var deaf atomic.Bool
	w.fabric.watch(func(p *packet.Segment) bool {
		if p.Src.Addr() == serverAddr {
			answered.Add(1)
			return deaf.Load()
		}
		sent.Add(int64(p.PayloadLen()))
		return false
	})
	wrote := make(chan error, 1)
	go func() {
		_, err := c.d.Write(make([]byte, size))
		wrote <- err
	}()
	for before := int64(-1); before != sent.Load(); time.Sleep(100 * time.Millisecond) {
		before = sent.Load()
	}
	require.Less(t, sent.Load(), int64(size), "the window is closed")
	deaf.Store(true)
	at := answered.Load()
	got := make([]byte, size)
	n := int(s.d.Info().RecvBuffered)
	_, err := io.ReadFull(s.d, got[:n])
	require.NoError(t, err)
	require.Eventually(t, func() bool { return answered.Load() > at }, 5*time.Second, time.Millisecond, "the window was reopened")
	deaf.Store(false)
	require.NoError(t, s.d.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = io.ReadFull(s.d, got[n:])
	require.NoError(t, err)
	require.NoError(t, <-wrote)
}

func TestRefused(t *testing.T) {
	w := newWorld(t)
	_, _, err := w.client.Dial(t.Context(), w.seed(true), netip.AddrPort{}, netip.AddrPortFrom(serverAddr, serverPort+1), "")
	require.ErrorIs(t, err, tcp.ErrRefused)
}

// Who comes before the server is ready is not turned away: its SYN comes again.
func TestEarlySynComesAgain(t *testing.T) {
	w := newWorld(t)
	w.early = 1
	c, s := w.dial(w.seed(true))
	exchange(t, c.d, s.d, 1000)
}

func TestDialGivesUpWithItsContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err := w.client.Dial(ctx, w.seed(true), netip.AddrPort{}, netip.MustParseAddrPort("203.0.113.9:80"), "")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	w.client.mu.Lock()
	defer w.client.mu.Unlock()
	require.Empty(t, w.client.ports)
}

func TestJoin(t *testing.T) {
	w := newWorld(t, secondAddr)
	c, s := w.dial(w.seed(true))
	w.hello(c.d, s.d)
	w.join(c.d)
	carried := map[netip.Addr]int{}
	w.fabric.watch(func(s *packet.Segment) bool {
		carried[s.Src.Addr()] += s.PayloadLen()
		return false
	})
	exchange(t, c.d, s.d, 4<<20)
	w.fabric.watch(nil)
	require.Greater(t, carried[clientAddr], 16<<10) // how much each carries is the scheduler's affair, and the machine's
	require.Greater(t, carried[secondAddr], 16<<10)
}

// RFC 8684 section 3.2: the SYN/ACK names the address that it comes from, for REMOVE_ADDR, and says whether the path is to
// be a backup.
func TestJoinTakesWhatTheAnswerSays(t *testing.T) {
	w := newWorld(t, secondAddr)
	c, s := w.dial(w.seed(true))
	_, err := c.d.Write([]byte{1})
	require.NoError(t, err)
	_, err = s.d.Read(make([]byte, 1))
	require.NoError(t, err)
	require.Eventually(t, c.d.Established, 5*time.Second, time.Millisecond)
	w.fabric.watch(func(s *packet.Segment) bool {
		if s.Flags.Has(packet.SYN | packet.ACK) {
			i := bytes.Index(s.Options, []byte{options.Kind, 16, 0x10, 0})
			s.Options[i+2], s.Options[i+3] = 0x11, 9 // which the HMAC does not cover
		}
		return false
	})
	c.d.SetLocalAddrs([]extapi.Candidate{
		{Local: netip.AddrPortFrom(clientAddr, 0), Interface: "f0", IfIndex: 1}, {Local: netip.AddrPortFrom(secondAddr, 0), Interface: "f1", IfIndex: 2},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = c.d.OpenSubflow(ctx, netip.AddrPortFrom(secondAddr, 0), netip.AddrPort{})
	require.NoError(t, err)
	w.fabric.watch(nil)
	flows := c.d.Subflows()
	require.Len(t, flows, 2)
	require.EqualValues(t, 9, flows[1].RemoteID)
	require.True(t, flows[1].Backup)
}

func TestLossyFabric(t *testing.T) {
	w := newWorld(t)
	n := 0
	w.fabric.watch(func(*packet.Segment) bool { n++; return n%37 == 0 })
	c, s := w.dial(w.seed(true))
	exchange(t, c.d, s.d, 2<<20)
}

func TestManyShortConnections(t *testing.T) {
	w := newWorld(t)
	for range 200 {
		c, s := w.dial(w.seed(true))
		_, err := c.d.Write([]byte{1})
		require.NoError(t, err)
		b := make([]byte, 1)
		_, err = s.d.Read(b)
		require.NoError(t, err)
		require.NoError(t, c.d.Close())
		_, err = s.d.Read(b)
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, s.d.Close())
		<-s.d.Closed()
	}
}

func TestConnIsANetConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		w := newWorld(t)
		c, s := w.dial(w.seed(true))
		return c.d, s.d, func() {
			_ = c.d.Close()
			_ = s.d.Close()
		}, nil
	})
}

func TestPingPong(t *testing.T) {
	w := newWorld(t)
	c, s := w.dial(w.seed(true))
	go func() {
		b := make([]byte, 1)
		for {
			if _, err := s.d.Read(b); err != nil {
				return
			}
			_, _ = s.d.Write(b)
		}
	}()
	b := []byte{7}
	for range 1000 {
		_, err := c.d.Write(b)
		require.NoError(t, err)
		_, err = io.ReadFull(c.d, b)
		require.NoError(t, err)
		require.True(t, bytes.Equal([]byte{7}, b))
	}
}

// The reset of a connection that is sending when the stack closes leaves behind what is being sent.
func TestCloseWhileSending(t *testing.T) {
	w := newWorld(t)
	seed := w.seed(true)
	seed.Plain = extapi.FallbackDisabled
	c, s := w.dial(seed)
	sending := make(chan struct{})
	var once sync.Once
	w.fabric.watch(func(seg *packet.Segment) bool {
		if len(seg.Payload) > 0 {
			once.Do(func() {
				close(sending)
				<-c.d.Context().Done()            // aborted
				time.Sleep(20 * time.Millisecond) // for a Close that does not wait
			})
		}
		return false
	})
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		_, _ = c.d.Write([]byte{1})
	}()
	<-sending
	require.NoError(t, w.client.Close())
	require.NoError(t, s.d.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err := io.ReadAll(s.d)
	require.ErrorIs(t, err, syscall.ECONNRESET)
	<-wrote
}

// What was flushed has arrived, and so has its end: the stack may be closed at once, as a program does that exits.
func TestCloseAfterFlush(t *testing.T) {
	for name, plain := range map[string]extapi.FallbackReason{"multipath": extapi.FallbackNone, "plain": extapi.FallbackDisabled} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newDistantWorld(t)
				seed := w.seed(true)
				seed.Plain = plain
				c, s := w.dial(seed)
				data := make([]byte, 300<<10)
				_, _ = rand.Read(data)
				var got []byte
				var err error
				read := make(chan struct{})
				go func() {
					defer close(read)
					got, err = io.ReadAll(s.d)
				}()
				_, werr := c.d.Write(data)
				require.NoError(t, werr)
				require.NoError(t, c.d.Close())
				require.NoError(t, c.d.Flush(t.Context()))
				require.NoError(t, w.client.Close())
				<-read
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, got))
			})
		})
	}
}
