package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/stretchr/testify/require"
)

// knowing are two flows whose TCP is the carrier's own, the first one with data in flight and the patience given.
func knowing(t *testing.T, patience time.Duration) (s *script, f, g *scriptFlow) {
	s, f, g = double(t, true)
	for _, x := range []*scriptFlow{f, g} {
		x.stats.InFlight, x.stats.Acked, x.stats.Patience = 0, 0, patience
	}
	g.room = 0
	s.write(strings.Repeat("x", 30_000))
	f.stats.InFlight = 30_000
	f.room, g.room = 0, 1<<20
	f.clear()
	g.clear()
	return s, f, g
}

// A path is not dead before its own TCP gives up waiting, and not much later either.
func TestTCPsPatienceDecidesOnSilence(t *testing.T) {
	const patience = 220 * time.Millisecond
	s, f, _ := knowing(t, patience)
	began := s.now
	s.wait(patience - time.Millisecond)
	require.Equal(t, extapi.StateActive, s.state(f))
	for s.state(f) == extapi.StateActive && s.now < began+time.Second {
		s.wait(time.Millisecond)
	}
	require.LessOrEqual(t, s.now-began, 300*time.Millisecond)
}

// As long as the peer is heard on it, late ACKs wait in a queue; but not for ever.
func TestAPathOnWhichThePeerIsHeardIsGivenTime(t *testing.T) {
	const patience = 220 * time.Millisecond
	s, f, g := knowing(t, patience)
	began := s.now
	for sent := 0; s.state(f) == extapi.StateActive && s.now < began+2*time.Second; sent++ {
		s.wait(50 * time.Millisecond)
		f.Sends(data(uint64(sent), "x"))
		s.c.HandleStuck(s.now, f.id)
	}
	require.Greater(t, s.now-began, 2*patience)
	require.LessOrEqual(t, s.now-began, (1+heardPatience)*patience+100*time.Millisecond)
	require.Contains(t, strings.Join(g.log, "; "), "data 0+", "then another path takes over")
}

// What TCP is about to send again is overdue, and is sent elsewhere, but its path works.
func TestAPathThatDeliversIsNotBlamedForALateByte(t *testing.T) {
	s, f, g := knowing(t, 220*time.Millisecond)
	for range 10 {
		s.wait(80 * time.Millisecond)
		f.stats.Acked += 1000
		f.stats.InFlight -= 1000
		s.c.HandleAcked(s.now, f.id)
	}
	require.Contains(t, strings.Join(g.log, "; "), "data 0+")
	require.Equal(t, extapi.StateActive, s.state(f))
}

// What holds everything up on a path that delivers is copied piece by piece: the next one may have arrived there.
func TestCopiesFromAPathThatDeliversAreFew(t *testing.T) {
	copies := func(patience time.Duration) int {
		s, f, g := double(t, true, func(c *Config) { c.SendBuffer = 256 << 10 })
		for _, x := range []*scriptFlow{f, g} {
			x.stats.InFlight, x.stats.Acked, x.stats.Patience = 0, 0, patience
		}
		f.stats.SRTT, g.stats.SRTT = 300*time.Millisecond, 10*time.Millisecond
		g.room = 0
		f.Sends(window(256 << 10))
		s.write(strings.Repeat("x", 256<<10))
		f.stats.InFlight = 256 << 10
		f.room, g.room = 0, 1<<20
		s.now += 50 * time.Millisecond
		s.c.HandleRoom(s.now, g.id)
		return len(slices.DeleteFunc(g.log, func(l string) bool { return !strings.HasPrefix(l, "data ") }))
	}
	require.Greater(t, copies(0), 1)
	require.Equal(t, 1, copies(500*time.Millisecond))
}
