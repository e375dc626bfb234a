package ipnet

import (
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/internal/simnet"
)

// live is what a Net has that runs by itself: a lock, and a timer for the next event.
type live struct {
	mu     sync.Mutex
	epoch  time.Time
	timer  *time.Timer
	closed bool
}

// NewLive makes an internet that runs by itself, on package time: in virtual time under testing/synctest. Its
// hosts may be used from any goroutine, and each has a goroutine of its own from which its stack is called.
// Close it when done. Everything about seeds holds as far as the goroutines' order goes.
func NewLive(seed uint64) *Net {
	return &Net{sim: simnet.New(seed), live: &live{epoch: time.Now()}}
}

// Now is the time that stacks are given.
func (n *Net) Now() time.Duration {
	if n.live != nil {
		return time.Since(n.live.epoch)
	}
	return n.sim.Now()
}

// Do lets f look at elements, or change them, while the network stands still.
func (n *Net) Do(f func()) {
	defer n.enter()()
	f()
}

// Close closes all hosts and stops the clock.
func (n *Net) Close() {
	defer n.enter()()
	for _, h := range n.hosts {
		h.close()
	}
	if n.live != nil {
		n.live.closed = true
	}
}

// enter locks a network that runs by itself and brings it up to now; what it returns gives it up again.
func (n *Net) enter() (leave func()) {
	if n.live == nil {
		return func() {}
	}
	n.live.mu.Lock()
	n.sim.Run(time.Since(n.live.epoch))
	return n.leave
}

func (n *Net) leave() {
	defer n.live.mu.Unlock()
	n.sim.Run(n.sim.Now()) // what has become due by what was done
	at, ok := n.sim.Next()
	if !ok || n.live.closed {
		if n.live.timer != nil {
			n.live.timer.Stop()
		}
		return
	}
	wait := max(0, at-time.Since(n.live.epoch))
	if n.live.timer == nil {
		n.live.timer = time.AfterFunc(wait, func() { n.enter()() })
	} else {
		n.live.timer.Reset(wait)
	}
}

// inbox is what waits for a host's goroutine, on the network's lock.
type inbox struct {
	some  sync.Cond
	calls []func(wanted bool)
}

// deliver calls f: at once in an event, or on the host's goroutine. wanted is false when the host has been
// closed meanwhile and f is only to let go of what it holds.
func (h *Host) deliver(f func(wanted bool)) {
	if h.net.live == nil {
		f(true)
		h.flush()
		return
	}
	h.inbox.calls = append(h.inbox.calls, f)
	h.inbox.some.Signal()
}

// dispatch is the host's goroutine: batch by batch, each with a Flush behind it.
func (h *Host) dispatch() {
	mu := &h.net.live.mu
	mu.Lock()
	defer mu.Unlock()
	for {
		for len(h.inbox.calls) == 0 && !h.closed {
			h.inbox.some.Wait()
		}
		batch, closed := h.inbox.calls, h.closed
		h.inbox.calls = nil
		if len(batch) == 0 {
			return
		}
		mu.Unlock()
		for _, f := range batch {
			f(!closed)
		}
		if !closed {
			h.stack.Flush(h.net.Now())
		}
		mu.Lock()
	}
}
