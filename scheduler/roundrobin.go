package scheduler

// RoundRobin gives each path that has room a turn, in the order of their ids. It ignores round-trip
// times and is a baseline for comparisons more than a choice for use.
var RoundRobin Factory = factory{"roundrobin", func() Scheduler { return new(roundRobin) }}

// turnLen is the most that a path gets in one turn: about one mapping of the largest size.
const turnLen = 64 << 10

type roundRobin struct {
	last PathID // whose turn it was
}

func (s *roundRobin) Next(v *View) Decision {
	t := tierOf(v)
	pref, ok := t.topPreference(v)
	if !ok {
		return Decision{}
	}
	var first, next *Path // of all, and of those after the last turn's
	for i := range v.Paths {
		p := &v.Paths[i]
		if !t.admits(v, p) || p.preference() != pref {
			continue
		}
		if first == nil {
			first = p
		}
		if p.ID > s.last {
			next = p
			break
		}
	}
	if next == nil {
		next = first
	}
	d := v.decide(next, turnLen)
	if d.Path != 0 {
		s.last = d.Path
	}
	return d
}

func (s *roundRobin) OnPathChange(*View) {}
