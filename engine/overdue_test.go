package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/stretchr/testify/require"
)

const overdueStep = 20 * time.Millisecond

// answers lets time pass while the flows in alive answer every question.
func answers(s *script, d time.Duration, alive ...*scriptFlow) {
	for end := s.now + d; s.now < end; {
		s.wait(overdueStep)
		for _, f := range alive {
			s.c.HandleProgress(s.now, f.id)
		}
	}
}

// A proxy acknowledges, the peer keeps silent: well before the data-level timeout the carrier of the
// oldest byte is doubted, and the byte is sent on the path that answers.
func TestCarrierThatDoesNotAnswerIsDoubted(t *testing.T) {
	s, f, g := deadByProxy(t)
	began := s.now
	f.stats.Unanswered = s.now + 1
	for s.state(f) == extapi.StateActive && s.now < began+time.Second {
		answers(s, overdueStep, g)
	}
	require.Equal(t, extapi.StateStale, s.state(f))
	require.LessOrEqual(t, s.now-began, 200*time.Millisecond)
	require.Contains(t, strings.Join(g.log, "; "), "data 0+5")
	require.Contains(t, strings.Join(f.log, "; "), "probe")
	require.Equal(t, extapi.StateActive, s.state(g))
}

// Nobody is doubted on less: before the data-level timeout silence tells nothing of a path when the peer
// answers nowhere, when the question itself still waits for the path, or when what it carries arrives.
func TestCarrierIsNotDoubtedWithoutProof(t *testing.T) {
	const before = dataFloor - 100*time.Millisecond
	t.Run("the peer is busy", func(t *testing.T) {
		s, f, _ := deadByProxy(t)
		f.stats.Unanswered = s.now + 1
		answers(s, before)
		require.Equal(t, extapi.StateActive, s.state(f))
	})
	t.Run("the question is on its way", func(t *testing.T) {
		s, f, g := deadByProxy(t)
		answers(s, before, g)
		require.Equal(t, extapi.StateActive, s.state(f))
	})
	t.Run("its round trip is long", func(t *testing.T) {
		s, f, g := deadByProxy(t)
		f.stats.SRTT, f.stats.Unanswered = 320*time.Millisecond, s.now+1
		answers(s, before, g)
		require.Equal(t, extapi.StateActive, s.state(f))
	})
	t.Run("we were away", func(t *testing.T) {
		s, f, g := deadByProxy(t)
		f.stats.Unanswered = s.now + 1
		s.now += time.Hour
		s.c.HandleProgress(s.now, g.id) // read first
		s.c.HandleTimeout(s.now)
		s.c.HandleProgress(s.now, f.id) // and then this
		f.stats.Unanswered = 0
		require.Equal(t, extapi.StateActive, s.state(f))
	})
}

// The clock jumps while everything is under way: the paths are not to blame for what nobody looked at, and their
// silence afterwards is noticed as ever.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Second, time.Minute, 48 * time.Hour} {
		s, f, g := double(t, true)
		s.write(strings.Repeat("x", 40_000))
		f.stats.InFlight, g.stats.InFlight = 20_000, 20_000
		s.now += jump
		s.c.HandleTimeout(s.now)
		s.drain()
		require.Equal(t, extapi.StateActive, s.state(f), jump)
		require.Equal(t, extapi.StateActive, s.state(g), jump)
		f.Sends(ack(40_000))
		require.True(t, s.c.Drained())

		f.stats.InFlight, g.stats.InFlight = 0, 0
		f.clear()
		g.clear()
		s.write("hello")
		carrier, other := f, g
		if len(g.data) > 0 {
			carrier, other = g, f
		}
		answers(s, 5*time.Second, other)
		require.Equal(t, extapi.StateStale, s.state(carrier), jump)
		require.Equal(t, extapi.StateActive, s.state(other), jump)
	}
}

// With every path stale the connection lives on and looks at them ever more rarely.
func TestStalePathsAreLookedAtRarely(t *testing.T) {
	s, f, g := double(t, false)
	f.stats.InFlight, f.stats.Acked, g.stats.InFlight, g.stats.Acked = 0, 0, 0, 0
	s.write(strings.Repeat("x", 100_000))
	f.stats.InFlight, g.stats.InFlight = 50_000, 50_000
	s.wait(5 * time.Second)
	require.Equal(t, extapi.StateStale, s.state(f))
	looks := 0
	for end := s.now + time.Minute; s.now < end; looks++ {
		at, ok := s.c.Next()
		require.True(t, ok)
		s.now = max(at, s.now)
		s.c.HandleTimeout(s.now)
		s.drain()
	}
	require.LessOrEqual(t, looks, 130, "about two a second")
	require.NoError(t, s.c.Err())
	g.Sends(alive)
	require.Equal(t, extapi.StateActive, s.state(g))
	g.stats.InFlight = 0
	s.wait(3 * time.Second)
	require.NoError(t, s.c.Err())
}
