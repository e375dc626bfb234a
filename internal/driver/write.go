package driver

import (
	"errors"
	"io"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// writePiece is how much of a Write goes to the engine before the flows write it out: it is still in
// the processor's cache then.
const writePiece = 256 << 10

// Write writes all of b as net.Conn's Write does.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.wr.enter(&c.mu)
	c.run.begin(c.now())
	n, err := c.writeTurn(b)
	now := c.now()
	c.run.ended = now
	c.glance(now)
	c.giveUp(now, userWrite)
	c.wr.leave()
	if c.handsOver(n) {
		c.mu.Unlock()
		return n, err
	}
	c.leave(now)
	return n, err
}

// writeTurn is Write for the caller whose turn it is.
func (c *Conn) writeTurn(b []byte) (n int, err error) {
	c.unhold()
	for {
		now := c.now()
		if err := c.wr.check(now); err != nil {
			return n, err
		}
		m, err := c.writeSome(now, b[n:min(len(b), n+writePiece)])
		n += m
		c.run.add(m)
		if err != nil || n == len(b) {
			return n, err
		}
		if m > 0 {
			if !c.handsOver(m) {
				c.flush(now, false)
			}
			continue
		}
		c.waitWrite()
	}
}

// writeSome gives the engine some of b. What the sender sends is copied without the lock, as far as it fills a chunk: the sender
// needs it after each call into the kernel, and to wait for a lock costs more than a copy.
func (c *Conn) writeSome(now time.Duration, b []byte) (n int, err error) {
	if !c.inRun(len(b)) || min(int64(len(b)), c.eng.WriteRoom()) < pool.MaxSize {
		return c.eng.Write(now, b)
	}
	c.mu.Unlock()
	p := pool.Get(pool.MaxSize)
	copy(p.Bytes(), b)
	c.mu.Lock()
	now = c.now()
	if n, err = c.eng.WriteChunk(now, p); n == 0 {
		p.Release()
	}
	if n == 0 && err == nil {
		return c.eng.Write(now, b)
	}
	return n, err
}

// waitWrite waits until Write has room. If nobody reads the sockets, it reads the acknowledgements
// itself.
func (c *Conn) waitWrite() {
	c.wr.blocked = true
	if c.role.user == userWrite || c.take(userWrite) {
		c.prepare()
		if c.wr.check(c.now()) == nil && !c.eng.Writable() {
			c.step(nil, true)
		}
		if c.raws == 0 && c.role.inlet == nil {
			c.give(c.now())
		}
	} else {
		c.wr.announce()
		c.prepare()
		c.wr.wait(&c.mu)
	}
	c.wr.blocked = false
}

// glanceEvery is how long a caller that writes and writes may leave the sockets unread. What waits in
// them are acknowledgements and the answers to ECHO, which tell how long the paths are.
const glanceEvery = time.Millisecond

// glance reads what is there, if nobody has read for a while although plenty is under way.
func (c *Conn) glance(now time.Duration) {
	if c.role.held || now-c.role.freed < glanceEvery || c.eng.Unacknowledged() < plenty || !c.take(userWrite) {
		return
	}
	for range c.raws {
		c.step(nil, false)
	}
}

// unhold lets prologues leave: here is the company that they waited for.
func (c *Conn) unhold() {
	for _, f := range c.flows {
		f.hold = 0
	}
}

// ReadFrom writes what r delivers until EOF.
func (c *Conn) ReadFrom(r io.Reader) (total int64, err error) {
	chunk := pool.Get(pool.MaxSize)
	defer chunk.Release()
	for {
		n, rerr := r.Read(chunk.Bytes())
		if n > 0 {
			m, werr := c.Write(chunk.Bytes()[:n])
			total += int64(m)
			if werr != nil {
				return total, werr
			}
		}
		if errors.Is(rerr, io.EOF) {
			return total, nil
		}
		if rerr != nil {
			return total, rerr
		}
	}
}
