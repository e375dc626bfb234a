package scheduler

// Redundant sends every byte on all paths that have room for it, for the lowest delay that the paths
// can give, at the price of sending everything several times. A path that lags behind misses the
// chunks for which it has no room; it never holds up the others. Paths to avoid carry no copies: they
// are used when nothing else has room.
var Redundant Factory = factory{"redundant", func() Scheduler { return newRedundant() }}

// copyFloor is the least that a chunk is cut down to for the sake of one more copy: one segment.
const copyFloor = 1460

type redundant struct {
	dup []PathID // the memory of Decision.Dup
}

func newRedundant() *redundant { return &redundant{dup: make([]PathID, 0, 16)} }

func (s *redundant) Next(v *View) Decision {
	t := tierOf(v)
	pref, ok := t.topPreference(v)
	if !ok {
		return Decision{}
	}
	var first *Path
	for i := range v.Paths {
		p := &v.Paths[i]
		if t.admits(v, p) && p.preference() == pref && (first == nil || faster(p, first)) {
			first = p
		}
	}
	limit := min(first.Room, turnLen)
	for i := range v.Paths {
		p := &v.Paths[i]
		if t.admits(v, p) && copies(p, pref) && p.Room >= copyFloor {
			limit = min(limit, p.Room)
		}
	}
	d := v.decide(first, limit)
	if d.Path == 0 {
		return d
	}
	s.dup = s.dup[:0]
	for i := range v.Paths {
		p := &v.Paths[i]
		if p != first && t.admits(v, p) && copies(p, pref) && p.Room >= int64(d.Len) {
			s.dup = append(s.dup, p.ID)
		}
	}
	d.Dup = s.dup
	return d
}

// copies reports whether p takes copies when the best preference with room is pref.
func copies(p *Path, pref int) bool { return p.preference() >= min(pref, 0) }

func (s *redundant) OnPathChange(*View) {}
