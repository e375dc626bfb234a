package driver

import (
	"io"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// moreDirect is how much payload must be waiting for a Read to go on for it when it has something.
const moreDirect = 4 << 10

// prepare gets a caller ready to wait: everything that has happened has its consequences, and
// everything queued has left as far as it goes.
func (c *Conn) prepare() {
	now := c.now()
	c.settle(now)
	c.flush(now, !c.wr.busy || c.wr.blocked)
	for c.due() {
		c.mu.Unlock()
		c.report()
		c.mu.Lock()
	}
}

// Read reads data as net.Conn's Read does.
func (c *Conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	c.rd.enter(&c.mu)
	n, err := c.readTurn(b)
	c.endRead()
	return n, err
}

func (c *Conn) endRead() {
	now := c.now()
	c.giveUp(now, userRead)
	c.rd.leave()
	c.leave(now)
}

// readTurn is Read for the caller whose turn it is.
func (c *Conn) readTurn(b []byte) (n int, err error) {
	for n == 0 {
		now := c.now()
		if err := c.rd.check(now); err != nil || len(b) == 0 {
			return 0, err
		}
		n, err = c.eng.Read(now, b)
		if err != nil {
			return n, err
		}
		if n == 0 {
			n = c.waitRead(b)
		}
	}
	return n + c.readMore(b[n:]), nil
}

// readMore adds what is at hand without waiting.
func (c *Conn) readMore(b []byte) (n int) {
	for n < len(b) {
		m, err := c.eng.Read(c.now(), b[n:])
		n += m
		if err != nil || n == len(b) || !c.hasMore() {
			break
		}
		if c.role.user != userRead && !c.take(userRead) {
			break
		}
		got := c.step(b[n:], false)
		if n += got; got == 0 {
			break
		}
	}
	return n
}

// hasMore says whether the flow that was read last has more for the application at hand.
func (c *Conn) hasMore() bool {
	f := c.role.last
	return f != nil && !f.drained && !f.eof && c.owns == 0 &&
		f.f.PayloadLeft() >= moreDirect && c.eng.DirectRoom(f.id) >= moreDirect
}

// waitRead waits until there is something for Read to look at. When it reads the sockets itself,
// payload may go to app at once: it returns how much.
func (c *Conn) waitRead(app []byte) (n int) {
	c.unhold()
	c.rd.blocked = true
	if c.role.user == userRead || c.take(userRead) {
		c.prepare()
		if c.rd.check(c.now()) == nil && !c.eng.Readable() {
			n = c.step(app, true)
		}
		if c.raws == 0 && c.role.inlet == nil {
			c.give(c.now())
		}
	} else {
		c.rd.announce()
		c.prepare()
		c.rd.wait(&c.mu)
	}
	c.rd.blocked = false
	return n
}

// WriteTo writes what arrives to w until EOF, out of the chunks in which it arrived.
func (c *Conn) WriteTo(w io.Writer) (total int64, err error) {
	c.mu.Lock()
	c.rd.enter(&c.mu)
	for err == nil {
		var ref pool.Ref
		if ref, err = c.nextRef(); err != nil {
			break
		}
		c.giveUp(c.now(), userRead) // w may take its time, and others wait for what the peer says
		c.prepare()
		c.mu.Unlock()
		var n int
		n, err = w.Write(ref.B)
		if total += int64(n); err == nil && n < len(ref.B) {
			err = io.ErrShortWrite
		}
		ref.Release()
		c.mu.Lock()
	}
	c.endRead()
	if err == io.EOF {
		err = nil
	}
	return total, err
}

// nextRef waits for the next bytes in order.
func (c *Conn) nextRef() (pool.Ref, error) {
	for {
		now := c.now()
		if err := c.rd.check(now); err != nil {
			return pool.Ref{}, err
		}
		ref, err := c.eng.NextRef(now)
		if err != nil || ref.Len() > 0 {
			return ref, err
		}
		c.waitRead(nil)
	}
}
