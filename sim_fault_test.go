package mptcp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/simnet"
	"github.com/mptcp-go/mptcp/internal/stream"
	"github.com/mptcp-go/mptcp/options"
)

var streamPeer = Config{Peers: []string{"10.0.9.9"}}

// stranger is a machine that is no friend.
func (w *world) stranger(t *testing.T) net.Conn {
	t.Helper()
	h := w.net.Host("stranger")
	if len(h.Addrs()) == 0 {
		h.AddInterface("eth0", extapi.KindEthernet, simnet.LinkConfig{}, simnet.LinkConfig{}, addrOf("10.0.7.7"))
	}
	c, err := h.Dial(t.Context(), netip.AddrPort{}, netip.MustParseAddrPort(serverAddr))
	require.NoError(t, err)
	return c
}

// accepted is both ends of a connection, the client's to a known peer.
func (w *world) accepted(t *testing.T, cfg Config) (client, server *Conn) {
	t.Helper()
	client = w.dial(t, cfg)
	_, err := client.Write([]byte("?"))
	require.NoError(t, err)
	server, err = w.listener.AcceptMultipath(t.Context())
	require.NoError(t, err)
	_, err = io.ReadFull(server, make([]byte, 1))
	require.NoError(t, err)
	return client, server
}

func TestWritesOfNothingAndOfMuch(t *testing.T) {
	data, _ := pattern(2 << 20)
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		client, server := w.accepted(t, streamPeer)
		for range 3 {
			n, err := client.Write(nil)
			require.NoError(t, err)
			require.Zero(t, n)
		}
		go func() {
			client.Write(data)
			client.Write([]byte{})
			client.Close()
		}()
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
	})
}

// A peer that never reads: the writer blocks, its deadline fires, and what waits is bounded.
func TestPeerThatNeverReads(t *testing.T) {
	inWorld(t, simnet.LinkConfig{Delay: time.Millisecond}, ListenConfig{}, func(t *testing.T, w *world) {
		client, _ := w.accepted(t, streamPeer)
		require.NoError(t, client.SetWriteDeadline(time.Now().Add(time.Minute)))
		total := 0
		chunk := make([]byte, 1<<20)
		var err error
		for total < 286<<20 && err == nil {
			var n int
			n, err = client.Write(chunk)
			total += n
		}
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Less(t, total, 20<<20, "a send buffer and a receive buffer")
		require.NoError(t, client.Context().Err(), "a deadline kills nothing")
		require.NoError(t, client.Abort(ResetUnspecified))
	})
}

// All that a connection held goes back to the budget when it is closed.
func TestMemoryComesBack(t *testing.T) {
	data, sum := pattern(4 << 20)
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		go w.serveHashes()
		for range 5 {
			c := w.dial(t, streamPeer)
			upload(t, c, data, sum)
			require.NoError(t, c.Close())
		}
		time.Sleep(5 * time.Minute)
		require.Zero(t, w.client.use().memory.used.Load())
		require.Zero(t, w.server.use().memory.used.Load())
		require.Empty(t, w.client.Conns())
		require.Empty(t, w.server.Conns())
	})
}

// Who has learnt a connection's token, and not its keys, joins nothing and injects nothing.
func TestStrangerWhoKnowsTheToken(t *testing.T) {
	data, _ := pattern(8 << 20)
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		client, server := w.accepted(t, streamPeer)
		go func() {
			client.Write(data)
			client.Close()
		}()
		token := server.Info().Token
		go func() {
			for i := range 100 {
				c := w.stranger(t)
				b := stream.Preface{Version: 1, Nonce: uint64(i)}.Append(nil)
				b = options.MPJoin{Form: options.JoinSyn, Token: token, Nonce: 7}.Append(b)
				b = options.MPJoin{Form: options.JoinAck}.Append(b)
				b = options.DSS{HasMap: true, DSN64: true, DSN: uint64(i), SSN: 1, DataLen: 5}.Append(b)
				c.Write(append(b, "wrong"...))
				c.SetReadDeadline(time.Now().Add(20 * time.Second))
				io.Copy(io.Discard, c)
				c.Close()
			}
		}()
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got), "the innocent connection loses nothing")
		for _, s := range server.Subflows() {
			require.NotEqual(t, "10.0.7.7", s.Remote.Addr().String())
		}
		time.Sleep(time.Minute)
		require.NoError(t, server.Close())
	})
}

// Prefaces byte by byte, cut off anywhere, of a wrong version: whoever sends them hurts only themselves.
func TestSlowAndTruncatedPrefaces(t *testing.T) {
	inWorld(t, simnet.LinkConfig{Delay: time.Millisecond}, ListenConfig{Config: Config{HandshakeTimeout: 5 * time.Second}}, func(t *testing.T, w *world) {
		whole := stream.Preface{Version: 1, Nonce: 1}.Append(nil)
		whole = options.MPCapable{Version: 1, Flags: options.FlagH, HasSender: true, SenderKey: 9}.Append(whole)
		for cut := 1; cut < len(whole); cut += 3 {
			c := w.stranger(t)
			c.Write(whole[:cut])
			go func() { io.Copy(io.Discard, c); c.Close() }()
		}
		slow := w.stranger(t)
		go func() {
			for _, b := range whole {
				if _, err := slow.Write([]byte{b}); err != nil {
					break
				}
				time.Sleep(300 * time.Millisecond)
			}
			slow.Close()
		}()
		version := w.stranger(t)
		version.Write(stream.Preface{Version: 0, Nonce: 1}.Append(nil))
		go func() { io.Copy(io.Discard, version); version.Close() }()
		begin := time.Now()
		client, server := w.accepted(t, streamPeer)
		require.Less(t, time.Since(begin), time.Second, "Accept waits for none of them")
		exchange(t, client, server)
		time.Sleep(30 * time.Second)
		require.NoError(t, client.Close())
		require.NoError(t, server.Close())
	})
}

// A first flight with early data that somebody records and sends again is another connection, which the program sees
// as it sees any other: the first one and its data are untouched, and without the third message, which takes both keys,
// the replay comes to an end.
func TestReplayedFirstFlight(t *testing.T) {
	inWorld(t, simnet.LinkConfig{Delay: time.Millisecond}, ListenConfig{Config: Config{HandshakeTimeout: 5 * time.Second}}, func(t *testing.T, w *world) {
		m := w.middlebox(t)
		var flight []byte
		m.alter = func(b []byte) []byte {
			if flight == nil {
				flight = bytes.Clone(b)
			}
			return b
		}
		client, err := w.dialBox(t, Config{Peers: []string{boxAddr}})
		require.NoError(t, err)
		_, err = client.Write([]byte("pay"))
		require.NoError(t, err)
		server, err := w.listener.AcceptMultipath(t.Context())
		require.NoError(t, err)
		_, err = io.ReadFull(server, make([]byte, 3))
		require.NoError(t, err)
		require.Contains(t, string(flight), "pay", "the data is early")

		for range 3 {
			c := w.stranger(t)
			c.Write(flight)
			go func() { io.Copy(io.Discard, c); c.Close() }()
			replay, err := w.listener.AcceptMultipath(t.Context())
			require.NoError(t, err)
			require.NotEqual(t, server.Info().Token, replay.Info().Token)
			got, err := io.ReadAll(replay)
			require.Error(t, err, "it never comes to an end in order")
			require.Equal(t, "pay", string(got), "what was early then, and nothing else")
			require.NoError(t, replay.Close())
		}
		exchange(t, client, server)
		require.Len(t, w.server.Conns(), 1, "no replay lives on")
		require.NoError(t, client.Close())
		require.NoError(t, server.Close())
		time.Sleep(time.Minute)
		m.close()
	})
}

// A peer that takes everything and acknowledges nothing: what waits for it is bounded, every call ends, and nothing
// outlives CloseTimeout.
func TestPeerThatNeverAcknowledges(t *testing.T) {
	cfg := Config{CloseTimeout: 10 * time.Second}
	for name, end := range map[string]func(c *Conn) error{
		"close": (*Conn).Close,
		"half":  func(c *Conn) error { return errors.Join(c.CloseWrite(), c.Close()) },
		"abort": func(c *Conn) error { return c.Abort(ResetUnspecified) },
	} {
		inWorld(t, simnet.LinkConfig{Delay: time.Millisecond}, ListenConfig{Config: cfg}, func(t *testing.T, w *world) {
			e := w.evil(t, 1)
			defer e.Close()
			server, err := w.listener.AcceptMultipath(t.Context())
			require.NoError(t, err)
			require.NoError(t, server.SetWriteDeadline(time.Now().Add(time.Minute)))
			n, err := server.Write(make([]byte, 64<<20))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
			require.Less(t, n, 20<<20, name)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, server.Flush(ctx), context.DeadlineExceeded, name)
			require.NoError(t, end(server), name)
			time.Sleep(12 * time.Second)
			require.Empty(t, w.server.Conns(), name)
			require.Zero(t, w.server.use().memory.used.Load(), name)
		})
	}
}

// evil is a peer that shook hands and then does as it likes.
type evil struct {
	net.Conn
	key uint64
}

func (w *world) evil(t *testing.T, nonce uint64) *evil {
	t.Helper()
	e := &evil{Conn: w.stranger(t), key: nonce<<20 + 99}
	h := stream.NewClientHandshake(stream.Hello{Key: engine.Key(e.key), Nonce: nonce})
	_, err := e.Write(h.Output())
	require.NoError(t, err)
	buf := make([]byte, 512)
	for done := false; !done; {
		n, err := e.Read(buf)
		require.NoError(t, err)
		_, done, err = h.Feed(buf[:n])
		require.NoError(t, err)
	}
	var b []byte
	for _, o := range h.Third() {
		b = o.Append(b)
	}
	_, err = e.Write(b)
	require.NoError(t, err)
	go io.Copy(io.Discard, e.Conn)
	return e
}

// Many connections that each hold megabytes behind one hole: MemoryLimit holds, and the innocent
// connection beside them goes on.
func TestManyHolesUnderMemoryLimit(t *testing.T) {
	const limit = 1 << 20
	data, sum := pattern(2 << 20)
	inWorld(t, simnet.LinkConfig{Delay: time.Millisecond, Rate: 10e6}, ListenConfig{}, func(t *testing.T, w *world) {
		require.NoError(t, w.server.Close()) // a Transport reads its limit at first use
		w.server = &Transport{Network: simHost{w.net.Host("server")}, MemoryLimit: limit}
		var err error
		w.listener, err = (&ListenConfig{Transport: w.server}).Listen(t.Context(), "tcp", ":8080")
		require.NoError(t, err)
		go w.serveHashes()
		payload := make([]byte, 30_000)
		for i := range 30 {
			e := w.evil(t, uint64(i+1))
			first := engine.Key(e.key).IDSN() + 1
			var b []byte
			for k := range 2 { // what the initial window takes, but for the first byte
				b = options.DSS{HasMap: true, DSN64: true, DSN: first + 1 + uint64(k*30_000), SSN: uint32(1 + k*30_000), DataLen: 30_000}.Append(b)
				b = append(b, payload...)
			}
			e.Write(b)
			defer e.Close()
		}
		time.Sleep(time.Second)
		require.LessOrEqual(t, w.server.use().memory.used.Load(), int64(limit))
		c := w.dial(t, streamPeer)
		upload(t, c, data, sum)
		require.NoError(t, c.Close())
	})
}

// Floods of what costs nothing to send: empty DSSs and MP_PRIO that flaps.
func TestFloodsOfSignals(t *testing.T) {
	data, sum := pattern(1 << 20)
	inWorld(t, simnet.LinkConfig{Delay: time.Millisecond}, ListenConfig{}, func(t *testing.T, w *world) {
		go w.serveHashes()
		for i := range 3 {
			e := w.evil(t, uint64(i+1))
			defer e.Close()
			var b []byte
			for k := range 2000 {
				b = options.DSS{}.Append(b)
				b = options.MPPrio{Backup: k%2 == 0}.Append(b)
			}
			go func() {
				for range 50 {
					if _, err := e.Write(b); err != nil {
						return
					}
				}
			}()
		}
		c := w.dial(t, streamPeer)
		upload(t, c, data, sum)
		require.NoError(t, c.Close())
		require.Less(t, w.server.use().memory.used.Load(), int64(8<<20))
	})
}

// The peer vanishes with all its paths. Close returns at once, and after CloseTimeout nothing is left.
func TestPeerVanishes(t *testing.T) {
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		client, server := w.accepted(t, Config{Peers: streamPeer.Peers, CloseTimeout: 10 * time.Second})
		time.Sleep(time.Second)
		w.eth.Blackhole(true)
		w.wlan.Blackhole(true)
		_, err := client.Write(make([]byte, 100_000))
		require.NoError(t, err)
		require.NoError(t, client.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = client.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		require.ErrorIs(t, client.Flush(ctx), context.DeadlineExceeded)
		cancel()
		begin := time.Now()
		require.NoError(t, client.Close())
		require.Less(t, time.Since(begin), 10*time.Millisecond)
		time.Sleep(12 * time.Second)
		require.Empty(t, w.client.Conns())
		require.Zero(t, w.client.use().memory.used.Load())
		require.NoError(t, server.Abort(ResetUnspecified))
	})
}
