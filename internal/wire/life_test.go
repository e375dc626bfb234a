package wire

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

func TestTransferOverLossyPaths(t *testing.T) {
	for seed := range uint64(3) {
		for _, checksum := range []bool{false, true} {
			w, a, b := two(t, 20+seed, func(h *host) {
				h.offer.Checksum = checksum && h.client
				if seed == 1 {
					h.super = 64 << 10
				}
			})
			a.loss, b.loss, a.reorder = 0.01, 0.03, 0.02
			w.exchange(2<<20, 2<<20, 2*time.Minute)
			require.Equal(t, checksum, w.client.eng.Info().Checksum)
			require.Equal(t, checksum, w.server.eng.Info().Checksum)
			require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
			require.True(t, w.run(w.now+2*time.Minute, w.over))
			require.NoError(t, w.client.eng.Err())
		}
	}
}

// Odd sizes, either side asking for checksums, either side speaking, an end right behind the first byte.
func TestSmallExchanges(t *testing.T) {
	for mask := range 4 {
		for _, n := range [][2]int{{0, 0}, {1, 0}, {0, 1}, {1, 1}, {101, 7}, {1421, 1}, {1, 14001}, {30000, 29999}} {
			t.Run(fmt.Sprint(mask, n), func(t *testing.T) {
				w, _ := one(t, uint64(mask), func(h *host) { h.offer.Checksum = h.client && mask&1 != 0 || !h.client && mask&2 != 0 })
				w.exchange(n[0], n[1], 10*time.Second)
				require.Equal(t, mask != 0, w.server.eng.Info().Checksum)
				require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
				require.Equal(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
				require.True(t, w.run(w.now+30*time.Second, w.over))
				require.NoError(t, w.client.eng.Err())
				require.NoError(t, w.server.eng.Err())
				require.Less(t, w.now, 20*time.Second)
			})
		}
	}
}

// Peers that do not speak it, or will not: plain TCP through the same engine.
func TestPlainPeers(t *testing.T) {
	for _, who := range []string{"client", "server", "both"} {
		w, _ := one(t, 30, func(h *host) { h.plain = who == "both" || h.client == (who == "client") })
		w.exchange(300<<10, 300<<10, time.Minute)
		require.NotEqual(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
		require.NotEqual(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
		require.True(t, w.run(w.now+2*time.Minute, w.over))
	}
}

// Whoever asks for a flow's room, be it to choose one for a signal, does not keep it from who waits for it to write. The first DATA_ACK
// makes the connection established, which lets its signals out; it brings no word of data that has arrived, for with a checksum none
// has before all of its mapping, whose end is lost here.
func TestRoomIsOfferedWhoeverAsked(t *testing.T) {
	w, r := one(t, 40, func(h *host) {
		h.offer.Checksum = true
		h.cfg.JoinDelay, h.cfg.RecvBuffer = time.Hour, 64<<10 // and no word of a larger window
	})
	r.delay = 26 * time.Millisecond
	w.client.out, w.server.out = pattern(22335), pattern(36377)
	var left []time.Duration // data segments
	r.box = func(up bool, s packet.Segment) []packet.Segment {
		if up && len(s.Payload) > 0 {
			if left = append(left, w.now); len(left) == 9 {
				return nil
			}
		}
		return pass(s)
	}
	w.dial()
	w.run(time.Second, func() bool { return w.server.in.Len() == 22335 })
	require.Equal(t, left[0], left[8], "the initial window")
	require.Less(t, left[9]-left[0], 2*r.delay+2*time.Millisecond, "the first acknowledgement makes room")
}

// lose drops the n-th packets (counted from 1) of those that match.
func lose(match func(up bool, s packet.Segment) bool, which ...int) box {
	n := 0
	return func(up bool, s packet.Segment) []packet.Segment {
		if match(up, s) {
			n++
			for _, x := range which {
				if x == n {
					return nil
				}
			}
		}
		return pass(s)
	}
}

func fromClient(up bool, s packet.Segment) bool { return up && kind(s) != "SYN" }

// The third ACK is lost, and what follows it too: the server waits for the keys rather than fall back.
func TestThirdAckLost(t *testing.T) {
	for _, lost := range [][]int{{1}, {1, 2}, {1, 3}, {2}, {1, 2, 3, 4}} {
		for _, n := range [][2]int{{0, 5000}, {5000, 0}, {20000, 20000}, {0, 0}} {
			t.Run(fmt.Sprint(lost, n), func(t *testing.T) {
				w, r := one(t, 31)
				r.box = lose(fromClient, lost...)
				w.exchange(n[0], n[1], time.Minute)
				require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
				require.Equal(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
			})
		}
	}
}

// "the packet MUST be retransmitted if this ACK is not received", and no data before.
func TestJoinThirdAckLost(t *testing.T) {
	for _, lost := range [][]int{{1}, {1, 2}, {1, 2, 3}} {
		for _, up := range []bool{true, false} { // the third message, or the fourth
			w, a, b := two(t, 32)
			a.rate, b.keep = mbit(20), true
			b.box = lose(func(dir bool, s packet.Segment) bool { return dir == up && kind(s) != "SYN" && kind(s) != "SYN/ACK" }, lost...)
			w.exchange(4<<20, 0, time.Minute)
			require.Equal(t, 1, w.client.subflows())
			thirds, data := 0, false
			for _, s := range b.seen {
				var r received
				r.parse(s.Options)
				if r.hasJoin && r.join.Form == options.JoinAck {
					require.False(t, data, "no data in PRE_ESTABLISHED")
					thirds++
				}
				data = data || len(s.Payload) > 0
			}
			if up {
				require.GreaterOrEqual(t, thirds, len(lost)+1)
			}
			require.GreaterOrEqual(t, thirds, 2)
			require.LessOrEqual(t, thirds, 2*len(lost)+2, "keep-alives may ask for it, too")
		}
	}
}

func TestPathDiesAndAnotherTakesOver(t *testing.T) {
	w, a, _ := two(t, 33)
	w.after(150*time.Millisecond, func() { a.dead = true })
	w.exchange(4<<20, 4<<20, time.Minute)
	require.Less(t, w.now, 6*time.Second)
}

// Addresses are announced, echoed, dialled and withdrawn: IPv4 and IPv6.
func TestAnnouncedAddress(t *testing.T) {
	for _, a := range []string{"10.0.3.2", "fd00::2"} {
		t.Run(a, func(t *testing.T) {
			w, r := one(t, 34, func(h *host) { h.cfg.Policy.FullMesh = true })
			local := "10.0.3.1"
			if a[0] == 'f' {
				local = "fd00::1"
			} else {
				w.connect("10.0.1.1", a, route{delay: 5 * time.Millisecond, rate: mbit(100)})
				w.connect(local, "10.0.1.2", route{delay: 5 * time.Millisecond, rate: mbit(100)})
			}
			b := w.connect(local, a, route{delay: 5 * time.Millisecond, rate: mbit(100)})
			b.keep, r.keep = true, true
			w.after(30*time.Millisecond, func() {
				w.server.eng.SetListening([]netip.AddrPort{netip.AddrPortFrom(addr(a), 80)})
				require.NoError(t, w.server.eng.AddLocalAddr(w.now, netip.AddrPortFrom(addr(a), 80)))
			})
			w.exchange(8<<20, 0, time.Minute)
			require.NotEmpty(t, b.seen, "a join goes there")
			adds, echoes := 0, 0
			for _, s := range r.seen {
				var got received
				got.parse(s.Options)
				for _, o := range got.signals {
					if x, ok := o.(options.AddAddr); ok && x.Echo {
						echoes++
					} else if ok {
						adds++
						require.Equal(t, addr(a), x.Addr)
					}
				}
			}
			require.Equal(t, []int{1, 1}, []int{adds, echoes})
			require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
		})
	}
}

// A lost ADD_ADDR comes again; signals alone never make more than two duplicate ACKs in a row.
func TestSignalsAreFewInARow(t *testing.T) {
	w, r := one(t, 35)
	w.dial()
	w.run(100*time.Millisecond, nil)
	r.keep = true
	f := w.client.flows[0]
	for i := range 7 {
		f.Signal(w.now, options.RemoveAddr{N: 1, IDs: [37]uint8{uint8(i + 20)}})
		f.Signal(w.now, options.AddAddr{AddrID: uint8(i + 20), Addr: addr("fd00::9"), HMAC: 1})
	}
	w.run(5*time.Second, nil)
	var at []packet.Segment
	var when []time.Duration
	for i, s := range r.seen {
		if s.Dst.Port() == 80 {
			at, when = append(at, s), append(when, r.when[i])
		}
	}
	require.GreaterOrEqual(t, len(at), 9, "seven ADD_ADDRs with IPv6 addresses need an ACK each")
	for i := range when[2:] {
		require.GreaterOrEqual(t, when[i+2]-when[i], 200*time.Millisecond, "the third of any three comes when no sender takes it for a sign of loss")
	}
	total := 0
	for _, s := range at {
		var got received
		got.parse(s.Options)
		total += len(got.signals)
	}
	require.Equal(t, 14, total, "all leave in the end")
	require.Equal(t, 2, burst(w, f.Flow), "two at once")
}

// burst is how many segments a flow sends at once when many signals wait.
func burst(w *world, f *Flow) int {
	for i := range 5 {
		f.Signal(w.now, options.AddAddr{AddrID: uint8(i + 40), Addr: addr("fd00::9"), HMAC: 1})
	}
	n := 0
	out := packet.Segment{Options: make([]byte, 0, packet.MaxOptions)}
	for f.Poll(w.now, &out) {
		n++
	}
	f.Sent(w.now)
	return n
}

// MP_FASTCLOSE on an ACK is answered with a RST; one that is lost comes again, three times, and then a RST.
func TestFastclose(t *testing.T) {
	for _, lost := range []int{0, 1, 3, 9} {
		w, a, b := two(t, 36)
		w.client.out = pattern(200 << 10) // less than the window, whose end only one of the paths would tell of
		w.server.paused = true
		w.dial()
		w.run(300*time.Millisecond, nil)
		require.Equal(t, 1, w.client.subflows())
		b.dead = true
		a.keep = true
		var which []int
		for i := range lost {
			which = append(which, i+1)
		}
		fast := func(s packet.Segment) bool {
			var got received
			got.parse(s.Options)
			return got.hasFast
		}
		a.box = lose(func(up bool, s packet.Segment) bool { return fast(s) }, which...)
		w.client.eng.Abort(w.now, engine.ResetUnspecified)
		require.True(t, w.client.eng.Done())
		w.run(w.now+20*time.Second, nil)
		acks, rsts := 0, 0
		for _, s := range a.seen {
			if fast(s) && s.Flags.Has(packet.RST) {
				rsts++
			} else if fast(s) {
				acks++
			}
		}
		require.Empty(t, w.client.flows, "nothing stays")
		if lost <= 3 { // "A RECOMMENDED number is 3."
			require.Equal(t, []int{lost + 1, 0}, []int{acks, rsts})
			require.True(t, w.server.eng.Done())
			var r *engine.ResetError
			require.ErrorAs(t, w.server.eng.Err(), &r)
			require.True(t, r.Remote)
			require.Equal(t, "MPFastcloseRx 1, MPRstTx 2", w.server.endings(), "one for each subflow")
			require.Equal(t, fmt.Sprintf("MPFastcloseTx %d, MPRstTx 1, MPRstRx 1", acks+1), w.client.endings(), "the RST of the other subflow says it, too")
		} else {
			require.Equal(t, []int{4, 1}, []int{acks, rsts})
			require.Equal(t, "MPFastcloseTx 6, MPRstTx 2", w.client.endings())
		}
	}
}

// A reader that sleeps closes the window, and no byte is lost.
func TestReaderSleeps(t *testing.T) {
	w, _, _ := two(t, 37, func(h *host) { h.cfg.RecvBuffer = 128 << 10 })
	w.server.paused = true
	w.client.out, w.client.fin, w.server.fin = pattern(1<<20), true, true
	w.dial()
	w.run(10*time.Second, nil)
	require.LessOrEqual(t, w.server.eng.Info().RecvBuffered, int64(256<<10))
	w.server.paused = false
	require.True(t, w.run(w.now+time.Minute, func() bool { return w.server.eof && w.client.eof }))
	w.arrived(pattern(1<<20), w.server)
}

// A server whose SYN queue is full stays multipath without state.
func TestStatelessServerStaysMultipath(t *testing.T) {
	for _, checksum := range []bool{false, true} {
		w, _ := one(t, 38, func(h *host) { h.offer.Checksum = checksum && h.client })
		w.server.cookies()
		w.exchange(100<<10, 100<<10, time.Minute)
		require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
		require.Equal(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
		require.Equal(t, checksum, w.server.eng.Info().Checksum)
	}
}

func TestStatelessServerWithPlainClient(t *testing.T) {
	w, _ := one(t, 39, func(h *host) { h.plain = h.client })
	w.server.cookies()
	w.exchange(100<<10, 100<<10, time.Minute)
	require.NotEqual(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
}

// Questions leave at a pace at which Linux answers them, however often the engine asks, and none that has been answered already.
func TestProbesHaveAPace(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	flow := s.us.flows[0].Flow
	require.Equal(t, s.w.now, flow.Probe(s.w.now), "it leaves now")
	require.Equal(t, s.w.now+probePace, flow.Probe(s.w.now), "and the next one then")
	ask := func(d time.Duration) int {
		f.out = nil
		for end := s.w.now + d; s.w.now < end; {
			flow.Probe(s.w.now)
			s.us.turn()
			s.wait(25 * time.Millisecond)
		}
		return len(f.out)
	}
	require.Equal(t, 4, ask(1900*time.Millisecond), "at once, and every 600 ms")
	s.wait(time.Second)
	require.Equal(t, 5, len(f.out), "the last one in its turn")
	flow.Probe(s.w.now)
	flow.Probe(s.w.now)
	s.us.turn()
	f.out = nil
	f.acks(s.ack(0))
	s.wait(time.Minute)
	require.Empty(t, f.out, "the peer has been heard")
}
