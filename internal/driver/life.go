package driver

import (
	"context"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
)

// life is how far the connection is on its way to its end.
type life struct {
	closed bool // the application closed it
	over   bool // it is closed, or dead: only delivery and TIME_WAIT may go on
	ended  bool // the engine is done
	tell   endings
	told   bool          // that it has ended
	done   chan struct{} // closed then; nil while nobody has asked for it
	linger int           // SetLinger; 0: the default
	abort  bool          // SetLinger(0)

	flushes []chan struct{} // callers of Flush
	ctx     context.Context
	cancel  context.CancelCauseFunc
}

// endings are news of the end that wait to be told without the lock.
type endings struct{ over, done bool }

func (l *life) due() bool { return l.tell != endings{} }

func (l *life) take() endings {
	t := l.tell
	l.tell = endings{}
	return t
}

func (l *life) wakeFlushes() {
	for _, ch := range l.flushes {
		close(ch)
	}
	l.flushes = nil
}

// checkEnd notes the steps to the end.
func (c *Conn) checkEnd() {
	l := &c.life
	if !l.over && (l.closed || c.eng.Err() != nil || c.eng.Done()) {
		l.over, l.tell.over = true, true
		c.joins.cancel()
	}
	if !l.ended && c.eng.Done() {
		l.ended, l.tell.done = true, true
		c.role.interrupt()
		c.rd.wake()
		c.wr.wake()
		l.wakeFlushes()
	}
}

// bury closes what is left when the engine is done.
func (c *Conn) bury() {
	for i := len(c.flows) - 1; i >= 0; i-- {
		if f := c.flows[i]; !aborted(f) || !f.writing && !f.lastWrite() {
			c.drop(f, false)
		}
	}
	if c.role.set != nil && !c.role.held {
		c.role.set.close()
		c.role.set = nil
	}
}

// tell reports the end, without the lock.
func (c *Conn) tell(t endings, tracer extapi.Tracer, _ []*watcher) {
	if t.over {
		c.mu.Lock()
		cancel, cause := c.life.cancel, c.cause()
		c.mu.Unlock()
		if cancel != nil {
			cancel(cause)
		}
		if c.onClosed != nil {
			c.onClosed(c)
		}
	}
	if !t.done {
		return
	}
	if tracer != nil {
		_ = tracer.Close() // there is nobody to tell
	}
	if c.onEnd != nil {
		c.onEnd(c)
	}
	c.mu.Lock()
	c.life.told = true
	if c.life.done != nil {
		close(c.life.done)
	}
	c.mu.Unlock()
}

// cause is why the connection's context ends.
func (c *Conn) cause() error {
	switch err := c.eng.Err(); {
	case c.rd.err != nil:
		return c.rd.err
	case err != nil:
		return err
	}
	return errClosed
}

// Context ends when the connection is closed or dies; its cause says why.
func (c *Conn) Context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.life
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancelCause(context.Background())
		if l.over {
			l.cancel(c.cause())
		}
	}
	return l.ctx
}

// Closed is closed when all is over, TIME_WAIT included.
func (c *Conn) Closed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.life
	if l.done == nil {
		l.done = make(chan struct{})
		if l.told {
			close(l.done)
		}
	}
	return l.done
}

// Close closes the connection for the application and returns at once: what was written is delivered
// in the background (Config.CloseTimeout). SetLinger changes that as for TCP.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.life.closed {
		c.mu.Unlock()
		return errClosed
	}
	now := c.now()
	c.life.closed, c.rd.closed, c.wr.closed = true, true, true
	c.unhold()
	if c.life.abort {
		c.abort(now, engine.ResetUnspecified)
	} else {
		c.eng.Close(now)
	}
	wait := time.Duration(c.life.linger) * time.Second
	c.leave(now)
	if wait <= 0 {
		return nil
	}
	ctx, stop := context.WithTimeout(context.Background(), wait)
	defer stop()
	return c.Flush(ctx)
}

// SetLinger is that of net.TCPConn: 0 makes Close abort, above 0 it waits so many seconds for
// delivery, below 0 is the default.
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life.closed {
		return errClosed
	}
	c.life.abort, c.life.linger = sec == 0, max(0, sec)
	return nil
}

// Abort ends the connection at once (MP_FASTCLOSE, RFC 8684 section 3.5).
func (c *Conn) Abort(r engine.ResetReason) error {
	c.mu.Lock()
	now := c.now()
	c.life.closed, c.rd.closed, c.wr.closed = true, true, true
	c.abort(now, r)
	c.leave(now)
	return nil
}

// abort also gives back what nobody will read.
func (c *Conn) abort(now time.Duration, r engine.ResetReason) {
	c.eng.CloseRead(now)
	c.eng.Abort(now, r)
}

// CloseWrite sends a DATA_FIN after what was written.
func (c *Conn) CloseWrite() error { return c.half((*engine.Conn).CloseWrite) }

// CloseRead makes further Reads return io.EOF; what arrives is thrown away.
func (c *Conn) CloseRead() error { return c.half((*engine.Conn).CloseRead) }

func (c *Conn) half(f func(*engine.Conn, time.Duration)) error {
	c.mu.Lock()
	if c.life.closed {
		c.mu.Unlock()
		return errClosed
	}
	now := c.now()
	c.unhold()
	f(c.eng, now)
	c.flush(now, true)
	c.leave(now)
	return nil
}

// Flush waits until the peer has DATA_ACKed everything written. A result wins over a context that has
// ended.
func (c *Conn) Flush(ctx context.Context) error {
	c.mu.Lock()
	c.unhold()
	for {
		if err := c.eng.Err(); err != nil || c.eng.Drained() {
			c.leave(c.now())
			return err
		}
		if c.life.ended {
			c.mu.Unlock()
			return errClosed
		}
		if err := ctx.Err(); err != nil {
			c.leave(c.now())
			return context.Cause(ctx)
		}
		ch := make(chan struct{})
		c.life.flushes = append(c.life.flushes, ch)
		c.leave(c.now())
		select {
		case <-ch:
		case <-ctx.Done():
		}
		c.mu.Lock()
		c.life.unflush(ch)
	}
}

func (l *life) unflush(ch chan struct{}) {
	for i, x := range l.flushes {
		if x == ch {
			l.flushes = append(l.flushes[:i], l.flushes[i+1:]...)
			return
		}
	}
}
