package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// carried are the bytes of the mappings that a flow was given.
func (f *scriptFlow) carried(t *testing.T) (n int) {
	for _, line := range f.log {
		var dsn, bytes int
		_, err := fmt.Sscanf(line, "data %d+%d", &dsn, &bytes)
		require.NoError(t, err, line)
		n += bytes
	}
	return n
}

// shorts is a connection on whose first flow 40 short segments are on their way.
func shorts(t *testing.T) (s *script, f, g *scriptFlow) {
	s, f, g = double(t, false)
	f.stats.Segment, g.stats.Segment = 1000, 1000
	g.room = 0
	for range 40 {
		s.write(strings.Repeat("x", 500))
	}
	return s, f, g
}

// The peer's window has room for 65 segments of 1000 bytes. Where 40 or so short ones are on their way on one flow, another one takes
// what is left of the 65, since all but the first may have to wait at the peer.
func TestShortSegmentsFillTheWindowLikeFullOnes(t *testing.T) {
	s, f, g := shorts(t)
	short, sent := len(f.log), f.carried(t)
	require.Equal(t, 20_000, sent)
	require.GreaterOrEqual(t, short, 40)
	f.clear()
	f.room, g.room = 0, 1<<20
	s.write(strings.Repeat("x", 100_000))
	more := g.carried(t)
	require.LessOrEqual(t, short+more/1000, 65)
	require.Greater(t, short+more/1000, 60)

	g.clear()
	g.room = 0
	f.room = 1 << 20
	s.c.HandleRoom(s.now, f.id)
	require.Empty(t, f.log, "here it would outrun what the other flow carries")
	g.room = 1 << 20
	f.Sends(ack(uint64(sent + more)))
	require.NotEmpty(t, append(f.log, g.log...), "nothing is under way any more")
}

// segments is how many TCP segments of at most 1000 bytes the mappings make that a flow was given.
func (f *scriptFlow) segments(t *testing.T) (n int) {
	for _, line := range f.log {
		var dsn, bytes int
		_, err := fmt.Sscanf(line, "data %d+%d", &dsn, &bytes)
		require.NoError(t, err, line)
		n += (bytes + 999) / 1000
	}
	return n
}

// Of a window of 65,536 bytes a sixteenth stays free for what may have to wait at the peer. What is left is no room for a 62nd
// segment, however short.
func TestARestOfTheWindowIsNoRoomForAShortSegment(t *testing.T) {
	for first := 20_000; first < 21_000; first += 50 {
		s, f, g := double(t, false)
		f.stats.Segment, g.stats.Segment = 1000, 1000
		g.room = 0
		s.write(strings.Repeat("x", 1000))
		f.room, g.room = 0, 1<<20
		s.write(strings.Repeat("x", first))
		for range 100 {
			s.write(strings.Repeat("x", 300))
		}
		sent := f.segments(t) + g.segments(t)
		require.LessOrEqual(t, sent, 61, "%d bytes first", first)
		require.Greater(t, sent, 59)
		require.Positive(t, s.c.snd.unsent())
		g.clear()
		f.Sends(ack(1000))
		require.Zero(t, s.c.snd.unsent(), "nothing can be missing in front of it any more")
	}
}

// On one flow nothing can be missing in front of what has arrived: the window alone counts.
func TestShortSegmentsOfOneFlow(t *testing.T) {
	s, f, _ := shorts(t)
	s.write(strings.Repeat("x", 100_000))
	require.Greater(t, f.carried(t), initialWindow-sillyRoom)
	f.Sends(ack(uint64(f.carried(t))))
	require.Zero(t, s.c.sent.padding, "nothing of it is under way")
}

// A window that is full in this sense blocks new data like any other: what everything waits for comes on a faster flow too.
func TestWindowFullOfShortSegmentsIsNoReasonToWait(t *testing.T) {
	s, f, g := shorts(t)
	f.stats.SRTT, g.stats.SRTT = 400*time.Millisecond, 10*time.Millisecond
	f.room, g.room = 0, 1<<20
	s.write(strings.Repeat("x", 100_000))
	require.Positive(t, s.c.Backlog())
	require.Contains(t, g.log, "data 0+500")
}
