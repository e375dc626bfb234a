package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// own makes the script's flows those of a TCP that is the carrier's own, with nothing under way.
func own(flows ...*scriptFlow) {
	for _, f := range flows {
		f.stats.InFlight, f.stats.Acked, f.stats.Patience, f.stats.SRTT = 0, 0, 220*time.Millisecond, time.Millisecond
	}
}

func (f *scriptFlow) reminded() (n int) {
	for _, l := range f.log {
		if l == "remind" {
			n++
		}
	}
	return n
}

// The peer's TCP has everything, and its Multipath TCP has said so of nothing: it is asked, ever more rarely, until it has.
func TestLateDataAckIsAskedFor(t *testing.T) {
	s, f := single(t, true)
	own(f)
	f.stats.InFlight = 5
	s.write("hello")
	f.Wants("the data", "data 0+5")
	s.wait(5 * lagFloor)
	f.Wants("the answer is on its way")

	f.stats.InFlight = 0
	acked(f, 5)
	s.wait(lagFloor - 1)
	f.Wants("it may come by itself")
	s.wait(1)
	f.Wants("asked", "remind")
	s.wait(2*lagFloor - 1)
	f.Wants("it may be under way")
	s.wait(1)
	f.Wants("asked again", "remind")
	f.Sends(ack(5))
	s.wait(time.Minute)
	require.Zero(t, f.reminded(), "all is said")
}

// What comes anyway need not be asked for.
func TestDataAckIsNotAskedForInVain(t *testing.T) {
	start := func(t *testing.T) (s *script, f, g *scriptFlow) {
		s, f, g = double(t, true)
		own(f, g)
		g.room = 0
		f.stats.InFlight = 5
		s.write("hello")
		f.Wants("the data", "data 0+5")
		f.stats.InFlight = 0
		return s, f, g
	}
	t.Run("it does come", func(t *testing.T) {
		s, f, _ := start(t)
		f.Sends(ack(5))
		acked(f, 5)
		s.wait(time.Minute)
		require.Zero(t, f.reminded())
	})
	t.Run("another answer is on its way", func(t *testing.T) {
		s, f, g := start(t)
		g.stats.InFlight = 1
		acked(f, 5)
		s.wait(dataFloor - 1)
		require.Zero(t, f.reminded()+g.reminded())
	})
	t.Run("a proxy has it", func(t *testing.T) {
		s, f, _ := start(t)
		f.stats.Patience = 0
		acked(f, 5)
		s.wait(dataFloor - 1)
		require.Zero(t, f.reminded())
	})
	t.Run("the path is long", func(t *testing.T) {
		s, f, _ := start(t)
		f.stats.SRTT = 100 * time.Millisecond
		acked(f, 5)
		s.wait(25*time.Millisecond - 1)
		require.Zero(t, f.reminded())
		s.wait(1)
		require.Equal(t, 1, f.reminded())
	})
}

// A peer that reads nothing for long is left alone: the data-level timeout takes over.
func TestQuestionsForADataAckEnd(t *testing.T) {
	s, f := single(t, true)
	own(f)
	s.write("hello")
	acked(f, 5)
	f.room = 0
	s.wait(time.Minute)
	require.Equal(t, lagAsks, f.reminded())
}

// One that has begun to read is asked soon again, whatever patience it took before.
func TestADataAckBeginsTheQuestionsAnew(t *testing.T) {
	s, f := single(t, true)
	own(f)
	s.write("hello")
	acked(f, 5)
	s.wait(31 * lagFloor)
	require.Equal(t, 5, f.reminded())
	f.Sends(ack(2))
	f.clear()
	s.wait(lagFloor - 1)
	require.Zero(t, f.reminded())
	s.wait(1)
	require.Equal(t, 1, f.reminded())
}
