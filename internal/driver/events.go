package driver

import (
	"context"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// watchBuffer is how many events wait in the channel of a Watch.
const watchBuffer = 64

// events are on their way to the tracer and to watchers: one ordered queue that one goroutine at a
// time empties, without the lock.
type events struct {
	queue    []happening
	spare    []happening
	busy     bool // somebody is emptying the queue
	asked    bool // Params.Trace was called
	tracer   extapi.Tracer
	watchers []*watcher
}

type happening struct {
	at time.Duration
	ev extapi.Event
}

type watcher struct {
	ch   chan extapi.Event
	lost int
	end  bool // its context ended: close ch
	stop func() bool
}

func (c *Conn) push(now time.Duration, ev extapi.Event) {
	e := &c.events
	if len(e.watchers) == 0 && (c.trace == nil || e.asked && e.tracer == nil) {
		return
	}
	e.queue = append(e.queue, happening{now - c.born.Sub(c.epoch), ev}) // a tracer counts from the beginning
}

// due says whether there is something to report without the lock.
func (c *Conn) due() bool {
	if c.events.busy {
		return false
	}
	return len(c.events.queue) > 0 || c.life.due() || c.events.ending()
}

func (e *events) ending() bool {
	for _, w := range e.watchers {
		if w.end {
			return true
		}
	}
	return false
}

// report delivers events, and tells the owner of the connection's end. The lock is free.
func (c *Conn) report() {
	c.mu.Lock()
	for c.due() {
		e := &c.events
		e.busy = true
		queue := e.queue
		e.queue, e.spare = e.spare[:0], nil
		ask := c.trace != nil && !e.asked
		e.asked = true
		info := c.info()
		tracer, watchers := e.tracer, append([]*watcher(nil), e.watchers...)
		tell := c.life.take()
		c.mu.Unlock()

		if ask {
			tracer = c.trace(info)
		}
		for i, h := range queue {
			if tracer != nil {
				tracer.Trace(h.at, h.ev)
			}
			for _, w := range watchers {
				w.send(h.ev)
			}
			queue[i] = happening{}
		}
		c.tell(tell, tracer, watchers)

		c.mu.Lock()
		e.spare = queue[:0]
		e.tracer = tracer
		e.forget(tell.done)
		e.busy = false
	}
	c.mu.Unlock()
}

func (w *watcher) send(ev extapi.Event) {
	if w.lost > 0 {
		select {
		case w.ch <- extapi.EventsLost{N: w.lost}:
			w.lost = 0
		default:
			w.lost++
			return
		}
	}
	select {
	case w.ch <- ev:
	default:
		w.lost++
	}
}

// forget closes the channels of watchers whose time is over: by their context, or with the connection.
func (e *events) forget(all bool) {
	keep := e.watchers[:0]
	for _, w := range e.watchers {
		if !w.end && !all {
			keep = append(keep, w)
			continue
		}
		if w.stop != nil {
			w.stop()
		}
		close(w.ch)
	}
	clear(e.watchers[len(keep):])
	e.watchers = keep
}

// Watch returns the events from now on. A reader that is too slow loses some, and is told how many
// (extapi.EventsLost). The channel is closed when ctx or the connection ends.
func (c *Conn) Watch(ctx context.Context) <-chan extapi.Event {
	w := &watcher{ch: make(chan extapi.Event, watchBuffer)}
	c.mu.Lock()
	if c.life.ended {
		c.mu.Unlock()
		close(w.ch)
		return w.ch
	}
	c.events.watchers = append(c.events.watchers, w)
	w.stop = context.AfterFunc(ctx, func() {
		c.mu.Lock()
		w.end = true
		c.leave(c.now())
	})
	c.mu.Unlock()
	return w.ch
}
