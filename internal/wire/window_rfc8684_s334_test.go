package wire

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// "a receiver MUST NOT shrink the right edge of the receive window (i.e., DATA_ACK + receive window)" (RFC 8684 section 3.3.4): nor
// does the rounding to what the scaled field can say, while the reader sleeps and segments of odd sizes come.
func TestRightEdgeNeverShrinksOnTheWire(t *testing.T) {
	w, r := one(t, 44, func(h *host) { h.cfg.RecvBuffer, h.params.RecvBuffer = 1<<20, 4<<20 })
	r.keep = true
	w.dial()
	w.run(200*time.Millisecond, nil)
	w.server.paused = true
	const n = 60
	for i := range n {
		w.client.out = append(w.client.out, pattern(1+i*977%3001)...)
		w.run(w.now+20*time.Millisecond, nil)
	}
	var scale uint8
	var edge, told uint64
	steps := 0
	for _, s := range r.seen {
		var got received
		got.parse(s.Options)
		switch {
		case s.Src.Port() != 80:
		case s.Flags.Has(packet.SYN):
			scale = got.scale
		case got.hasDSS && got.dss.HasAck:
			edge = got.dss.DataAck + uint64(s.Window)<<scale
			require.GreaterOrEqual(t, edge, told)
			if told = edge; s.Window > 0 {
				steps++
			}
		}
	}
	require.EqualValues(t, 7, scale)
	require.Greater(t, steps, n/2)
	require.LessOrEqual(t, edge-w.client.key.IDSN()-1, uint64(256<<10)*9/8, "and little more is promised than there is")
}

// A batch is acknowledged in steps, each with the newest DATA_ACK, that the window is relative to; after a fallback TCP's ACK is what
// it is relative to, and the edge must not move back either.
func TestRightEdgeOfAcksInSteps(t *testing.T) {
	for _, fallen := range []bool{false, true} {
		s := newScript(t, false, func(h *host) { h.cfg.RecvBuffer, h.params.RecvBuffer = 64<<10-1, 64<<10-1 })
		p := s.open()
		s.us.paused = true
		mapping := []options.Option{s.maps(0, 1, 2)}
		if fallen {
			mapping = []options.Option{s.maps(0, 1, 0)}
		}
		p.sends(packet.ACK, "ab", mapping...)
		p.out = nil
		const full = 1460
		edge, acked := uint64(0), uint32(0)
		for i := range 5 {
			s.wait(time.Second)
			mapping = nil
			if !fallen {
				mapping = []options.Option{s.maps(uint64(2+i*8*full), uint32(3+i*8*full), 8*full)}
			}
			p.sends(packet.ACK, string(pattern(8*full)), mapping...)
			acks := slices.DeleteFunc(p.out, func(seg packet.Segment) bool { return seg.Seq-p.iss != p.got }) // probes ask for a round-trip time
			require.Len(t, acks, 4, "two segments each")
			for _, seg := range acks {
				from := uint64(seg.Ack - p.isn - 1)
				var got received
				if got.parse(seg.Options); !fallen {
					require.True(t, got.hasDSS && got.dss.HasAck)
					from = got.dss.DataAck - s.us.key.IDSN() // off by a constant
				}
				require.Equal(t, fallen, !got.hasDSS)
				require.Greater(t, seg.Ack-p.isn, acked)
				acked = seg.Ack - p.isn
				require.GreaterOrEqual(t, from+uint64(seg.Window), edge, "fallen %v", fallen)
				edge = from + uint64(seg.Window)
			}
			p.out = nil
		}
	}
}
