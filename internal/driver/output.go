package driver

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
)

// ErrAgain says that a non-blocking call would have to wait.
var ErrAgain = errors.New("driver: would block")

// batchLen is how many slices one write takes: headers and payloads of some thirty records.
const batchLen = 64

type batch [batchLen][]byte

var batches = sync.Pool{New: func() any { return new(batch) }}

// flush writes what the flows have queued, as far as it goes without blocking. The lock is held at
// both ends and free during the system calls.
func (c *Conn) flush() {
	for _, f := range c.flows {
		f.idle = false
	}
	for {
		f := c.dirty()
		if f == nil {
			return
		}
		c.serve(f)
	}
}

// dirty finds a flow with something to do that nobody is doing.
func (c *Conn) dirty() *flow {
	for _, f := range c.flows {
		if f.writing || f.idle || f.hold != 0 {
			continue
		}
		if _, aborted := f.f.Aborted(); aborted || !f.blocked && (f.queued() || f.finDue()) {
			return f
		}
	}
	return nil
}

func (f *flow) queued() bool { return len(f.prologue) > 0 || f.f.Pending() > 0 }

func (f *flow) finDue() bool { return !f.finSent && f.f.FINQueued() && !f.queued() }

// serve does what is due on a flow. It takes the write token, so that what the flow queues leaves in
// order whoever writes it.
func (c *Conn) serve(f *flow) {
	if _, aborted := f.f.Aborted(); aborted {
		c.reset(f)
		return
	}
	if f.finDue() {
		c.sendFIN(f)
		return
	}
	if f.raw == nil {
		c.startWriter(f)
		return
	}
	f.writing = true
	bt := batches.Get().(*batch)
	for !f.gone && f.queued() {
		if _, aborted := f.f.Aborted(); aborted {
			break
		}
		if !c.write(f, bt) {
			break
		}
	}
	batches.Put(bt)
	f.writing = false
}

// write is one non-blocking write of what a flow has queued. It says whether to go on.
func (c *Conn) write(f *flow, bt *batch) bool {
	scarce := f.f.Room() < pool.MaxSize // the engine may wait for room
	bufs := f.gather(bt)
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	if total == 0 {
		f.wrote(c.now(), 0)
		f.idle = true
		return false
	}
	c.mu.Unlock()
	n, err := f.raw.Writev(bufs)
	c.mu.Lock()
	now := c.now()
	f.wrote(now, n)
	clear(bufs)
	if f.gone {
		return false
	}
	if n > 0 {
		c.lastIO = now
	}
	if err != nil && err != ErrAgain {
		c.lose(now, f, err)
		return false
	}
	c.measure(now, f, measureEvery)
	if n < total {
		c.startWriter(f)
	} else if scarce {
		c.eng.HandleRoom(now, f.id)
	}
	c.settle(now)
	return n == total
}

// gather collects what is to be written, the prologue first.
func (f *flow) gather(bt *batch) [][]byte {
	f.inFlight = true
	bufs := bt[:0]
	if len(f.prologue) > 0 {
		bufs = append(bufs, f.prologue)
	}
	return f.f.Gather(bufs)
}

func (f *flow) wrote(now time.Duration, n int) {
	m := min(n, len(f.prologue))
	if f.prologue = f.prologue[m:]; len(f.prologue) == 0 {
		f.prologue = nil
	}
	f.f.Wrote(now, n-m)
	f.inFlight = false
	if f.gone {
		f.f.Release()
	}
}

// startWriter leaves a flow's queue to a goroutine that may block. It ends when the queue is empty.
func (c *Conn) startWriter(f *flow) {
	f.blocked, f.wasFull = true, true
	f.f.SetBlocked(c.now(), f.raw != nil)
	if f.raw != nil {
		go c.drainRaw(f)
		return
	}
	go c.drain(f)
}

// drainRaw waits until the socket takes more, again and again, until nothing is queued. It gathers
// only then: a DATA_ACK in the queue is the newest when it leaves.
func (c *Conn) drainRaw(f *flow) {
	bt := batches.Get().(*batch)
	defer batches.Put(bt)
	for {
		err := f.raw.WaitWrite()
		c.mu.Lock()
		now := c.now()
		if err == nil && !f.gone {
			bufs := f.gather(bt)
			f.idle = len(bufs) == 0
			n := 0
			if !f.idle {
				c.mu.Unlock()
				n, err = f.raw.Writev(bufs)
				c.mu.Lock()
			}
			now = c.now()
			f.wrote(now, n)
			clear(bufs)
			if n > 0 {
				c.lastIO = now
			}
		}
		if c.drained(now, f, err) {
			return
		}
	}
}

// drained ends one round of a writer goroutine. It says whether that was the last.
func (c *Conn) drained(now time.Duration, f *flow, err error) bool {
	if _, aborted := f.f.Aborted(); f.gone || aborted {
		f.blocked = false
		c.leave(now)
		return true
	}
	if err != nil && err != ErrAgain {
		f.blocked = false
		c.lose(now, f, err)
		c.leave(now)
		return true
	}
	c.measure(now, f, measureEvery)
	c.eng.HandleRoom(now, f.id)
	last := f.idle || !f.queued()
	if last {
		f.blocked = false
		f.f.SetBlocked(now, false)
		c.eng.HandleRoom(now, f.id)
	}
	c.leave(now)
	return last
}

// drain writes with blocking calls, for sockets that have no others. Small pieces travel together.
func (c *Conn) drain(f *flow) {
	bt := batches.Get().(*batch)
	defer batches.Put(bt)
	chunk := pool.Get(pool.MaxSize)
	defer chunk.Release()
	c.mu.Lock()
	for {
		n, err := 0, error(nil)
		if _, aborted := f.f.Aborted(); !f.gone && !aborted {
			bufs := f.gather(bt)
			m := 0
			for _, b := range bufs {
				k := copy(chunk.Bytes()[m:], b)
				if m += k; k < len(b) {
					break
				}
			}
			clear(bufs)
			if f.idle = m == 0; !f.idle {
				c.mu.Unlock()
				n, err = f.net.Write(chunk.Bytes()[:m])
				c.mu.Lock()
			}
			f.wrote(c.now(), n)
		}
		now := c.now()
		if n > 0 {
			c.lastIO = now
		}
		if c.drained(now, f, err) {
			return
		}
		c.mu.Lock()
	}
}

type writeCloser interface{ CloseWrite() error }

// sendFIN ends our half of a subflow. A connection that can't be half closed ends whole: the engine
// closes a subflow only when nothing depends on it.
func (c *Conn) sendFIN(f *flow) {
	f.finSent = true
	now := c.now()
	cw, ok := f.net.(writeCloser)
	if !ok || f.eof {
		c.lose(now, f, nil)
		return
	}
	f.writing = true
	c.mu.Unlock()
	err := cw.CloseWrite()
	c.mu.Lock()
	f.writing = false
	if err != nil && !f.gone {
		c.lose(c.now(), f, err)
	}
}

type lingerer interface{ SetLinger(sec int) error }

// reset ends a subflow that the engine aborted: MP_TCPRST leaves if the socket takes it at once and no
// record is half written, then the kernel's RST.
func (c *Conn) reset(f *flow) {
	f.writing = true
	if f.raw != nil && f.queued() && !f.blocked {
		bt := batches.Get().(*batch)
		bufs := f.gather(bt)
		c.mu.Unlock()
		n, _ := f.raw.Writev(bufs)
		c.mu.Lock()
		f.wrote(c.now(), n)
		clear(bufs)
		batches.Put(bt)
	}
	f.writing = false
	c.drop(f, true)
}

// lose ends a subflow whose socket failed, or is closed on both sides (err nil).
func (c *Conn) lose(now time.Duration, f *flow, err error) {
	if f.gone {
		return
	}
	c.drop(f, err != nil)
	c.eng.HandleClosed(now, f.id, err)
	c.settle(now)
}

// refuse ends a subflow on which the peer broke the protocol: nothing more is read from it, and flush
// resets it.
func (c *Conn) refuse(now time.Duration, f *flow, err error) {
	if f.gone {
		return
	}
	reason := engine.ResetProtocol
	var r *engine.ResetError
	if errors.As(err, &r) {
		reason = r.Reason
	}
	c.stopReading(f)
	f.f.Abort(now, reason)
	c.eng.HandleClosed(now, f.id, err)
}

// drop closes a flow's socket, with a RST when hard, and forgets the flow.
func (c *Conn) drop(f *flow, hard bool) {
	if f.gone {
		return
	}
	f.gone = true
	for i, x := range c.flows {
		if x == f {
			c.flows = append(c.flows[:i], c.flows[i+1:]...)
			break
		}
	}
	c.stopReading(f)
	if !f.inFlight { // else wrote does it
		f.f.Release()
	}
	if hard {
		resetOnClose(f.net)
	}
	// A blocking Close (TLS) must not run under the lock.
	if f.raw != nil {
		f.net.Close()
	} else {
		go f.net.Close()
	}
}

func resetOnClose(nc net.Conn) {
	if l, ok := nc.(lingerer); ok {
		l.SetLinger(0)
	}
}
