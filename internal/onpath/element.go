// Package onpath is what can happen to IP packets on their way: links that delay, limit, lose, reorder,
// duplicate and corrupt, and the middleboxes that rewrite, split, merge, answer and forge.
//
// An Element takes packets with the time at which they come and emits packets. It reads no clock, holds no
// lock and draws its chances from a reader that it is given, so that the same elements run in virtual time
// (internal/simnet) and between network interfaces (internal/netlab). A Chain puts elements in a row.
//
// Packets are whole IP packets with complete checksums. What an element does not understand it passes on
// as it is. Every packet is hostile: state is bounded (maxFlows, maxHeld), and nothing panics.
package onpath

import "time"

// Dir is a direction on a path. The client, who opens connections, is at its near end.
type Dir uint8

const (
	Forward Dir = iota // from the near end to the far end
	Back
)

// Reverse is the other direction.
func (d Dir) Reverse() Dir { return d ^ 1 }

func (d Dir) String() string {
	if d == Back {
		return "back"
	}
	return "forward"
}

// Emit sends a packet on in a direction. The packet belongs to the receiver from then on.
type Emit func(p []byte, d Dir)

// Element is something on a path. Its methods are called by one goroutine at a time, with times that never
// decrease.
type Element interface {
	// Process takes a packet that travels in direction d and emits what becomes of it: nothing, itself, or
	// others, in either direction, at once or from Tick. The packet is the element's: it may change and
	// keep it.
	Process(now time.Duration, p []byte, d Dir, emit Emit)
}

// Timed is an element that also emits later.
type Timed interface {
	Element
	// Next is when Tick is to be called; false: not before the next packet.
	Next() (time.Duration, bool)
	// Tick emits what is due at now.
	Tick(now time.Duration, emit Emit)
}

// Func is an element without time.
type Func func(p []byte, d Dir, emit Emit)

// Process implements Element.
func (f Func) Process(_ time.Duration, p []byte, d Dir, emit Emit) { f(p, d, emit) }

// Chain is a row of elements from the near end to the far end. It is an element itself.
type Chain struct {
	elements []Element
	timed    []int
	now      time.Duration
	out      Emit
	enter    []Emit // enter[i] takes what element i emits
}

// NewChain puts elements in a row. Without any it passes everything on.
func NewChain(elements ...Element) *Chain {
	c := &Chain{elements: elements}
	for i, e := range elements {
		if _, ok := e.(Timed); ok {
			c.timed = append(c.timed, i)
		}
		c.enter = append(c.enter, func(p []byte, d Dir) { c.pass(i, p, d) })
	}
	return c
}

// Process implements Element.
func (c *Chain) Process(now time.Duration, p []byte, d Dir, emit Emit) {
	c.now, c.out = now, emit
	if d == Forward {
		c.pass(-1, p, d)
	} else {
		c.pass(len(c.elements), p, d)
	}
}

// pass takes a packet from element i to its neighbour.
func (c *Chain) pass(i int, p []byte, d Dir) {
	if d == Forward {
		i++
	} else {
		i--
	}
	if i < 0 || i >= len(c.elements) {
		c.out(p, d)
		return
	}
	c.elements[i].Process(c.now, p, d, c.enter[i])
}

// Next implements Timed.
func (c *Chain) Next() (at time.Duration, ok bool) {
	for _, i := range c.timed {
		if t, due := c.elements[i].(Timed).Next(); due && (!ok || t < at) {
			at, ok = t, true
		}
	}
	return at, ok
}

// Tick implements Timed. Elements whose time has come have their turn in the order of their times.
func (c *Chain) Tick(now time.Duration, emit Emit) {
	c.out = emit
	for {
		first, at := -1, now
		for _, i := range c.timed {
			if t, due := c.elements[i].(Timed).Next(); due && (t < at || t == at && first < 0) {
				first, at = i, t
			}
		}
		if first < 0 {
			return
		}
		c.now = max(at, c.now)
		c.elements[first].(Timed).Tick(c.now, c.enter[first])
	}
}

// Only lets an element see the packets of one direction; the others pass by.
func Only(d Dir, e Element) Element { return only(func(_ []byte, got Dir) bool { return got == d }, e) }

// Where lets an element see the packets that match; the others pass by.
func Where(m Match, e Element) Element { return only(m, e) }

func only(m Match, e Element) Element {
	if t, ok := e.(Timed); ok {
		return &timedSome{some{m, e}, t}
	}
	return &some{m, e}
}

type some struct {
	match Match
	of    Element
}

func (s *some) Process(now time.Duration, p []byte, d Dir, emit Emit) {
	if s.match(p, d) {
		s.of.Process(now, p, d, emit)
		return
	}
	emit(p, d)
}

type timedSome struct {
	some
	timed Timed
}

func (s *timedSome) Next() (time.Duration, bool)       { return s.timed.Next() }
func (s *timedSome) Tick(now time.Duration, emit Emit) { s.timed.Tick(now, emit) }
