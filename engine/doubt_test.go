package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/stretchr/testify/require"
)

// byProxy makes whoever is in the middle of f's path acknowledge everything at once.
func byProxy(f *scriptFlow) {
	f.stats.InFlight, f.stats.Acked = 0, int64(f.ssn)
	f.s.c.HandleAcked(f.s.now, f.id)
	f.s.drain()
}

// dead by proxy: the bytes on f are acknowledged by its path and never reach the peer; g works.
func deadByProxy(t *testing.T) (s *script, f, g *scriptFlow) {
	s, f, g = double(t, true)
	g.stats.InFlight, g.stats.Acked = 0, 0
	g.room = 0
	s.write("lost!")
	byProxy(f)
	f.room, g.room = 0, 1<<20
	s.write("there")
	byProxy(g)
	f.room = 1 << 20
	f.clear()
	g.clear()
	return s, f, g
}

// Acknowledgements of a proxy keep the dead path from looking stalled: the overdue byte tells. The path
// that has delivered everything and waits for the hole to be filled is not to blame.
func TestOverdueByteBlamesItsCarrierNotWhoWaits(t *testing.T) {
	s, f, g := deadByProxy(t)
	for range 10 { // every look finds both paths' TCP content
		s.wait(80 * time.Millisecond)
		byProxy(f)
	}
	require.Equal(t, extapi.StateStale, s.state(f))
	require.Equal(t, extapi.StateActive, s.state(g))
	require.Contains(t, strings.Join(g.log, "; "), "data 0+5", "reinjected on the path that works")
	g.Sends(ack(10))
	require.True(t, s.c.Drained())
	require.Equal(t, extapi.StateStale, s.state(f), "the DATA_ACK may owe everything to the other path")
	f.Sends(alive)
	require.Equal(t, extapi.StateActive, s.state(f), "the peer itself answers")
}

// A question or its answer may get lost, and Linux gives none twice in half a second: a doubted path is asked again, ever
// more rarely, as long as there is something to send, and also by who cannot probe it with a join. An idle connection
// asks nobody.
func TestDoubtedPathIsAskedAgain(t *testing.T) {
	s, f, g := deadByProxy(t)
	for range 10 {
		s.wait(80 * time.Millisecond)
		byProxy(f)
	}
	require.Equal(t, extapi.StateStale, s.state(f))
	g.Sends(ack(10))
	f.clear()
	var at []time.Duration
	for sent := uint64(10); s.now < 20*time.Second; sent++ {
		s.write("x")
		byProxy(g)
		s.wait(20 * time.Millisecond)
		g.Sends(ack(sent + 1))
		for range strings.Count(strings.Join(f.log, "; "), "probe") {
			at = append(at, s.now)
		}
		f.clear()
	}
	require.Greater(t, len(at), 3, "%v", at)
	require.Less(t, len(at), 8, "%v", at)
	require.Less(t, at[0], 2*time.Second)
	for i := range at[1:] {
		require.Greater(t, at[i+1]-at[i], 520*time.Millisecond, "Linux answers")
	}
	s.wait(time.Second)
	f.clear()
	s.wait(time.Hour)
	require.Empty(t, f.log, "nothing to send")
	s.write("x")
	byProxy(g)
	s.wait(2 * stallFloor)
	require.Contains(t, f.log, "probe", "there is again")
	f.Sends(alive)
	require.Equal(t, extapi.StateActive, s.state(f), "it may be used again")
}

// With no other path left there is nobody to blame: a stale path is better than none.
func TestOverdueByteOnTheOnlyPathIsSentAgainThere(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	byProxy(f)
	f.clear()
	s.wait(time.Second)
	require.Equal(t, extapi.StateActive, s.state(f))
	require.Contains(t, f.log, "data 0+5")
	f.Sends(ack(5))
	require.True(t, s.c.Drained())
}

// feed lets the peer send on f, the application reading along, for as long as d.
func feed(s *script, f *scriptFlow, at *uint64, d time.Duration, also func()) {
	chunk := strings.Repeat("x", 40<<10)
	for end := s.now + d; s.now < end; {
		s.wait(20 * time.Millisecond)
		f.Sends(data(*at, chunk))
		*at += uint64(len(chunk))
		s.wantRead(chunk)
		also()
	}
}

// Who only receives has nothing that could stay unacknowledged: it asks, and believes the silence.
func TestReceiverNoticesASilentPath(t *testing.T) {
	s, f, g := double(t, true)
	var at uint64
	f.Sends(data(0, "begin"))
	at += 5
	s.wantRead("begin")
	feed(s, g, &at, 400*time.Millisecond, func() { g.Sends(alive) })
	require.Equal(t, extapi.StateActive, s.state(f), "too early to tell")
	feed(s, g, &at, 2*time.Second, func() { g.Sends(alive) })
	require.Equal(t, extapi.StateStale, s.state(f))
	require.Equal(t, extapi.StateActive, s.state(g))
	require.NotEmpty(t, s.joins, "its path is probed with a fresh join")
	f.Sends(alive)
	require.Equal(t, extapi.StateActive, s.state(f))
}

// A path on which the peer has merely nothing to send answers, and stays in use.
func TestReceiverKeepsAQuietPathThatAnswers(t *testing.T) {
	s, f, g := double(t, true)
	var at uint64
	feed(s, g, &at, 4*time.Second, func() { f.Sends(alive); g.Sends(alive) })
	require.Equal(t, extapi.StateActive, s.state(f))
	require.Equal(t, extapi.StateActive, s.state(g))
}

// Who only receives asks now and then on every flow. A flow that keeps silent while data comes on another is doubted, but not for
// the time that its carrier keeps the question.
func TestSilenceCountsFromWhenTheQuestionLeaves(t *testing.T) {
	for _, held := range []time.Duration{0, 600 * time.Millisecond} {
		s, f, g := double(t, true)
		f.stats.InFlight, f.stats.Acked, f.held = 0, 0, held
		s.wait(time.Second)
		var asked time.Duration
		for at := uint64(0); s.state(f) == extapi.StateActive && s.now < 5*time.Second; at += rttFloor {
			g.Sends(data(at, strings.Repeat("x", rttFloor)))
			_, err := s.read()
			require.NoError(t, err)
			if asked == 0 && strings.Contains(strings.Join(f.log, "; "), "probe") {
				asked = s.now
			}
			s.wait(rttEvery)
		}
		require.NotZero(t, asked)
		require.Equal(t, extapi.StateStale, s.state(f))
		require.InDelta(t, (held + minPatience).Seconds(), (s.now - asked).Seconds(), 0.05, "held for %v", held)
	}
}
