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

func (h *host) subflows() int {
	n := 0
	for _, e := range h.events {
		if s, ok := e.(extapi.SubflowEstablished); ok && s.Info.ID > 1 {
			n++
		}
	}
	return n
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
