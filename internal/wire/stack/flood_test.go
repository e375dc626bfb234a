package stack

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// flood is how many segments of a flood come. It takes a second; the race detector sees all kinds in a part of it.
const flood = 100_000 / (1 + 3*race)

// inFlood runs body in virtual time beside a flood: a segment that next makes reaches the server every 10 µs. It
// returns once both are over.
func inFlood(t *testing.T, w *world, next func(i int) packet.Segment, body func()) {
	t.Helper()
	var wg sync.WaitGroup
	server := w.fabric.hosts[1]
	defer wg.Wait()
	wg.Go(func() {
		for i := range flood {
			s := next(i)
			b, err := s.Append(nil, packet.FullChecksum)
			require.NoError(t, err)
			server.arrive(b)
			if i%10 == 9 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	})
	time.Sleep(100 * time.Millisecond)
	body()
}

// newDistantWorld is a world with a round trip of 10 ms.
func newDistantWorld(t *testing.T, clientAddrs ...netip.Addr) *world {
	w := newWorld(t, clientAddrs...)
	w.fabric.delay = 5 * time.Millisecond
	return w
}

// stranger is the i-th of many addresses that nobody has.
func stranger(i int) netip.AddrPort {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 198<<24|18<<16+uint32(i)) // 198.18.0.0/15: for benchmarks (RFC 2544)
	return netip.AddrPortFrom(netip.AddrFrom4(a), uint16(1024+rand.IntN(60000)))
}

var serverAt = netip.AddrPortFrom(serverAddr, serverPort)

// strangeSYN is the i-th SYN of a flood. Half of them ask for Multipath TCP.
func strangeSYN(i int) packet.Segment {
	s := packet.Segment{Src: stranger(i), Dst: serverAt, Seq: rand.Uint32(), Flags: packet.SYN, Window: 64000, Options: []byte{2, 4, 5, 180}}
	if i%2 == 0 {
		s.Options = options.MPCapable{Version: 1, Flags: options.FlagH}.Append(s.Options)
	}
	return s
}

// heap is what lives.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// population is what the server keeps for those that no connection looks after.
func (w *world) population() (ports, flows, tokens int) {
	h := w.fabric.hosts[1]
	w.server.mu.Lock()
	for _, alone := range w.server.ports {
		if alone {
			ports++
		}
	}
	w.server.mu.Unlock()
	h.mu.Lock()
	flows = len(h.flows)
	h.mu.Unlock()
	w.mu.Lock()
	tokens = w.tokens.Len()
	w.mu.Unlock()
	return ports, flows, tokens
}

// synBacklog is how many handshakes the listener lets be under way.
const synBacklog = 256

// 100,000 SYNs a second from addresses that nobody has: what is established goes on as before, who comes gets in, with
// all that Multipath TCP offers, and hardly anything is kept.
func TestSYNFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t, secondAddr)
		c, s := w.dial(w.seed(true))
		before := heap()
		inFlood(t, w, strangeSYN, func() {
			require.NotZero(t, w.l.Counters().CookiesSent)
			began := time.Now()
			c2, s2 := w.dial(w.seed(true))
			require.Equal(t, extapi.FallbackNone, c2.r.Fallback)
			require.Equal(t, c2.r.Capable.Remote.Token(), s2.d.Token())
			w.hello(c2.d, s2.d)
			w.join(c2.d)
			require.Len(t, s2.d.Subflows(), 2)
			seed := w.seed(true)
			seed.Plain = extapi.FallbackDisabled
			c3, s3 := w.dial(seed)
			require.EqualValues(t, 2, w.l.Counters().CookiesRecv)
			require.Less(t, time.Since(began), 100*time.Millisecond, "nobody has tried twice")

			began = time.Now()
			exchange(t, c.d, s.d, 1<<20)
			exchange(t, c2.d, s2.d, 1<<20)
			exchange(t, c3.d, s3.d, 1<<20)
			require.Less(t, time.Since(began), 700*time.Millisecond, "and nobody has waited")
			require.Equal(t, extapi.FallbackNone, s2.d.Info().Fallback)
		})
		counted := w.l.Counters()
		require.Greater(t, counted.CookiesSent, uint64(flood-1000))
		require.Zero(t, counted.ListenDrops)
		ports, flows, tokens := w.population()
		require.LessOrEqual(t, ports, synBacklog+8)
		require.LessOrEqual(t, flows, synBacklog+8)
		require.LessOrEqual(t, tokens, synBacklog+8)
		grown := heap() - before
		t.Logf("%d ports, %d tokens; the heap has grown by %d KiB", ports, tokens, grown>>10)
		require.Less(t, grown, int64(16<<20))
	})
}

// pressed is a world whose server answers every SYN with a cookie.
func pressed(t *testing.T, clientAddrs ...netip.Addr) *world {
	w := newDistantWorld(t, clientAddrs...)
	for i := range synBacklog {
		s := strangeSYN(i)
		b, err := s.Append(nil, packet.FullChecksum)
		require.NoError(t, err)
		w.fabric.hosts[1].arrive(b)
	}
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
	return w
}

// A connection made of a cookie is like any other, also where the segment that made it was the first with data.
func TestConnectionsOfCookies(t *testing.T) {
	for name, lost := range map[string]bool{"with the third segment": false, "with the first data": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := pressed(t, secondAddr)
				w.fabric.watch(func(s *packet.Segment) bool {
					return lost && s.Dst == serverAt && s.Flags == packet.ACK && s.PayloadLen() == 0 && w.l.Counters().CookiesRecv == 0
				})
				d, r, err := w.client.Dial(t.Context(), w.seed(true), netip.AddrPortFrom(clientAddr, 0), serverAt, "")
				require.NoError(t, err)
				w.keep(d)
				require.Equal(t, extapi.FallbackNone, r.Fallback)
				_, err = d.Write([]byte("hello"))
				require.NoError(t, err)
				s := <-w.accepted
				require.EqualValues(t, 1, w.l.Counters().CookiesRecv)
				got := make([]byte, 5)
				_, err = s.d.Read(got)
				require.NoError(t, err)
				require.Equal(t, "hello", string(got))
				time.Sleep(50 * time.Millisecond)
				w.join(d)
				exchange(t, d, s.d, 1<<20)
				for _, x := range []interface{ Info() extapi.ConnInfo }{d, s.d} {
					require.Equal(t, extapi.FallbackNone, x.Info().Fallback)
				}
			})
		})
	}
}

// "if uniqueness is not met [...], then the connection MUST fall back to using regular TCP by not sending an MP_CAPABLE
// in the SYN/ACK" (RFC 8684 section 3.1). When the token has been taken since, the connection falls back later.
func TestCookieWhoseTokenIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pressed(t)
		w.taken = true
		c, s := w.dial(w.seed(true))
		require.Equal(t, extapi.FallbackPeer, c.r.Fallback)
		exchange(t, c.d, s.d, 1<<20)
	})
	synctest.Test(t, func(t *testing.T) {
		w := pressed(t)
		w.late = true
		c, s := w.dial(w.seed(true))
		require.Equal(t, extapi.FallbackNone, c.r.Fallback, "the client has been told that it is multipath")
		exchange(t, c.d, s.d, 1<<20)
		require.NotEqual(t, extapi.FallbackNone, c.d.Info().Fallback)
	})
}

// A program that is not ready, or does not want the connection, is asked when the third segment comes.
func TestCookieBeforeTheServerIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pressed(t)
		w.early = 1
		d, _, err := w.client.Dial(t.Context(), w.seed(true), netip.AddrPortFrom(clientAddr, 0), serverAt, "")
		require.NoError(t, err)
		w.keep(d)
		_, err = d.Write([]byte{1})
		require.NoError(t, err)
		s := <-w.accepted
		_, err = s.d.Read(make([]byte, 1))
		require.NoError(t, err)
		exchange(t, d, s.d, 1000)
		_, waiting := w.l.tcp.Pending()
		require.Zero(t, waiting)
	})
}

// 100,000 joins a second with tokens of no connection: nothing is kept, few are answered, and a genuine one gets in.
func TestFloodOfJoinsWithWrongTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t, secondAddr)
		c, s := w.dial(w.seed(true))
		w.hello(c.d, s.d)
		resets := 0
		w.fabric.watch(func(s *packet.Segment) bool {
			if s.Flags.Has(packet.RST) {
				resets++
			}
			return false
		})
		inFlood(t, w, func(i int) packet.Segment { return strangeJoin(i, rand.Uint32()) }, func() {
			ports, flows, tokens := w.population()
			require.Equal(t, [3]int{0, 1, 2}, [3]int{ports, flows, tokens})
			w.join(c.d)
			exchange(t, c.d, s.d, 1<<20)
		})
		w.fabric.watch(nil)
		require.NotZero(t, resets)
		require.LessOrEqual(t, resets, 1500)
	})
}

func strangeJoin(i int, token uint32) packet.Segment {
	return packet.Segment{
		Src: stranger(i), Dst: serverAt, Seq: rand.Uint32(), Flags: packet.SYN, Window: 64000,
		Options: options.MPJoin{Form: options.JoinSyn, AddrID: 7, Token: token, Nonce: rand.Uint32()}.Append(nil),
	}
}

// Somebody has seen the token, but not the keys. Of his joins few are let begin, his HMACs are wrong, and the
// connection goes on.
func TestFloodOfJoinsWithWrongHMACs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newDistantWorld(t)
		c, s := w.dial(w.seed(true))
		w.hello(c.d, s.d)
		server := w.fabric.hosts[1]
		begun, resets := 0, 0
		w.fabric.watch(func(s *packet.Segment) bool {
			switch {
			case s.Src != serverAt || s.Dst.Addr() == clientAddr:
			case s.Flags.Has(packet.RST):
				resets++
			case s.Flags.Has(packet.SYN | packet.ACK):
				begun++
				ack := packet.Segment{Src: s.Dst, Dst: s.Src, Seq: s.Ack, Ack: s.Seq + 1, Flags: packet.ACK, Window: 64000}
				if begun%2 == 0 { // the other half leaves the third segment out
					ack.Options = options.MPJoin{Form: options.JoinAck}.Append(nil)
					b, err := ack.Append(nil, packet.FullChecksum)
					require.NoError(t, err)
					server.arrive(b)
				}
			}
			return false
		})
		token := s.d.Token()
		inFlood(t, w, func(i int) packet.Segment { return strangeJoin(i, token) }, func() {
			ports, _, _ := w.population()
			require.LessOrEqual(t, ports, 32)
			require.Len(t, s.d.Subflows(), 1)
			exchange(t, c.d, s.d, 1<<20)
		})
		w.fabric.watch(nil)
		require.NotZero(t, begun)
		require.LessOrEqual(t, begun, 100, "those sent again count too")
		require.LessOrEqual(t, resets, 1500)
		require.Equal(t, extapi.FallbackNone, s.d.Info().Fallback)
	})
}
