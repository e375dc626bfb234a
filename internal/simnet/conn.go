package simnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

const backlog = 1024

// Conn is one end of a connection on a Net. It implements net.Conn with CloseWrite.
type Conn struct {
	host          *Host
	local, remote netip.AddrPort
	sock          *Socket
	private       *Link // this connection's own hop

	change sync.Cond // on the net's lock: anything below changed
	in     []byte
	eof    bool
	err    error // why it is gone
	closed bool
	half   bool // CloseWrite was called

	readBy, writeBy deadline
	writing         bool // one Write at a time, so that their bytes do not mix
}

// deadline wakes who waits when it passes.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (c *Conn) init() { c.change.L = &c.host.net.mu }

// attach gives the connection its socket, under the lock.
func (c *Conn) attach(s *Socket) {
	c.sock = s
	c.host.conns = append(c.host.conns, c)
	s.OnReadable(func(b []byte) {
		c.in = append(c.in, b...)
		if int64(len(c.in)) >= s.in.cfg.RecvBuffer {
			s.Pause()
		}
		c.change.Broadcast()
	})
	s.OnWritable(c.change.Broadcast)
	s.OnClosed(func(err error) {
		if err == io.EOF {
			c.eof = true
		} else {
			c.gone(syscall.ECONNRESET)
		}
		c.change.Broadcast()
	})
}

func (c *Conn) gone(err error) {
	if c.err == nil {
		c.err = err
	}
	if k := slices.Index(c.host.conns, c); k >= 0 {
		c.host.conns = slices.Delete(c.host.conns, k, k+1)
	}
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: tcpAddr(c.local), Addr: tcpAddr(c.remote), Err: err}
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	c.host.net.enter()
	defer c.host.net.leave()
	for {
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case c.readBy.passed():
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		case len(c.in) > 0:
			n := copy(b, c.in)
			c.in = c.in[n:]
			if len(c.in) == 0 {
				c.in = nil
			}
			if c.sock.in.recv.paused && int64(len(c.in)) < c.sock.in.cfg.RecvBuffer/2 {
				c.sock.Resume()
			}
			return n, nil
		case c.eof:
			return 0, io.EOF
		case c.err != nil:
			return 0, c.opError("read", c.err)
		}
		c.wait()
	}
}

// wait gives the network up until something changes.
func (c *Conn) wait() {
	c.host.net.rearm()
	c.change.Wait()
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (n int, err error) {
	c.host.net.enter()
	defer c.host.net.leave()
	for c.writing && !c.closed && !c.writeBy.passed() {
		c.wait()
	}
	owns := !c.writing
	if owns {
		c.writing = true
		defer func() {
			c.writing = false
			c.change.Broadcast()
		}()
	}
	for {
		switch {
		case c.closed:
			return n, c.opError("write", net.ErrClosed)
		case c.writeBy.passed() || !owns:
			return n, c.opError("write", os.ErrDeadlineExceeded)
		case c.half:
			return n, c.opError("write", syscall.EPIPE)
		case c.err != nil:
			return n, c.opError("write", c.err)
		}
		n += c.sock.Write(b[n:])
		if n == len(b) {
			return n, nil
		}
		c.wait()
	}
}

// CloseWrite sends a FIN after what was written.
func (c *Conn) CloseWrite() error {
	c.host.net.enter()
	defer c.host.net.leave()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.half = true
	c.sock.CloseWrite()
	c.change.Broadcast()
	return nil
}

// Close implements net.Conn: what was written is still delivered, what arrives is answered with a
// reset.
func (c *Conn) Close() error { return c.end((*Socket).CloseWrite) }

// Reset closes the connection with a reset.
func (c *Conn) Reset() error { return c.end((*Socket).Abort) }

func (c *Conn) end(how func(*Socket)) error {
	c.host.net.enter()
	defer c.host.net.leave()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	if len(c.in) > 0 {
		c.in = nil
		how = (*Socket).Abort // as a kernel does when data was not read
	}
	how(c.sock)
	c.sock.Resume()
	c.sock.Discard()
	c.gone(net.ErrClosed)
	for _, d := range []*deadline{&c.readBy, &c.writeBy} {
		if d.timer != nil {
			d.timer.Stop()
		}
	}
	c.change.Broadcast()
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return tcpAddr(c.local) }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return tcpAddr(c.remote) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, &c.readBy, &c.writeBy) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.readBy) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.writeBy) }

func (c *Conn) setDeadline(t time.Time, which ...*deadline) error {
	c.host.net.enter()
	defer c.host.net.leave()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range which {
		if d.timer != nil {
			d.timer.Stop()
		}
		d.at, d.timer = t, nil
		if !t.IsZero() {
			d.timer = time.AfterFunc(time.Until(t), func() {
				c.change.L.Lock()
				c.change.Broadcast()
				c.change.L.Unlock()
			})
		}
	}
	c.change.Broadcast()
	return nil
}

// Stats are those of what this end sends, as TCP_INFO would tell.
func (c *Conn) Stats() Stats {
	c.host.net.enter()
	defer c.host.net.leave()
	return c.sock.Stats()
}
