package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/scheduler"
	"github.com/stretchr/testify/require"
)

// Mappings that interleave with those of other paths can't grow: each had better fill whole segments.
func TestMappingsFillSegments(t *testing.T) {
	s, f := single(t, false)
	f.stats.Segment, f.room = 1420, 5000
	s.write(strings.Repeat("x", 10_000))
	require.Equal(t, []string{"data 0+4260"}, f.log, "three segments of the 5000 bytes that there is room for")
	f.clear()
	f.room = 50_000
	s.c.HandleRoom(s.now, f.id)
	require.Equal(t, []string{"data 4260+5740"}, f.log, "the last one may be short")
}

// A small mapping is not worth its cost while more waits, as long as something is under way that brings room.
func TestMappingsAreWorthTheirCost(t *testing.T) {
	s, f := single(t, false)
	f.stats.Segment, f.stats.Worth, f.room = 1420, 8000, 4000
	s.write(strings.Repeat("x", 20_000))
	require.Equal(t, []string{"data 0+2840"}, f.log, "nothing is under way yet")
	f.clear()
	s.c.HandleRoom(s.now, f.id)
	require.Empty(t, f.log, "more room will come")
	f.room = 8600
	s.c.HandleRoom(s.now, f.id)
	require.Equal(t, []string{"data 2840+8520"}, f.log)
	f.clear()
	f.room = 7000
	s.c.HandleRoom(s.now, f.id)
	require.Empty(t, f.log)
	s.now += time.Millisecond
	f.room = 8700
	s.c.HandleRoom(s.now, f.id)
	require.Equal(t, []string{"data 11360+8640"}, f.log, "all that is left")
}

// sips is a scheduler that gives a little at a time.
type sips struct{ scheduler.Scheduler }

func (x sips) Next(v *scheduler.View) scheduler.Decision {
	d := x.Scheduler.Next(v)
	d.Len = min(d.Len, 2000)
	return d
}

// A scheduler's own measure is not waited for: there is room enough, and nobody would say so again.
func TestSchedulersMayGiveLittle(t *testing.T) {
	s, f := single(t, false, func(c *Config) { c.Scheduler = sips{scheduler.MinRTT.New()} })
	f.stats.Segment, f.stats.Worth, f.room = 1000, 8000, 1<<20
	s.write(strings.Repeat("x", 5000))
	require.Equal(t, []string{"data 0+2000", "data 2000+2000", "data 4000+1000"}, f.log)
}

// What a small mapping costs its carrier knows: where segments are small, the room for one is worth it.
func TestSmallSegmentsAreWorthAMapping(t *testing.T) {
	s, f := single(t, false)
	f.stats.Segment, f.stats.Worth, f.room = 472, 472, 1000
	s.write(strings.Repeat("x", 5000))
	s.c.HandleRoom(s.now, f.id)
	require.Equal(t, []string{"data 0+944", "data 944+944"}, f.log)
}

// A path on which nothing is under way takes what there is room for: no more room would come. What it has delivered and is not
// DATA_ACKed waits for another path.
func TestIdlePathTakesWhatThereIsRoomFor(t *testing.T) {
	s, f := single(t, false)
	f.stats.InFlight, f.stats.Segment, f.stats.Worth, f.room = 0, 1420, 8000, 3000
	s.write(strings.Repeat("x", 20_000))
	s.c.HandleRoom(s.now, f.id)
	require.Equal(t, []string{"data 0+2840", "data 2840+2840"}, f.log)
	f.clear()
	f.stats.InFlight = 1420
	s.c.HandleRoom(s.now, f.id)
	require.Empty(t, f.log, "more room will come")
}
