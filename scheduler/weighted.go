package scheduler

import "slices"

// Weighted spreads bytes over the paths in proportion to their delivery rates. A path whose rate is
// unknown counts as average, and none as less than a hundredth of the best, so that each goes on
// being measured.
var Weighted Factory = NewWeighted(nil)

// NewWeighted spreads bytes over the paths in proportion to w, which is asked for every path that has
// room, at every decision, under the connection's lock: it must be quick and call nothing. A path
// whose weight is 0 or less is used only when no other has room. Nil is Weighted.
func NewWeighted(w func(Path) int) Factory {
	return factory{"weighted", func() Scheduler {
		return &weighted{weigh: w, shares: make([]share, 0, 16)}
	}}
}

// rateFloor is the part of the highest rate, as a divisor, that every path counts for.
const rateFloor = 100

// weighted keeps a balance of bytes for each path. A chunk is shared out among the paths that could
// have carried it, in proportion to their weights, and taken from the one that did; the path that is
// owed most is next. Balances sum up to zero and stay within a few chunks, however weights change,
// and a path without room saves nothing up.
type weighted struct {
	weigh  func(Path) int
	shares []share
}

type share struct {
	id      PathID
	balance float64 // bytes that the path is owed
	weight  float64 // at this decision, as a part of all; 0: not a choice
}

func (s *weighted) Next(v *View) Decision {
	t := tierOf(v)
	pref, ok := t.topPreference(v)
	if !ok {
		return Decision{}
	}
	for i := range s.shares {
		s.shares[i].weight = 0
	}
	mean, top := rates(v)
	var sum float64
	var resort *Path // the first choice, whatever it weighs
	for i := range v.Paths {
		p := &v.Paths[i]
		if !t.admits(v, p) || p.preference() != pref {
			continue
		}
		if resort == nil {
			resort = p
		}
		e := s.of(p.ID)
		e.weight = s.weight(p, mean, top)
		sum += e.weight
	}
	if sum == 0 {
		return v.decide(resort, turnLen)
	}
	best := s.most(v, sum)
	d := v.decide(best, turnLen)
	if d.Path != 0 {
		s.settle(d.Path, float64(d.Len))
	}
	return d
}

// most makes weights parts of sum and returns the path that would be owed most after a full chunk.
func (s *weighted) most(v *View, sum float64) *Path {
	var best *Path
	var owed float64
	for i := range v.Paths {
		e := s.of(v.Paths[i].ID)
		if e.weight == 0 {
			continue
		}
		e.weight /= sum
		// The conversion keeps compilers from fusing product and sum: every machine decides alike.
		if o := e.balance + float64(turnLen*e.weight); best == nil || o > owed {
			best, owed = &v.Paths[i], o
		}
	}
	return best
}

// settle books n bytes that path id carries.
func (s *weighted) settle(id PathID, n float64) {
	for i := range s.shares {
		e := &s.shares[i]
		e.balance += float64(n * e.weight)
		if e.id == id {
			e.balance -= n
		}
	}
}

// weight returns what p weighs, 0 for a path of last resort.
func (s *weighted) weight(p *Path, mean, top float64) float64 {
	if s.weigh != nil {
		return float64(max(s.weigh(*p), 0))
	}
	switch {
	case top == 0:
		return 1
	case p.Rate <= 0:
		return mean
	}
	return max(float64(p.Rate), top/rateFloor)
}

// rates returns the mean and the highest of the known delivery rates; 0 when there are none.
func rates(v *View) (mean, top float64) {
	var n float64
	for i := range v.Paths {
		if r := float64(v.Paths[i].Rate); r > 0 {
			mean += r
			top = max(top, r)
			n++
		}
	}
	if n > 0 {
		mean /= n
	}
	return mean, top
}

// of returns the share of a path, a new one if it has none.
func (s *weighted) of(id PathID) *share {
	for i := range s.shares {
		if s.shares[i].id == id {
			return &s.shares[i]
		}
	}
	s.shares = append(s.shares, share{id: id})
	return &s.shares[len(s.shares)-1]
}

// OnPathChange forgets the paths that are gone.
func (s *weighted) OnPathChange(v *View) {
	s.shares = slices.DeleteFunc(s.shares, func(e share) bool { return !v.has(e.id) })
}
