package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func drawPath(t *rapid.T, id PathID) Path {
	return Path{
		ID:     id,
		Room:   rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-10, 3<<20)).Draw(t, "room"),
		SRTT:   time.Duration(rapid.Int64Range(-1, int64(time.Second)).Draw(t, "srtt")),
		RTTVar: time.Duration(rapid.Int64Range(-1, int64(time.Second)).Draw(t, "rttvar")),
		Rate:   rapid.Int64Range(-1, 1<<40).Draw(t, "rate"),
		Backup: rapid.Bool().Draw(t, "backup"),
		Prefer: rapid.IntRange(-2, 2).Draw(t, "prefer"),
		Cost:   rapid.IntRange(0, 3).Draw(t, "cost"),
	}
}

func drawView(t *rapid.T) View {
	v := View{
		Unsent:     rapid.Int64Range(0, 5<<20).Draw(t, "unsent"),
		PeerWindow: rapid.Int64Range(-5, 5<<20).Draw(t, "window"),
		Reinject:   rapid.Bool().Draw(t, "reinject"),
	}
	for id := PathID(1); id <= 5; id++ {
		if rapid.Bool().Draw(t, fmt.Sprint("path ", id)) {
			v.Paths = append(v.Paths, drawPath(t, id))
		}
		if v.Reinject && rapid.Bool().Draw(t, fmt.Sprint("sent on ", id)) {
			v.SentOn = append(v.SentOn, id)
		}
	}
	return v
}

// choices is the plain reading of the rules: which paths may be picked for v now.
func choices(v View) []Path {
	usable := slices.Clone(v.Paths)
	narrow := func(keep func(Path) bool) {
		if slices.ContainsFunc(usable, keep) {
			usable = slices.DeleteFunc(usable, func(p Path) bool { return !keep(p) })
		}
	}
	narrow(func(p Path) bool { return !p.Backup })
	if v.Reinject {
		narrow(func(p Path) bool { return !slices.Contains(v.SentOn, p.ID) })
	}
	usable = slices.DeleteFunc(usable, func(p Path) bool { return p.Room <= 0 })
	narrow(func(p Path) bool { return p.Prefer > 0 })
	narrow(func(p Path) bool { return p.Prefer == 0 })
	if !v.Reinject && (v.Unsent <= 0 || v.PeerWindow <= 0) {
		return nil
	}
	return usable
}

func checkDecision(t require.TestingT, v View, d Decision) {
	may := choices(v)
	if d.Path == 0 {
		require.Empty(t, may, "waits although a path may carry the chunk")
		require.Empty(t, d.Dup)
		return
	}
	i := slices.IndexFunc(may, func(p Path) bool { return p.ID == d.Path })
	require.GreaterOrEqual(t, i, 0, "path %d may not be picked", d.Path)
	require.Positive(t, d.Len)
	require.LessOrEqual(t, int64(d.Len), may[i].Room)
	if !v.Reinject {
		require.LessOrEqual(t, int64(d.Len), v.Unsent)
		require.LessOrEqual(t, int64(d.Len), v.PeerWindow)
	}
	for k, id := range d.Dup {
		require.NotEqual(t, d.Path, id)
		require.NotContains(t, d.Dup[:k], id)
		j := slices.IndexFunc(v.Paths, func(p Path) bool { return p.ID == id })
		require.GreaterOrEqual(t, j, 0)
		p := v.Paths[j]
		require.LessOrEqual(t, int64(d.Len), p.Room)
		require.Equal(t, may[i].Backup, p.Backup, "a copy on a backup beside a regular path")
		require.False(t, p.Prefer < 0 && may[i].Prefer >= 0, "a copy on a path to avoid")
	}
}

// obeys drives each scheduler through one random life.
func obeys(t *rapid.T) {
	f := rapid.SampledFrom(builtin).Draw(t, "scheduler")
	s := f.New()
	for range rapid.IntRange(1, 20).Draw(t, "steps") {
		v := drawView(t)
		if rapid.Bool().Draw(t, "tell") {
			s.OnPathChange(&v)
		}
		before := slices.Clone(v.Paths)
		d := s.Next(&v)
		require.Equal(t, before, v.Paths, "the view is not the scheduler's")
		checkDecision(t, v, d)
	}
}

func TestSchedulersObeyTheRules(t *testing.T) { rapid.Check(t, obeys) }

func FuzzSchedulers(f *testing.F) {
	f.Add([]byte("seed"))
	f.Fuzz(rapid.MakeFuzz(obeys))
}

// Whatever the rooms, asking again and again hands out all data, and every path that may carry data
// gets some while there is more than the others take.
func TestSchedulersHandOutEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(builtin).Draw(t, "scheduler")
		s := f.New()
		v := View{PeerWindow: 1 << 40}
		var room int64
		for id := PathID(1); id <= 4; id++ {
			p := drawPath(t, id)
			p.Backup = false
			p.Room = rapid.Int64Range(1, 1<<20).Draw(t, "room")
			room += p.Room
			v.Paths = append(v.Paths, p)
		}
		v.Unsent = room
		for range 10_000 {
			d := s.Next(&v)
			if d.Path == 0 {
				break
			}
			v.Unsent -= int64(d.Len)
			for i := range v.Paths {
				if id := v.Paths[i].ID; id == d.Path || slices.Contains(d.Dup, id) {
					v.Paths[i].Room -= int64(d.Len)
				}
			}
		}
		for _, p := range v.Paths {
			require.Zero(t, p.Room, "path %d was left with room while data waited", p.ID)
		}
	})
}
