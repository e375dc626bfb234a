package engine

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// behind are three flows whose TCP is the carrier's own: f has sent 0+5, and nothing comes back; g has sent 5+5 and 10+5, which
// the peer's TCP has acknowledged; h has room.
func behind(t *testing.T) (s *script, f, g, h *scriptFlow) {
	s, f, g = double(t, true)
	h = s.joined("10.0.3.1:5000")
	for _, x := range s.flows {
		x.stats.InFlight, x.stats.Acked, x.stats.Patience = 0, 0, 220*time.Millisecond
		x.room = 0
	}
	f.room = 5
	s.write("01234")
	f.room, f.stats.InFlight = 0, 5
	for _, p := range []string{"56789", "abcde"} {
		g.room = 5
		s.write(p)
		g.room = 0
	}
	f.Wants("what everything waits for", "data 0+5")
	g.Wants("what comes behind it", "data 5+5", "data 10+5")
	acked(g, 10)
	h.room = 1 << 20
	return s, f, g, h
}

// What the peer's TCP has acknowledged is not sent again while something is missing in front of it: the peer says that it has
// it as soon as that has come. Linux would keep both copies, if they were cut otherwise, until it is stuck for good.
func TestWhatHasArrivedWaitsForWhatIsMissing(t *testing.T) {
	for name, out := range map[string]func(s *script, g *scriptFlow){
		"reset":       func(_ *script, g *scriptFlow) { g.ends(io.ErrUnexpectedEOF) },
		"closed":      func(s *script, g *scriptFlow) { require.NoError(t, s.c.CloseFlow(s.now, g.id)) },
		"address off": func(s *script, g *scriptFlow) { s.c.abortFlow(s.now, s.c.flow(g.id), ResetUnspecified, ErrAddrGone) },
		"stale":       func(s *script, g *scriptFlow) { s.c.stale(s.now, s.c.flow(g.id)); s.c.pump(s.now) },
	} {
		t.Run(name, func(t *testing.T) {
			s, f, g, h := behind(t)
			out(s, g)
			require.Empty(t, h.data)
			f.ends(io.ErrUnexpectedEOF)
			require.Equal(t, "01234", string(h.data))
			h.Sends(ack(15))
			require.True(t, s.c.Drained())
			require.EqualValues(t, 5, s.c.Info().BytesReinjected)
		})
	}
}

// Not so where the peer's TCP may be a proxy.
func TestWhatAProxyHasAcknowledgedIsSentAgain(t *testing.T) {
	s, _, g, h := behind(t)
	g.stats.Patience = 0
	s.c.observe(s.now, s.c.flow(g.id))
	g.ends(io.ErrUnexpectedEOF)
	require.Equal(t, "56789abcde", string(h.data))
}

// A DATA_ACK that ends in front of it shows that it has not arrived after all: the first piece is sent again soon, and as soon
// as the next DATA_ACK ends behind that, all.
func TestWhatHasNotArrivedAfterAll(t *testing.T) {
	s, f, g, h := behind(t)
	g.ends(io.ErrUnexpectedEOF)
	f.ends(io.ErrUnexpectedEOF)
	h.clear()
	h.Sends(ack(5))
	s.wait(headFloor - time.Millisecond)
	require.Empty(t, h.data)
	s.wait(50 * time.Millisecond)
	require.Equal(t, "56789", string(h.data))
	h.clear()
	h.Sends(ack(10))
	require.Equal(t, "abcde", string(h.data))
	h.Sends(ack(15))
	require.True(t, s.c.Drained())
}

// Nor has the oldest byte of all, whatever was acknowledged: it is sent again at once, and what follows it when the DATA_ACK
// ends behind it.
func TestTheOldestByteHasNotArrived(t *testing.T) {
	_, f, g, h := behind(t)
	f.Sends(ack(5))
	g.ends(io.ErrUnexpectedEOF)
	require.Equal(t, "56789", string(h.data))
	h.clear()
	h.Sends(ack(10))
	require.Equal(t, "abcde", string(h.data))
}
