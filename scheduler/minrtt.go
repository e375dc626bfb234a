package scheduler

import (
	"slices"
	"time"
)

// MinRTT picks the path with the lowest round-trip time that has room. It keeps to the path it picked
// last while that has room, and leaves it only for one that is better by more than the larger of its
// RTTVar and 10 %, so that paths alike do not take turns chunk by chunk. Equal paths are told apart
// by cost, then by id.
//
// A path whose round-trip time is unknown gets one small chunk, which measures it; until it has a
// round-trip time it then comes after all that have one.
var MinRTT Factory = factory{"minrtt", func() Scheduler { return newMinRTT() }}

// probeLen is what a path of unknown round-trip time is given first: the initial window of ten
// segments (RFC 6928 section 2), which it can send at once and whose loss delays little.
const probeLen = 14600

type minRTT struct {
	last   PathID   // the path of the previous decision
	probed []PathID // paths that got their first chunk while their round-trip time was unknown
}

func newMinRTT() *minRTT { return &minRTT{probed: make([]PathID, 0, 16)} }

func (s *minRTT) Next(v *View) Decision {
	t := tierOf(v)
	pref, ok := t.topPreference(v)
	if !ok {
		return Decision{}
	}
	var best, last, unmeasured *Path
	n := 0
	for i := range v.Paths {
		p := &v.Paths[i]
		if !t.admits(v, p) || p.preference() != pref {
			continue
		}
		n++
		if best == nil || faster(p, best) {
			best = p
		}
		if p.ID == s.last {
			last = p
		}
		if unmeasured == nil && p.SRTT < 0 && !slices.Contains(s.probed, p.ID) {
			unmeasured = p
		}
	}
	if v.Reinject {
		return v.decide(best, maxRun) // as fast as can be, and the run of new data goes on where it was
	}
	if unmeasured != nil {
		return s.measure(v, unmeasured, n == 1)
	}
	if last != nil && !worthLeaving(last, best) {
		best = last
	}
	d := v.decide(best, maxRun)
	if d.Path != 0 {
		s.last = d.Path
	}
	return d
}

// measure gives p its first chunk, a small one unless p is the only choice. The run on the last path
// goes on after it.
func (s *minRTT) measure(v *View, p *Path, only bool) Decision {
	limit := int64(probeLen)
	if only {
		limit = maxRun
	}
	d := v.decide(p, limit)
	if d.Path != 0 {
		s.probed = append(s.probed, d.Path)
	}
	return d
}

// OnPathChange forgets the paths that are gone, so that one which returns is measured anew.
func (s *minRTT) OnPathChange(v *View) {
	s.probed = slices.DeleteFunc(s.probed, func(id PathID) bool { return !v.has(id) })
	if !v.has(s.last) {
		s.last = 0
	}
}

// faster orders paths by round-trip time, unknown ones last, then by cost. Paths come ordered by id,
// so that the first of equals stays.
func faster(p, q *Path) bool {
	switch {
	case p.SRTT < 0 && q.SRTT < 0:
		return p.Cost < q.Cost
	case p.SRTT < 0 || q.SRTT < 0:
		return q.SRTT < 0
	case p.SRTT != q.SRTT:
		return p.SRTT < q.SRTT
	}
	return p.Cost < q.Cost
}

// worthLeaving reports whether best beats last by more than the noise of the measurement.
func worthLeaving(last, best *Path) bool {
	if last.SRTT < 0 || best.SRTT < 0 {
		return last.SRTT < 0 && best.SRTT >= 0
	}
	margin := max(last.RTTVar, last.SRTT/10, time.Duration(0))
	return last.SRTT-best.SRTT > margin
}
