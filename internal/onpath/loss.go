package onpath

import (
	"io"
	"time"
)

// Drop loses the packets that match.
func Drop(m Match) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		if !m(p, d) {
			emit(p, d)
		}
	})
}

// Loss loses packets with probability p, each for itself.
func Loss(p float64, r io.Reader) Element {
	roll := dice{r}
	return Drop(func([]byte, Dir) bool { return roll.roll(p) })
}

// Bursts is the loss model of Gilbert and Elliott, with a state of its own for each direction: a packet
// finds the path good or bad and is lost with the probability of that state.
type Bursts struct {
	ToBad, ToGood     float64 // probability, per packet, of a change of state
	LossGood, LossBad float64 // probability of loss
	Random            io.Reader
	bad               [2]bool
}

// Process implements Element.
func (b *Bursts) Process(_ time.Duration, p []byte, d Dir, emit Emit) {
	roll := dice{b.Random}
	change, loss := b.ToBad, b.LossGood
	if b.bad[d&1] {
		change, loss = b.ToGood, b.LossBad
	}
	lost := roll.roll(loss)
	if roll.roll(change) {
		b.bad[d&1] = !b.bad[d&1]
	}
	if !lost {
		emit(p, d)
	}
}

// Nth matches the packets with these numbers, counted from 1 in both directions together, or, behind
// And, those of them that matched before: And(IsData, Nth(3, 7)).
func Nth(numbers ...int) Match {
	want := map[int]bool{}
	for _, n := range numbers {
		want[n] = true
	}
	seen := 0
	return func([]byte, Dir) bool {
		seen++
		return want[seen]
	}
}

// From matches from the nth packet on, counted from 1.
func From(n int) Match {
	seen := 0
	return func([]byte, Dir) bool {
		seen++
		return seen >= n
	}
}

// Blackhole loses everything while it is on.
type Blackhole struct {
	On        bool
	Swallowed int64 // packets
}

// Process implements Element.
func (b *Blackhole) Process(_ time.Duration, p []byte, d Dir, emit Emit) {
	if b.On {
		b.Swallowed++
		return
	}
	emit(p, d)
}
