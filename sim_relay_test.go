package mptcp

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/simnet"
)

// middlebox takes TCP connections and makes connections of its own out of them, as address translators and proxies
// do: both ends see its addresses, and what it has acknowledged it may still hold.
type middlebox struct {
	host  *simnet.Host
	l     *simnet.Listener
	alter func([]byte) []byte // of what comes from the client; nil: nothing
	mu    sync.Mutex
	conns []net.Conn
	dead  bool
	lag   time.Duration // how long it holds every byte
	kept  int           // bytes that died with it
}

const boxAddr = "10.0.8.8:8080"

func (w *world) middlebox(t *testing.T) *middlebox {
	t.Helper()
	m := &middlebox{host: w.net.Host("middlebox")}
	m.host.AddInterface("eth0", extapi.KindEthernet, simnet.LinkConfig{}, simnet.LinkConfig{}, addrOf("10.0.8.8"))
	var err error
	m.l, err = m.host.Listen(netip.MustParseAddrPort(boxAddr))
	require.NoError(t, err)
	go func() {
		for {
			in, err := m.l.Accept()
			if err != nil {
				return
			}
			out, err := m.host.Dial(context.Background(), netip.AddrPort{}, netip.MustParseAddrPort(serverAddr))
			if err != nil {
				in.Close()
				continue
			}
			m.mu.Lock()
			m.conns = append(m.conns, in, out)
			m.mu.Unlock()
			go m.copy(out, in, m.alter)
			go m.copy(in, out, nil)
		}
	}()
	return m
}

// copy moves bytes, each piece lag later, until it dies; then it takes them, and keeps them with those
// that it had.
func (m *middlebox) copy(dst, src net.Conn, alter func([]byte) []byte) {
	type piece struct {
		at time.Time
		b  []byte
	}
	queue := make(chan piece, 10_000)
	go func() {
		for p := range queue {
			time.Sleep(time.Until(p.at))
			m.mu.Lock()
			dead := m.dead
			if dead {
				m.kept += len(p.b)
			}
			m.mu.Unlock()
			if !dead && len(p.b) > 0 {
				dst.Write(p.b)
			}
		}
		dst.(*simnet.Conn).CloseWrite()
	}()
	defer close(queue)
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		b := bytes.Clone(buf[:n])
		if alter != nil {
			b = alter(b)
		}
		m.mu.Lock()
		at := time.Now().Add(m.lag)
		m.mu.Unlock()
		if queue <- (piece{at, b}); err != nil {
			return
		}
	}
}

// die makes it take everything and pass on nothing; close resets what it has.
func (m *middlebox) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
}

func (m *middlebox) close() {
	m.l.Close()
	defer time.Sleep(time.Second) // until its last goroutine has ended
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.conns {
		c.(*simnet.Conn).Reset()
	}
}

func (w *world) dialBox(t *testing.T, cfg Config) (*Conn, error) {
	t.Helper()
	return (&Dialer{Transport: w.client, Config: cfg}).DialMultipath(t.Context(), "tcp", boxAddr)
}

// The client and the server see other addresses than the other side has: joins go through all the same.
func TestThroughAnAddressTranslator(t *testing.T) {
	data, sum := pattern(16 << 20)
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		go w.serveHashes()
		m := w.middlebox(t)
		c, err := w.dialBox(t, Config{Mode: ModeStream})
		require.NoError(t, err)
		took := upload(t, c, data, sum)
		require.Less(t, took.Seconds(), 2.4, "134 Mbit at 100 Mbit/s: both paths")
		require.NoError(t, c.Close())
		time.Sleep(time.Minute)
		m.close()
	})
}

// What a proxy has acknowledged and holds is not lost when it dies: delivery is the DATA_ACK.
func TestRelayDiesWithDataInside(t *testing.T) {
	data, sum := pattern(48 << 20)
	for _, reset := range []bool{false, true} {
		inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
			go w.serveHashes()
			m := w.middlebox(t)
			c := w.dial(t, Config{Mode: ModeStream, Paths: extapi.PathPolicy{AnyAnnouncedPort: true, FullMesh: true}})
			time.Sleep(100 * time.Millisecond)
			_, err := c.OpenSubflow(t.Context(), netip.AddrPort{}, netip.MustParseAddrPort(boxAddr))
			require.NoError(t, err)
			m.mu.Lock()
			m.lag = 250 * time.Millisecond
			m.mu.Unlock()
			time.AfterFunc(3*time.Second, m.die)
			if reset {
				time.AfterFunc(3300*time.Millisecond, m.close)
			}
			took := upload(t, c, data, sum)
			m.mu.Lock()
			kept := m.kept
			m.mu.Unlock()
			t.Logf("reset %t: %v, %d bytes died with the relay", reset, took, kept)
			require.Positive(t, kept, "it dies with something inside")
			require.Less(t, took, 12*time.Second)
			if !reset {
				m.close()
			}
			require.NoError(t, c.Close())
		})
	}
}

// Something on the way strips the preface. With a secret that is an error at both ends: nothing is handed
// out as plain TCP, and nothing falls back.
func TestPrefaceStrippedWithSecret(t *testing.T) {
	secret := Config{Secret: []byte("sesame"), HandshakeTimeout: 2 * time.Second}
	inWorld(t, simnet.LinkConfig{Delay: time.Millisecond}, ListenConfig{Config: secret}, func(t *testing.T, w *world) {
		m := w.middlebox(t)
		m.alter = func(b []byte) []byte { return b[min(len(b), 32):] }
		_, err := w.dialBox(t, secret)
		require.ErrorIs(t, err, ErrNotMultipath)
		require.NoError(t, w.listener.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = w.listener.Accept()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		m.close()
	})
}

// Something on the way changes payload: with Checksum the subflow is reset before a wrong byte is
// delivered.
func TestChangedPayloadWithChecksum(t *testing.T) {
	data := bytes.Repeat([]byte{'a'}, 300<<10)
	cfg := Config{Mode: ModeStream, Checksum: true, RequireMultipath: true, NoPathTimeout: 3 * time.Second}
	inWorld(t, simnet.LinkConfig{Delay: time.Millisecond, Rate: 10e6}, ListenConfig{Config: Config{Checksum: true, NoPathTimeout: 3 * time.Second}}, func(t *testing.T, w *world) {
		m := w.middlebox(t)
		seen := 0
		m.alter = func(b []byte) []byte {
			if seen += len(b); seen > 100<<10 {
				return bytes.ReplaceAll(b, []byte("aaaaaaaa"), []byte("aaaabaaa"))
			}
			return b
		}
		c, err := w.dialBox(t, cfg)
		require.NoError(t, err)
		go c.Write(data)
		server, err := w.listener.AcceptMultipath(t.Context())
		require.NoError(t, err)
		require.NoError(t, server.SetReadDeadline(time.Now().Add(20*time.Second)))
		got, err := io.ReadAll(server)
		require.Error(t, err)
		require.True(t, bytes.HasPrefix(data, got), "no wrong byte is delivered")
		require.NoError(t, c.Abort(ResetUnspecified))
		require.NoError(t, server.Abort(ResetUnspecified))
		m.close()
	})
}

// Deadlines at every stage of a dial: no route to the peer, a peer that takes connections and says nothing.
func TestDialDeadlines(t *testing.T) {
	for name, cfg := range map[string]Config{
		"discovery": {}, "stream": {Mode: ModeStream, RequireMultipath: true}, "named": streamPeer, "secret": {Secret: []byte("x")}, "tcp": {Mode: ModeTCP},
	} {
		inWorld(t, simnet.LinkConfig{Delay: time.Millisecond}, ListenConfig{}, func(t *testing.T, w *world) {
			w.eth.Blackhole(true)
			w.wlan.Blackhole(true)
			begin := time.Now()
			short, stop := context.WithTimeout(t.Context(), 3*time.Second)
			defer stop()
			_, err := (&Dialer{Transport: w.client, Config: cfg}).DialContext(short, "tcp", serverAddr)
			require.Error(t, err, name)
			require.True(t, isTimeout(err), "%s: %v", name, err)
			require.InDelta(t, 3, time.Since(begin).Seconds(), 0.1, name)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			_, err = (&Dialer{Transport: w.client, Config: cfg}).DialContext(ctx, "tcp", serverAddr)
			require.ErrorIs(t, err, context.Canceled, name)
		})
	}
	inWorld(t, simnet.LinkConfig{Delay: time.Millisecond}, ListenConfig{}, func(t *testing.T, w *world) {
		silent, err := w.net.Host("server").Listen(netip.MustParseAddrPort("10.0.9.9:9999"))
		require.NoError(t, err)
		begin := time.Now()
		d := &Dialer{Transport: w.client, Config: Config{Mode: ModeStream, RequireMultipath: true, HandshakeTimeout: 2 * time.Second}}
		_, err = d.Dial("tcp", "10.0.9.9:9999")
		require.ErrorIs(t, err, ErrNotMultipath)
		require.InDelta(t, 2, time.Since(begin).Seconds(), 0.1)
		require.NoError(t, silent.Close())
	})
}

// Close, half-close and abort, while the other end is at any stage.
func TestEndsAtEveryStage(t *testing.T) {
	ends := map[string]func(c *Conn) error{
		"close": (*Conn).Close, "half": (*Conn).CloseWrite, "abort": func(c *Conn) error { return c.Abort(ResetUnspecified) },
	}
	for name, end := range ends {
		for _, after := range []time.Duration{0, 2, 11, 20, 31, 60, 61, 75, 100, 200} {
			inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
				c := w.dial(t, streamPeer)
				_, err := c.Write([]byte("hello"))
				require.NoError(t, err)
				time.Sleep(after * time.Millisecond)
				require.NoError(t, end(c), name)
				require.NoError(t, w.listener.SetDeadline(time.Now().Add(time.Second)))
				s, err := w.listener.Accept()
				if err == nil {
					s.SetReadDeadline(time.Now().Add(20 * time.Second))
					got, err := io.ReadAll(s)
					require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "%s after %v ms", name, after)
					require.True(t, name == "abort" || string(got) == "hello", "%s after %v ms: %q %v", name, int(after), got, err)
					s.Close()
				} else {
					require.Equal(t, "abort", name, "after %v ms", int(after))
				}
				c.Close()
			})
		}
	}
}
