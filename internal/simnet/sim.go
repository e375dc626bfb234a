// Package simnet is a network for tests: discrete events in virtual time, seeded, one goroutine.
//
// The lower layer (Sim, Link, Pipe, Socket) is sans-IO. A Pipe is one direction of a TCP connection
// as a program sees it through its socket: a send buffer with a cap on unsent bytes, congestion
// control against the queues of the links on its way, retransmission with back-off, delivery in
// order. Callbacks run inside Step.
//
// The upper layer (Net, Host) puts net.Conn and net.Listener on top: real goroutines and package
// time, hence made for testing/synctest, though it runs in real time as well.
package simnet

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// Sim is an event queue in virtual time. Events at the same instant run in the order in which they
// were scheduled.
type Sim struct {
	now   time.Duration
	seq   uint64
	queue eventQueue
	rng   *rand.ChaCha8
}

// New makes an empty simulation. The seed decides everything that is random in it.
func New(seed uint64) *Sim {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return &Sim{rng: rand.NewChaCha8(key)}
}

// Now is the virtual time since the start.
func (s *Sim) Now() time.Duration { return s.now }

// Read is the simulation's source of randomness as an io.Reader; it never fails.
func (s *Sim) Read(b []byte) (int, error) { return s.rng.Read(b) }

// chance is true with probability p.
func (s *Sim) chance(p float64) bool {
	return p > 0 && float64(s.rng.Uint64()>>11)/(1<<53) < p
}

// Event is something scheduled.
type Event struct {
	at    time.Duration
	seq   uint64
	fn    func()
	index int
	sim   *Sim
}

// Stop unschedules e. It is no error if e has run or is nil.
func (e *Event) Stop() {
	if e != nil && e.index >= 0 {
		heap.Remove(&e.sim.queue, e.index)
	}
}

// Pending tells whether e is yet to run.
func (e *Event) Pending() bool { return e != nil && e.index >= 0 }

// At runs fn at t, or as soon as possible when t has passed.
func (s *Sim) At(t time.Duration, fn func()) *Event {
	s.seq++
	e := &Event{at: max(t, s.now), seq: s.seq, fn: fn, sim: s}
	heap.Push(&s.queue, e)
	return e
}

// After runs fn in d.
func (s *Sim) After(d time.Duration, fn func()) *Event { return s.At(s.now+d, fn) }

// Next is when the next event is due.
func (s *Sim) Next() (time.Duration, bool) {
	if len(s.queue) == 0 {
		return 0, false
	}
	return s.queue[0].at, true
}

// Step runs the next event; false: there is none.
func (s *Sim) Step() bool {
	if len(s.queue) == 0 {
		return false
	}
	e := heap.Pop(&s.queue).(*Event)
	s.now = e.at
	e.fn()
	return true
}

// Run runs all events up to and including until, at which it leaves the clock.
func (s *Sim) Run(until time.Duration) {
	for len(s.queue) > 0 && s.queue[0].at <= until {
		s.Step()
	}
	s.now = max(s.now, until)
}

type eventQueue []*Event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *eventQueue) Push(x any) {
	e := x.(*Event)
	e.index = len(*q)
	*q = append(*q, e)
}
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	e.index = -1
	return e
}
