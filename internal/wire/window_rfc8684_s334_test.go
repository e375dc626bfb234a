package wire

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
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
