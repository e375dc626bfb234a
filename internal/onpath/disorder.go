package onpath

import (
	"bytes"
	"io"
	"time"
)

// Reorder holds packets back for a while, so that later ones overtake them.
type Reorder struct {
	held
	Probability float64       // of each packet
	By          time.Duration // how long it is held
	Random      io.Reader
}

// Process implements Element.
func (r *Reorder) Process(now time.Duration, p []byte, d Dir, emit Emit) {
	if r.By > 0 && (dice{r.Random}).roll(r.Probability) {
		r.put(now+r.By, p, d)
		return
	}
	emit(p, d)
}

// Swap holds matching packets back until After more packets of the same direction have passed: reordering
// of an exact extent. What is held and not overtaken goes on after Wait.
type Swap struct {
	Which Match
	After int
	Wait  time.Duration
	queue []swapped
}

type swapped struct {
	p    []byte
	d    Dir
	left int
	at   time.Duration
}

// Process implements Element.
func (s *Swap) Process(now time.Duration, p []byte, d Dir, emit Emit) {
	if s.Which(p, d) && s.After > 0 && len(s.queue) < maxHeld {
		s.queue = append(s.queue, swapped{p, d, s.After, now + s.Wait})
		return
	}
	emit(p, d)
	s.release(emit, func(q *swapped) bool {
		if q.d == d {
			q.left--
		}
		return q.left <= 0
	})
}

// Next implements Timed.
func (s *Swap) Next() (time.Duration, bool) {
	if len(s.queue) == 0 {
		return 0, false
	}
	return s.queue[0].at, true
}

// Tick implements Timed.
func (s *Swap) Tick(now time.Duration, emit Emit) {
	s.release(emit, func(q *swapped) bool { return q.at <= now })
}

func (s *Swap) release(emit Emit, due func(*swapped) bool) {
	var ready []swapped
	kept := s.queue[:0]
	for i := range s.queue {
		if due(&s.queue[i]) {
			ready = append(ready, s.queue[i])
		} else {
			kept = append(kept, s.queue[i])
		}
	}
	s.queue = kept
	for _, q := range ready {
		emit(q.p, q.d)
	}
}

// Duplicate sends matching packets on once and copies times more.
func Duplicate(m Match, copies int) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		n := 0
		if m(p, d) {
			n = copies
		}
		for range n {
			emit(bytes.Clone(p), d)
		}
		emit(p, d)
	})
}

// Sometimes matches with probability p.
func Sometimes(p float64, r io.Reader) Match {
	roll := dice{r}
	return func([]byte, Dir) bool { return roll.roll(p) }
}
