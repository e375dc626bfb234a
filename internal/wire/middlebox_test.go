package wire

import (
	"slices"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// box is a middlebox: what becomes of a packet.
type box func(up bool, s packet.Segment) []packet.Segment

func pass(s packet.Segment) []packet.Segment { return []packet.Segment{s} }

// without replaces the Multipath TCP options that match by NOPs.
func without(s packet.Segment, match func(options.Subtype) bool) packet.Segment {
	b := append([]byte(nil), s.Options...)
	s.Options = b
	for len(b) > 0 {
		o, rest, err := options.Next(b)
		if err != nil || len(o) == 0 {
			break
		}
		if sub, ok := o.Subtype(); ok && match(sub) {
			for i := range o {
				o[i] = options.KindNOP
			}
		}
		b = rest
	}
	return s
}

func all(options.Subtype) bool { return true }

func kind(s packet.Segment) string {
	switch {
	case s.Flags.Has(packet.SYN | packet.ACK):
		return "SYN/ACK"
	case s.Flags.Has(packet.SYN):
		return "SYN"
	case len(s.Payload) > 0:
		return "DATA"
	}
	return "ACK"
}

// strip takes all options of Multipath TCP off the packets that match.
func strip(match func(up bool, s packet.Segment) bool) box {
	return func(up bool, s packet.Segment) []packet.Segment {
		if match(up, s) {
			s = without(s, all)
		}
		return pass(s)
	}
}

// The rows of the table of middleboxes that strip options on the first subflow: nothing is lost, both ends
// are plain TCP at the end, and nobody goes back.
func TestOptionsStripped(t *testing.T) {
	for _, tt := range []struct {
		name           string
		box            box
		client, server extapi.FallbackReason
	}{
		{"M1 SYN", strip(func(up bool, s packet.Segment) bool { return kind(s) == "SYN" }),
			extapi.FallbackPeer, extapi.FallbackPeer},
		{"M2 SYN/ACK", strip(func(up bool, s packet.Segment) bool { return kind(s) == "SYN/ACK" }),
			extapi.FallbackPeer, extapi.FallbackThirdAck},
		{"M3 everything of the client but the SYN", strip(func(up bool, s packet.Segment) bool { return up && kind(s) != "SYN" }),
			extapi.FallbackStripped, extapi.FallbackThirdAck},
		{"M6 everything but the SYNs", strip(func(up bool, s packet.Segment) bool { return kind(s) != "SYN" && kind(s) != "SYN/ACK" }),
			extapi.FallbackStripped, extapi.FallbackThirdAck},
		{"M8 everything of the server but the SYN/ACK", strip(func(up bool, s packet.Segment) bool { return !up && kind(s) != "SYN/ACK" }),
			extapi.FallbackStripped, extapi.FallbackInfiniteMap},
	} {
		for _, speaks := range []string{"client", "server", "both"} {
			t.Run(tt.name+"/"+speaks, func(t *testing.T) {
				w, r := one(t, 3)
				r.box = tt.box
				up, down := 200<<10, 200<<10
				if speaks == "client" {
					down = 0
				} else if speaks == "server" {
					up = 0
				}
				w.exchange(up, down, time.Minute)
				require.NotEqual(t, extapi.FallbackNone, w.client.eng.Info().Fallback, "client")
				require.NotEqual(t, extapi.FallbackNone, w.server.eng.Info().Fallback, "server")
				if speaks == "client" {
					require.Equal(t, tt.client.String(), w.client.eng.Info().Fallback.String())
					require.Equal(t, tt.server.String(), w.server.eng.Info().Fallback.String())
				}
				require.Less(t, w.now, 5*time.Second)
				require.True(t, w.run(w.now+2*time.Minute, w.over))
				require.NoError(t, w.client.eng.Err())
				require.NoError(t, w.server.eng.Err())
			})
		}
	}
}

// M4: every SYN with an unknown option is dropped.
func TestBlackhole(t *testing.T) {
	w, r := one(t, 4)
	r.box = func(up bool, s packet.Segment) []packet.Segment {
		if o := Open(&s); up && kind(s) == "SYN" && o.Asks != AsksPlain {
			return nil
		}
		return pass(s)
	}
	w.exchange(10<<10, 10<<10, time.Minute)
	require.Equal(t, extapi.FallbackBlackhole, w.client.result.Fallback)
	require.Less(t, w.now, 4*time.Second, "two SYNs with the option, then one without")
}

// M5: a path that MP_JOIN does not pass is not used, and the connection does not notice.
func TestJoinStripped(t *testing.T) {
	for _, which := range []string{"SYN", "SYN/ACK", "ACK"} {
		t.Run(which, func(t *testing.T) {
			w, _, b := two(t, 5)
			b.keep = true
			b.box = strip(func(up bool, s packet.Segment) bool { return kind(s) == which })
			w.exchange(2<<20, 2<<20, time.Minute)
			for _, s := range b.seen {
				require.NotEqual(t, "DATA", kind(s))
			}
			require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
			require.Less(t, len(b.seen), 12, "it is not tried again and again")
		})
	}
}

// M7: options of a further subflow vanish after its handshake.
func TestStrippedOnOneOfTwo(t *testing.T) {
	for _, from := range []time.Duration{0, 80 * time.Millisecond} {
		w, _, b := two(t, 6)
		b.keep = true
		b.box = strip(func(up bool, s packet.Segment) bool {
			var r received
			r.parse(s.Options)
			return !r.hasJoin && !s.Flags.Has(packet.RST) && w.now >= from
		})
		w.exchange(6<<20, 1<<20, time.Minute)
		var reasons []uint8
		for _, s := range b.seen {
			var r received
			r.parse(s.Options)
			if r.hasRst {
				reasons = append(reasons, r.rst.Reason)
			}
		}
		require.Contains(t, reasons, uint8(engine.ResetMiddlebox))
		require.Equal(t, 1, w.client.subflows(), "the path is not tried again")
		require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
	}
}

// M8: a re-route in the middle of a connection with one subflow.
func TestStrippedMidway(t *testing.T) {
	for _, which := range []string{"up", "down", "both"} {
		t.Run(which, func(t *testing.T) {
			w, r := one(t, 7)
			r.box = strip(func(up bool, s packet.Segment) bool {
				return w.now > 100*time.Millisecond && (which == "both" || up == (which == "up"))
			})
			w.exchange(3<<20, 3<<20, time.Minute)
			require.NotEqual(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
			require.NotEqual(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
			require.True(t, w.run(w.now+2*time.Minute, w.over))
		})
	}
}

// M12: initial sequence numbers are rewritten, in both directions.
func TestSequenceNumbersRewritten(t *testing.T) {
	w, a, b := two(t, 8)
	for i, r := range []*route{a, b} {
		var delta [2]uint32
		delta[0], delta[1] = 1<<31, 0xdeadbeef*uint32(i+1)
		r.box = func(up bool, s packet.Segment) []packet.Segment {
			d, e := delta[0], delta[1]
			if !up {
				d, e = e, d
			}
			s.Seq += d
			if s.Flags.Has(packet.ACK) {
				s.Ack -= e
			}
			return pass(moveSACK(s, -e))
		}
	}
	w.exchange(4<<20, 4<<20, time.Minute)
	require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
	require.Positive(t, w.client.subflows(), "the join passes too")
}

func (h *host) subflows() int {
	n := 0
	for _, e := range h.events {
		if s, ok := e.(extapi.SubflowEstablished); ok && s.Info.ID > 1 {
			n++
		}
	}
	return n
}

// moveSACK shifts SACK blocks, as a box does that does its job.
func moveSACK(s packet.Segment, by uint32) packet.Segment {
	b := append([]byte(nil), s.Options...)
	s.Options = b
	for len(b) > 0 {
		o, rest, err := options.Next(b)
		if err != nil || len(o) == 0 {
			break
		}
		if o.Kind() == options.KindSACK {
			if sack, err := options.ParseSACK(o); err == nil {
				for i := range sack.Blocks[:sack.N] {
					sack.Blocks[i].Left += by
					sack.Blocks[i].Right += by
				}
				copy(o, sack.Append(nil))
			}
		}
		b = rest
	}
	return s
}

// M13: segments are cut into pieces, each with all options, or with the options on the first or last alone.
func TestSegmentsCut(t *testing.T) {
	for _, keep := range []string{"all", "first", "last"} {
		t.Run(keep, func(t *testing.T) {
			w, a, b := two(t, 9)
			for _, r := range []*route{a, b} {
				r.box = func(up bool, s packet.Segment) []packet.Segment {
					s.SegSize = 500
					l := split(s)
					for i := range l {
						if keep == "first" && i > 0 || keep == "last" && i < len(l)-1 {
							l[i] = without(l[i], all)
						}
					}
					return l
				}
			}
			w.exchange(2<<20, 2<<20, time.Minute)
			if keep == "last" {
				return // the first piece of the first data lacks MP_CAPABLE: that is a fallback
			}
			require.Equal(t, extapi.FallbackNone, w.client.eng.Info().Fallback)
			require.Equal(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
		})
	}
}

// M14: segments are glued together, and one set of options survives: that of the first.
func TestSegmentsGlued(t *testing.T) {
	w, r := one(t, 10)
	var last [2]*packet.Segment
	r.box = func(up bool, s packet.Segment) []packet.Segment {
		i := 0
		if up {
			i = 1
		}
		held := last[i]
		switch {
		case held == nil && len(s.Payload) > 1000:
			last[i] = &s
			return nil
		case held == nil:
			return pass(s)
		}
		last[i] = nil
		if held.Seq+uint32(len(held.Payload)) == s.Seq && len(s.Payload) > 0 {
			held.Payload = append(held.Payload, s.Payload...)
			held.Flags |= s.Flags
			held.Ack = s.Ack
			return pass(*held)
		}
		return []packet.Segment{*held, s}
	}
	w.exchange(1<<20, 1<<20, 2*time.Minute)
}

// M17: a box changes the payload and keeps its length.
func TestPayloadChanged(t *testing.T) {
	for _, paths := range []int{1, 2} {
		w, _, b := two(t, 11, func(h *host) { h.offer.Checksum = h.client })
		bad := b
		if paths == 1 {
			w.routes = w.routes[:1]
			w.client.addrs = w.client.addrs[:1]
			bad = w.routes[0]
		}
		changed := 0
		bad.box = func(up bool, s packet.Segment) []packet.Segment {
			if up && w.now > 150*time.Millisecond && len(s.Payload) > 100 && changed < 1 {
				changed++
				s.Payload = append([]byte(nil), s.Payload...)
				s.Payload[50] ^= 0x20
			}
			return pass(s)
		}
		a := pattern(4 << 20)
		w.client.out, w.client.fin, w.server.fin = a, true, true
		w.dial()
		w.run(time.Minute, func() bool { return w.client.eof && w.server.eof })
		require.Equal(t, 1, changed)
		require.Equal(t, len(a), w.server.in.Len())
		wrong := 0
		for i, x := range w.server.in.Bytes() {
			if x != a[i] {
				wrong++
			}
		}
		if paths == 1 {
			require.Equal(t, 1, wrong, "what was changed is delivered, as TCP does, and nothing else")
			require.Equal(t, extapi.FallbackChecksum, w.server.eng.Info().Fallback)
			require.Equal(t, extapi.FallbackChecksum, w.client.eng.Info().Fallback)
		} else {
			require.Zero(t, wrong, "what was changed comes again on the other path")
			require.Equal(t, extapi.FallbackNone, w.server.eng.Info().Fallback)
		}
	}
}

// MP_FAIL finds its way beside data whose options leave it no room, and nothing is lost or doubled in either direction.
func TestFailIsToldBesideData(t *testing.T) {
	w, r := one(t, 14, func(h *host) { h.offer.Checksum = h.client })
	var changed, heard time.Duration
	r.box = func(up bool, s packet.Segment) []packet.Segment {
		if up && changed == 0 && w.now > 300*time.Millisecond && len(s.Payload) > 100 {
			changed = w.now
			s.Payload = append([]byte(nil), s.Payload...)
			s.Payload[50] ^= 0x20
		}
		var o received
		if o.parse(s.Options); !up && heard == 0 && slices.ContainsFunc(o.signals, func(o options.Option) bool { _, ok := o.(options.MPFail); return ok }) {
			heard = w.now
			require.LessOrEqual(t, int64(o.dss.DataAck-o.signals[0].(options.MPFail).DSN), int64(0), "what has failed is not acknowledged along with it")
		}
		return pass(s)
	}
	for _, h := range []*host{w.client, w.server} {
		h.out, h.fin = pattern(4<<20), true
	}
	w.dial()
	require.True(t, w.run(time.Minute, func() bool { return w.client.eof && w.server.eof }))
	require.NotZero(t, changed)
	require.NotZero(t, heard)
	require.Less(t, heard-changed, 100*time.Millisecond)
	require.Equal(t, 4<<20, w.client.in.Len())
	require.Equal(t, 4<<20, w.server.in.Len())
	require.Equal(t, pattern(4<<20), w.client.in.Bytes())
}

// M20: whatever is sent again, and however it is cut, one sequence number stands for one byte.
func TestRetransmissionsNeverDiffer(t *testing.T) {
	w, a, b := two(t, 12)
	for _, r := range []*route{a, b} {
		r.loss, r.reorder, r.keep = 0.03, 0.02, true
	}
	w.exchange(3<<20, 3<<20, 2*time.Minute)
	type place struct {
		src, dst string
		seq      uint32
	}
	sent := map[place]byte{}
	for _, r := range []*route{a, b} {
		for _, s := range r.seen {
			for i, x := range s.Payload {
				p := place{s.Src.String(), s.Dst.String(), s.Seq + uint32(i)}
				if old, ok := sent[p]; ok {
					require.Equal(t, old, x)
				}
				sent[p] = x
			}
		}
	}
}

// M23: timestamps, SACK and window scale are stripped on one path, so that the room for options differs.
func TestTCPOptionsStrippedOnOnePath(t *testing.T) {
	w, _, b := two(t, 13)
	b.box = func(up bool, s packet.Segment) []packet.Segment {
		if up && s.Flags.Has(packet.SYN) {
			o := append([]byte(nil), s.Options...)
			for i := 4; i < 20 && i < len(o); i++ { // MSS stays, and what comes behind the 20 bytes of TCP's own
				o[i] = options.KindNOP
			}
			s.Options = o
		}
		return pass(s)
	}
	w.exchange(3<<20, 3<<20, time.Minute)
	require.Equal(t, 1, w.client.subflows())
}

// M27: packets come twice, late, and out of order.
func TestReorderedAndDuplicated(t *testing.T) {
	w, a, b := two(t, 14)
	for _, r := range []*route{a, b} {
		r.reorder = 0.1
		r.box = func(up bool, s packet.Segment) []packet.Segment {
			if w.rng.Float64() < 0.05 {
				return []packet.Segment{s, s}
			}
			return pass(s)
		}
	}
	w.exchange(4<<20, 4<<20, time.Minute)
}

// M34: a load balancer sends joins elsewhere: the token is unknown there.
func TestJoinReachesAnotherHost(t *testing.T) {
	w, _, b := two(t, 15)
	b.keep = true
	other := w.server.key + 1
	b.box = func(up bool, s packet.Segment) []packet.Segment {
		if o := Open(&s); up && kind(s) == "SYN" && o.Asks == AsksJoin {
			s.Options = append([]byte(nil), s.Options...)
			j := o.Join
			j.Token = other.Token()
			copy(s.Options[len(s.Options)-12:], j.Append(nil))
		}
		return pass(s)
	}
	w.exchange(2<<20, 0, time.Minute)
	require.Zero(t, w.client.subflows())
	require.Len(t, b.seen, 2, "one SYN and one RST: the address is not tried again")
	var r received
	r.parse(b.seen[1].Options)
	require.True(t, r.hasRst)
	require.EqualValues(t, engine.ResetProtocol, r.rst.Reason)
}
