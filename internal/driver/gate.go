package driver

import (
	"net"
	"os"
	"sync"
	"time"
)

var errClosed = net.ErrClosed

// gate is where the callers of one direction (Read or Write) wait. The connection's lock guards it;
// callers take turns, since each Read and each Write is one operation.
type gate struct {
	ch       chan struct{} // carries one wake-up
	waiting  bool          // the caller whose turn it is waits on ch, and nobody has woken it yet
	blocked  bool          // it waits, on ch or in the reader role: its deadline counts
	closed   bool
	err      error           // why the connection never came about
	busy     bool            // a caller has the turn
	queue    []chan struct{} // callers that wait for their turn
	deadline time.Duration   // since the epoch; 0: none
}

// enter waits for the caller's turn. Whatever ends a call that is ahead (data, deadline, close) ends
// the wait too.
func (g *gate) enter(mu *sync.Mutex) {
	if !g.busy {
		g.busy = true
		return
	}
	ch := make(chan struct{})
	g.queue = append(g.queue, ch)
	mu.Unlock()
	<-ch // the turn passes on, busy stays set
	mu.Lock()
}

func (g *gate) leave() {
	if len(g.queue) == 0 {
		g.busy = false
		return
	}
	close(g.queue[0])
	g.queue = g.queue[1:]
}

// announce says that wait follows: a wake-up from now on is not lost.
func (g *gate) announce() {
	if g.ch == nil {
		g.ch = make(chan struct{}, 1)
	}
	g.waiting = true
}

// wait waits for wake. The lock is free meanwhile.
func (g *gate) wait(mu *sync.Mutex) {
	mu.Unlock()
	<-g.ch
	mu.Lock()
}

func (g *gate) wake() {
	if g.waiting {
		g.waiting = false
		g.ch <- struct{}{} // has room: one announcement, one wake-up
	}
}

func (g *gate) expired(now time.Duration) bool { return g.deadline != 0 && g.deadline <= now }

// check says why a call can't go on, if it can't.
func (g *gate) check(now time.Duration) error {
	switch {
	case g.closed:
		return errClosed
	case g.err != nil:
		return g.err
	case g.expired(now):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// setDeadline notes t, as net.Conn's setters define it: zero is none.
func (g *gate) setDeadline(t time.Time, now time.Duration) {
	g.deadline = 0
	if t.IsZero() {
		return
	}
	if g.deadline = now + time.Until(t); g.deadline == 0 {
		g.deadline = -1
	}
}
