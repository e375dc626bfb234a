package scheduler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// step is one question to a scheduler and the answer wanted, because of why.
type step struct {
	why  string
	view View
	want Decision
}

// data is a view with plenty of data and window.
func data(paths ...Path) View {
	return View{Unsent: 8 << 20, PeerWindow: 8 << 20, Paths: paths}
}

// again is a view of a chunk that was already sent on these paths.
func again(on []PathID, paths ...Path) View {
	return View{Reinject: true, SentOn: on, Paths: paths}
}

func rtt(id PathID, room int64, srtt time.Duration) Path {
	return Path{ID: id, Room: room, SRTT: srtt, RTTVar: 0}
}

func backup(p Path) Path { p.Backup = true; return p }

func prefer(p Path, n int) Path { p.Prefer = n; return p }

func rate(p Path, bytesPerSecond int64) Path { p.Rate = bytesPerSecond; return p }

func to(id PathID, n int, dup ...PathID) Decision { return Decision{Path: id, Len: n, Dup: dup} }

var wait = Decision{}

func run(t *testing.T, f Factory, steps []step) {
	t.Helper()
	s := f.New()
	for _, st := range steps {
		got := s.Next(&st.view)
		if len(got.Dup) == 0 {
			got.Dup = nil
		}
		require.Equal(t, st.want, got, st.why)
	}
}

// What no scheduler does differently when there is one choice.
func TestSharedRules(t *testing.T) {
	for _, f := range builtin {
		for _, st := range []step{
			{"nothing usable", data(), wait},
			{"no room", data(rtt(1, 0, ms)), wait},
			{"no data", View{PeerWindow: 1000, Paths: []Path{rtt(1, 1000, ms)}}, wait},
			{"no window", View{Unsent: 1000, Paths: []Path{rtt(1, 1000, ms)}}, wait},
			{"as much as there is", View{Unsent: 10, PeerWindow: 20, Paths: []Path{rtt(1, 30, ms)}}, to(1, 10)},
			{"as much as the peer takes", View{Unsent: 20, PeerWindow: 10, Paths: []Path{rtt(1, 30, ms)}}, to(1, 10)},
			{"as much as the path takes", View{Unsent: 20, PeerWindow: 20, Paths: []Path{rtt(1, 10, ms)}}, to(1, 10)},
			{"room may be negative", data(rtt(1, -5, ms), rtt(2, 10, ms)), to(2, 10)},
			{"a regular path before a faster backup", data(backup(rtt(1, 10, ms)), rtt(2, 10, 90*ms)), to(2, 10)},
			{"a regular path without room keeps backups unused", data(backup(rtt(1, 10, ms)), rtt(2, 0, 90*ms)), wait},
			{"a backup when there is no other", data(backup(rtt(1, 10, ms))), to(1, 10)},
			{"preferred while it has room", data(rtt(1, 10, ms), prefer(rtt(2, 10, 90*ms), 1)), Decision{Path: 2}},
			{"the other when the preferred has none", data(rtt(1, 10, ms), prefer(rtt(2, 0, 90*ms), 1)), to(1, 10)},
			{"avoided while another has room", data(prefer(rtt(1, 10, ms), -1), rtt(2, 10, 90*ms)), to(2, 10)},
			{"avoided when nothing else has", data(prefer(rtt(1, 10, ms), -1), rtt(2, 0, 90*ms)), to(1, 10)},
			{"avoid beats backup", data(prefer(rtt(1, 10, ms), -1), backup(rtt(2, 10, ms))), to(1, 10)},
			{"backups have preferences too", data(backup(rtt(1, 10, ms)), backup(prefer(rtt(2, 10, 9*ms), 1))), Decision{Path: 2}},
			{"again: not where it was", again([]PathID{1}, rtt(1, 10, ms), rtt(2, 10, 90*ms)), to(2, 10)},
			{"again: waits for a path where it was not", again([]PathID{1}, rtt(1, 10, ms), rtt(2, 0, 90*ms)), wait},
			{"again: where it was when there is no other", again([]PathID{1}, rtt(1, 10, ms)), to(1, 10)},
			{"again: where it was before a backup", again([]PathID{1}, rtt(1, 10, ms), backup(rtt(2, 10, ms))), to(1, 10)},
			{"again: a backup where it was not", again([]PathID{1}, backup(rtt(1, 10, ms)), backup(rtt(2, 10, ms))), to(2, 10)},
			{"again: the peer's window is not asked", again(nil, rtt(1, 10, ms)), to(1, 10)},
		} {
			t.Run(f.Name()+"/"+st.why, func(t *testing.T) {
				got := f.New().Next(&st.view)
				require.Equal(t, st.want.Path, got.Path)
				if st.want.Len != 0 || st.want.Path == 0 {
					require.Equal(t, st.want.Len, got.Len)
				}
				if st.want.Path == 0 {
					require.Empty(t, got.Dup)
				}
			})
		}
	}
}

func TestMinRTT(t *testing.T) {
	noisy := func(p Path, v time.Duration) Path { p.RTTVar = v; return p }
	costly := func(p Path, c int) Path { p.Cost = c; return p }
	t.Run("lowest", func(t *testing.T) {
		run(t, MinRTT, []step{
			{"lowest of three", data(rtt(1, 10, 30*ms), rtt(2, 10, 10*ms), rtt(3, 10, 20*ms)), to(2, 10)},
			{"next lowest when it is full", data(rtt(1, 10, 30*ms), rtt(2, 0, 10*ms), rtt(3, 10, 20*ms)), to(3, 10)},
			{"and back", data(rtt(1, 10, 30*ms), rtt(2, 10, 10*ms), rtt(3, 10, 20*ms)), to(2, 10)},
		})
	})
	t.Run("sticks", func(t *testing.T) {
		run(t, MinRTT, []step{
			{"start", data(rtt(1, 1000, 100*ms)), to(1, 1000)},
			{"10 % better is not better", data(rtt(1, 10, 100*ms), rtt(2, 10, 90*ms)), to(1, 10)},
			{"beyond 10 % is", data(rtt(1, 10, 100*ms), rtt(2, 10, 90*ms-1)), to(2, 10)},
			{"alike again: stays", data(rtt(1, 10, 89*ms), rtt(2, 10, 90*ms)), to(2, 10)},
			{"the noise of the last path counts", data(rtt(1, 10, 60*ms), noisy(rtt(2, 10, 90*ms), 30*ms)), to(2, 10)},
			{"up to a point", data(rtt(1, 10, 60*ms-1), noisy(rtt(2, 10, 90*ms), 30*ms)), to(1, 10)},
			{"unknown noise is none", data(noisy(rtt(1, 10, 90*ms), -1), rtt(2, 10, 60*ms)), to(2, 10)},
			{"a preferred one is reason enough", data(prefer(rtt(1, 10, 90*ms), 1), rtt(2, 10, 60*ms)), to(1, 10)},
		})
	})
	t.Run("runs", func(t *testing.T) {
		run(t, MinRTT, []step{
			{"a run is as long as the room", data(rtt(1, 700_000, ms)), to(1, 700_000)},
			{"up to 1 MiB", data(rtt(1, 3<<20, ms)), to(1, 1<<20)},
		})
	})
	t.Run("again leaves the run alone", func(t *testing.T) {
		run(t, MinRTT, []step{
			{"start", data(rtt(1, 10, 100*ms)), to(1, 10)},
			{"the best, though not by much", again(nil, rtt(1, 10, 100*ms), rtt(2, 10, 95*ms)), to(2, 10)},
			{"new data stays", data(rtt(1, 10, 100*ms), rtt(2, 10, 95*ms)), to(1, 10)},
		})
	})
	t.Run("ties", func(t *testing.T) {
		run(t, MinRTT, []step{{"cost", data(costly(rtt(1, 10, ms), 2), costly(rtt(2, 10, ms), 1)), to(2, 10)}})
		run(t, MinRTT, []step{{"id", data(rtt(1, 10, ms), rtt(2, 10, ms)), to(1, 10)}})
	})
	t.Run("unknown", func(t *testing.T) {
		run(t, MinRTT, []step{
			{"alone: no need to be careful", data(rtt(1, 50_000, -1)), to(1, 50_000)},
			{"a new one is measured", data(rtt(1, 50_000, 10*ms), rtt(2, 50_000, -1)), to(2, 14600)},
			{"once", data(rtt(1, 50_000, 10*ms), rtt(2, 50_000, -1)), to(1, 50_000)},
			{"and is used when the others are full", data(rtt(1, 0, 10*ms), rtt(2, 50_000, -1)), to(2, 50_000)},
			{"but left for a known one", data(rtt(1, 50_000, 10*ms), rtt(2, 50_000, -1)), to(1, 50_000)},
			{"measured: like any other", data(rtt(1, 50_000, 10*ms), rtt(2, 50_000, 2*ms)), to(2, 50_000)},
		})
		run(t, MinRTT, []step{
			{"all unknown: each is measured", data(rtt(1, 50_000, -1), rtt(2, 50_000, -1)), to(1, 14600)},
			{"each", data(rtt(1, 50_000, -1), rtt(2, 50_000, -1)), to(2, 14600)},
			{"then in order of id", data(rtt(1, 50_000, -1), rtt(2, 50_000, -1)), to(1, 50_000)},
		})
	})
}

func TestMinRTTForgetsPathsThatAreGone(t *testing.T) {
	s := MinRTT.New()
	both := data(rtt(1, 50_000, 10*ms), rtt(2, 50_000, -1))
	require.Equal(t, to(2, 14600), s.Next(&both))
	require.Equal(t, to(1, 50_000), s.Next(&both))
	one := data(rtt(2, 0, -1))
	s.OnPathChange(&one)
	require.Equal(t, to(1, 50_000), s.Next(&both), "path 2 stayed")
	one = data(rtt(1, 0, 10*ms))
	s.OnPathChange(&one)
	require.Equal(t, to(2, 14600), s.Next(&both), "path 2 left and came back")
}

func TestRoundRobin(t *testing.T) {
	room := int64(1 << 20)
	run(t, RoundRobin, []step{
		{"in order", data(rtt(1, room, 9*ms), rtt(2, room, ms), rtt(5, room, ms)), to(1, 65536)},
		{"in order", data(rtt(1, room, 9*ms), rtt(2, room, ms), rtt(5, room, ms)), to(2, 65536)},
		{"in order", data(rtt(1, room, 9*ms), rtt(2, room, ms), rtt(5, room, ms)), to(5, 65536)},
		{"around", data(rtt(1, room, 9*ms), rtt(2, room, ms), rtt(5, room, ms)), to(1, 65536)},
		{"one without room is passed over", data(rtt(1, room, 9*ms), rtt(2, 0, ms), rtt(5, 100, ms)), to(5, 100)},
		{"one that is gone too", data(rtt(2, room, ms), rtt(3, room, -1)), to(2, 65536)},
		{"unknown round-trip times are as good as any", data(rtt(2, room, ms), rtt(3, room, -1)), to(3, 65536)},
	})
}

func TestRedundant(t *testing.T) {
	run(t, Redundant, []step{
		{"on all", data(rtt(1, 20_000, 9*ms), rtt(2, 30_000, ms), rtt(3, 40_000, -1)), to(2, 20_000, 1, 3)},
		{"on those with room", data(rtt(1, 0, 9*ms), rtt(2, 30_000, ms), rtt(3, 40_000, -1)), to(2, 30_000, 3)},
		{"little room is not worth waiting for", data(rtt(1, 1459, 9*ms), rtt(2, 30_000, ms)), to(2, 30_000)},
		{"a segment is", data(rtt(1, 1460, 9*ms), rtt(2, 30_000, ms)), to(2, 1460, 1)},
		{"not on backups", data(backup(rtt(1, 9000, 9*ms)), rtt(2, 9000, ms)), to(2, 9000)},
		{"on all backups", data(backup(rtt(1, 9000, 9*ms)), backup(rtt(2, 9000, ms))), to(2, 9000, 1)},
		{"not on one to avoid", data(prefer(rtt(1, 9000, ms), -1), rtt(2, 9000, 9*ms)), to(2, 9000)},
		{"the preferred first, the rest too", data(rtt(1, 9000, ms), prefer(rtt(2, 9000, 9*ms), 1)), to(2, 9000, 1)},
		{"again: where it was not", again([]PathID{2}, rtt(1, 9000, 9*ms), rtt(2, 9000, ms), rtt(3, 9000, 20*ms)), to(1, 9000, 3)},
		{"short data goes on all", View{Unsent: 10, PeerWindow: 99, Paths: []Path{rtt(1, 10, ms), rtt(2, 9, ms), rtt(3, 10, ms)}}, to(1, 10, 3)},
	})
}

// carry asks n times and returns the bytes that each path was given.
func carry(s Scheduler, n int, v View) map[PathID]float64 {
	sum := map[PathID]float64{}
	for range n {
		d := s.Next(&v)
		sum[d.Path] += float64(d.Len)
	}
	return sum
}

func TestWeightedFollowsRates(t *testing.T) {
	room := int64(1 << 20)
	got := carry(Weighted.New(), 400, data(rate(rtt(1, room, ms), 3e6), rate(rtt(2, room, ms), 1e6)))
	require.InDelta(t, 3, got[1]/got[2], 0.05)

	got = carry(Weighted.New(), 300, data(rate(rtt(1, room, ms), 4e6), rate(rtt(2, room, ms), 2e6), rate(rtt(3, room, ms), -1)))
	require.InDelta(t, 1, got[3]/((got[1]+got[2])/2), 0.05, "an unknown rate is average")

	got = carry(Weighted.New(), 300, data(rtt(1, room, ms), rtt(2, room, ms)))
	require.InDelta(t, 1, got[1]/got[2], 0.05, "all unknown: alike")

	got = carry(Weighted.New(), 1010, data(rate(rtt(1, room, ms), 1e9), rate(rtt(2, room, ms), 1)))
	require.InDelta(t, 100, got[1]/got[2], 10, "none starves")

	got = carry(Weighted.New(), 400, data(rate(rtt(1, room, ms), 1e6), rate(rtt(2, 1000, ms), 1e6)))
	require.InDelta(t, 1, got[1]/got[2], 0.05, "bytes count, not turns")
}

func TestNewWeighted(t *testing.T) {
	room := int64(1 << 20)
	f := NewWeighted(func(p Path) int { return int(p.ID) - 1 })
	require.Equal(t, "weighted", f.Name())
	got := carry(f.New(), 300, data(rtt(1, room, ms), rtt(2, room, ms), rtt(3, room, ms)))
	require.Zero(t, got[1], "weight 0 is for when nothing else has room")
	require.InDelta(t, 2, got[3]/got[2], 0.05)
	got = carry(f.New(), 3, data(rtt(1, room, ms), rtt(2, 0, ms)))
	require.Len(t, got, 1)
	require.NotZero(t, got[1])
	negative := NewWeighted(func(Path) int { return -5 })
	require.NotZero(t, carry(negative.New(), 1, data(rtt(4, room, ms)))[4])
}

// A path that had no room for long does not get everything once it has, and one whose weight jumps
// owes nothing for the time before.
func TestWeightedSavesNothingUp(t *testing.T) {
	room := int64(1 << 20)
	s := Weighted.New()
	carry(s, 1000, data(rate(rtt(1, room, ms), 1e6), rate(rtt(2, 0, ms), 1e6)))
	got := carry(s, 20, data(rate(rtt(1, room, ms), 1e6), rate(rtt(2, room, ms), 1e6)))
	require.InDelta(t, 10, got[1]/65536, 1)
	carry(s, 100, data(rtt(1, room, ms), rtt(2, room, ms)))
	got = carry(s, 20, data(rate(rtt(1, room, ms), 1e9), rate(rtt(2, room, ms), 1e9)))
	require.InDelta(t, 10, got[1]/65536, 2)
	gone := data(rtt(2, room, ms))
	s.OnPathChange(&gone)
	require.Len(t, s.(*weighted).shares, 1)
}

func TestByName(t *testing.T) {
	require.Equal(t, []string{"minrtt", "roundrobin", "redundant", "weighted"}, Names())
	for _, name := range Names() {
		f, err := ByName(name)
		require.NoError(t, err)
		require.Equal(t, name, f.Name())
		require.NotNil(t, f.New())
	}
	_, err := ByName("fastest")
	require.EqualError(t, err, `scheduler: no "fastest"; there are minrtt, roundrobin, redundant, weighted`)
}
