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

// flush writes what the flows have queued, as far as it goes without blocking; all of it, or but for what
// collects. The lock is held at both ends and free during the system calls.
func (c *Conn) flush(now time.Duration, all bool) {
	for _, f := range c.flows {
		f.idle = false
	}
	for {
		f, wait := c.dirty(now, all)
		if f == nil {
			if wait {
				c.arm(now)
			}
			break
		}
		c.serve(f)
	}
	if len(c.packets) > 0 {
		c.transmit(all)
	}
}

// dirty finds a flow with something to do that nobody is doing. wait: what another one has collects.
func (c *Conn) dirty(now time.Duration, all bool) (_ *flow, wait bool) {
	for _, f := range c.flows {
		if f.writing || f.idle || f.hold != 0 || f.broken != nil && !aborted(f) {
			continue
		}
		if f.lastWrite() {
			continue
		}
		if aborted(f) || !f.blocked && (f.queued() || f.finDue()) {
			if !all && c.collects(now, f) {
				wait = true
				continue
			}
			f.collect = 0
			return f, false
		}
	}
	return nil, wait
}

// lastWrite says whether an aborted flow waits for its writer goroutine, after which it can say why
// it goes.
func (f *flow) lastWrite() bool {
	if !f.blocked || !aborted(f) || f.broken != nil {
		return false
	}
	if !f.hurried {
		f.hurried = true
		_ = f.net.SetWriteDeadline(time.Now().Add(lastWords))
	}
	return true
}

func aborted(f *flow) bool {
	_, is := f.f.Aborted()
	return is
}

func (f *flow) queued() bool { return len(f.prologue) > 0 || f.f.Pending() > 0 }

func (f *flow) finDue() bool { return !f.finSent && f.f.FINQueued() && !f.queued() }

// serve does what is due on a flow. It takes the write token, so that what the flow queues leaves in
// order whoever writes it.
func (c *Conn) serve(f *flow) {
	if aborted(f) {
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
		if aborted(f) || f.broken != nil {
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
	total := length(bufs)
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
		c.writeFailed(now, f, err)
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
	f.blocked, f.pace.full = true, true
	f.f.SetBlocked(c.now(), f.raw != nil)
	go f.writer()
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
	if f.gone || aborted(f) {
		f.blocked = false
		c.leave(now)
		return true
	}
	if err != nil && err != ErrAgain {
		f.blocked = false
		c.writeFailed(now, f, err)
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
		if !f.gone && !aborted(f) {
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
		c.writeFailed(c.now(), f, err)
	}
}

type lingerer interface{ SetLinger(sec int) error }

// lastWords is how long a socket may take to accept the options that say why it is reset.
const lastWords = time.Second

// reset ends a subflow that the engine aborted. The options that say so (MP_FASTCLOSE, MP_TCPRST)
// leave first, unless a record is half written or the socket is full; then comes the kernel's RST.
func (c *Conn) reset(f *flow) {
	hard := true
	if f.queued() && !f.blocked && f.broken == nil {
		bt := batches.Get().(*batch)
		bufs := f.gather(bt)
		if f.raw == nil {
			c.sayGoodbye(f, bufs)
			clear(bufs)
			batches.Put(bt)
			return
		}
		f.writing = true
		total := length(bufs)
		c.mu.Unlock()
		n, _ := f.raw.Writev(bufs)
		err := f.raw.Stats(&f.pace.stats)
		c.mu.Lock()
		f.writing = false
		f.wrote(c.now(), n)
		clear(bufs)
		batches.Put(bt)
		// A RST would throw away what the kernel has not sent yet.
		hard = n < total || err != nil || f.pace.stats.Unsent == 0
	}
	c.drop(f, hard)
}

// sayGoodbye writes the last options where that may block, in the background.
func (c *Conn) sayGoodbye(f *flow, bufs [][]byte) {
	var b []byte
	for _, p := range bufs {
		b = append(b, p...)
	}
	f.wrote(c.now(), len(b))
	c.forget(f)
	go func() {
		_ = f.net.SetWriteDeadline(time.Now().Add(lastWords))
		if _, err := f.net.Write(b); err != nil {
			resetOnClose(f.net)
		}
		_ = f.net.Close()
	}()
}

func length(bufs [][]byte) (n int) {
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// writeFailed stops writing. What the peer sent before it reset the connection (MP_FASTCLOSE above
// all) may be waiting to be read: reading ends the flow, or, if it does not, the alarm.
func (c *Conn) writeFailed(now time.Duration, f *flow, err error) {
	if f.gone || f.broken != nil {
		return
	}
	if f.eof {
		c.lose(now, f, err)
		return
	}
	f.broken = err
	f.until.set(now, lastRead)
}

// lastRead is how long what was sent before a reset may take to be read. It is there already; who reads it may have to
// wait for a processor.
const lastRead = time.Second

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
	c.forget(f)
	if hard {
		resetOnClose(f.net)
	}
	// A blocking Close (TLS) must not run under the lock.
	if f.raw != nil {
		_ = f.net.Close()
	} else {
		go f.net.Close()
	}
}

// forget takes a flow out of the connection. Its socket is the caller's to close.
func (c *Conn) forget(f *flow) {
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
}

func resetOnClose(nc net.Conn) {
	if l, ok := nc.(lingerer); ok {
		_ = l.SetLinger(0)
	}
}
