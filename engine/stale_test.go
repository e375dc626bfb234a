package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/stretchr/testify/require"
)

// acked lets f's TCP acknowledge n bytes more.
func acked(f *scriptFlow, n int64) {
	f.stats.Acked += n
	f.s.c.HandleAcked(f.s.now, f.id)
	f.s.drain()
}

// untilStale waits until f has been given up and says how long that took.
func untilStale(s *script, f *scriptFlow) time.Duration {
	began := s.now
	for s.state(f) == extapi.StateActive && s.now < began+3*time.Second {
		s.wait(time.Millisecond)
	}
	return s.now - began
}

// silent makes f carry a window of bytes while g waits.
func silent(t *testing.T) (s *script, f, g *scriptFlow) {
	s, f, g = double(t, false)
	g.room = 0
	f.stats.SRTT, f.stats.Acked, f.stats.CWnd, f.stats.InFlight = 50*time.Millisecond, 0, 100_000, 100_000
	s.write(strings.Repeat("x", 100_000))
	acked(f, 1)
	return s, f, g
}

// A path that has been out, and whose TCP now sends a whole window again, is not taken back at the first
// acknowledgement: what waits for it would hang on a repair of many round trips, or on the next outage.
func TestPathUnderRepairIsNotTakenBack(t *testing.T) {
	s, f, g := silent(t)
	untilStale(s, f)
	g.room = 1 << 20
	f.stats.CWnd = 1400
	for range 3 {
		acked(f, 1400)
		require.Equal(t, extapi.StateStale, s.state(f))
		s.wait(50 * time.Millisecond)
	}
	require.Contains(t, strings.Join(g.log, "; "), "data 0+", "what it carries goes elsewhere all the same")
	f.stats.CWnd, f.stats.InFlight = 50_000, 80_000
	acked(f, 10_000)
	require.Equal(t, extapi.StateActive, s.state(f))
}

// Neither the outage nor a path that pauses makes us so patient that the next death stalls everything.
func TestPatienceIsBounded(t *testing.T) {
	t.Run("after an outage", func(t *testing.T) {
		s, f, _ := silent(t)
		untilStale(s, f)
		s.wait(600 * time.Millisecond)
		acked(f, 1400) // all is well again
		require.Equal(t, extapi.StateActive, s.state(f))
		require.LessOrEqual(t, untilStale(s, f), 200*time.Millisecond)
	})
	t.Run("with pauses", func(t *testing.T) {
		s, f, _ := silent(t)
		for _, pause := range []time.Duration{60 * time.Millisecond, 150 * time.Millisecond} {
			s.wait(pause)
			acked(f, 1400)
			require.Equal(t, extapi.StateActive, s.state(f), "a pause of %v", pause)
		}
		require.LessOrEqual(t, untilStale(s, f), 200*time.Millisecond)
	})
}

// What the carrier sends by itself, an answer to the peer's question after a long silence, is not overdue at
// the first look that sees it, whenever the last one was.
func TestAnswerOfTheCarrierIsNotOverdueAtOnce(t *testing.T) {
	s, f, g := double(t, false)
	for _, x := range []*scriptFlow{f, g} {
		x.stats.SRTT, x.stats.Acked, x.stats.CWnd, x.stats.InFlight = 40*time.Millisecond, 0, 14_000, 0
	}
	g.room = 0
	s.write("hello")
	acked(f, 1)
	s.wait(100 * time.Millisecond)
	f.Sends(ack(5))
	s.wait(5 * time.Second) // f and g are silent, and owe nothing
	g.stats.InFlight = 8    // an ECHO came
	s.write("more")
	acked(f, 1)
	s.wait(90 * time.Millisecond)
	require.Equal(t, extapi.StateActive, s.state(g))
	g.stats.InFlight, f.stats.InFlight = 8, 4
	s.wait(200 * time.Millisecond)
	require.Equal(t, extapi.StateStale, s.state(g), "from then on it is waited for")
}

// Who only receives is not told dead by an acknowledgement that waits behind the peer's own data.
func TestPathThatDeliversIsAlive(t *testing.T) {
	s, f, g := double(t, true)
	for _, x := range []*scriptFlow{f, g} {
		x.stats.SRTT, x.stats.Acked, x.stats.CWnd, x.stats.InFlight = 40*time.Millisecond, 0, 14_000, 28
	}
	var at uint64
	feed(s, f, &at, 400*time.Millisecond, func() { g.Sends(alive) })
	require.Equal(t, extapi.StateActive, s.state(f))
	feed(s, g, &at, 400*time.Millisecond, func() { g.Sends(alive) })
	require.Equal(t, extapi.StateStale, s.state(f), "it owes an acknowledgement and brings nothing")
}
