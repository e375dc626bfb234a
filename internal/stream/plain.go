package stream

import (
	"io"
	"net"
	"sync"
	"syscall"
)

// PlainConn is a connection that is handed out as plain TCP. What was read of it to find that out
// comes first. If nothing was, because the peer was silent, its first bytes are looked at when they
// come: a preface that is late (its first segment was lost) is no data. Then the connection is reset,
// and the client tries again.
type PlainConn struct {
	net.Conn

	mu    sync.Mutex // guards the fields below between concurrent Reads
	begun []byte     // to be read first
	late  *Sniffer   // nil: nothing to look for any more
}

// NetConn is the connection underneath, for its socket options.
func (c *PlainConn) NetConn() net.Conn { return c.Conn }

// CloseWrite ends the direction to the peer.
func (c *PlainConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return c.Conn.Close()
}

// Read reads data, but no preface.
func (c *PlainConn) Read(b []byte) (int, error) {
	for {
		n, plain := c.first(b)
		if n > 0 {
			return n, nil
		}
		if plain || len(b) == 0 {
			return c.Conn.Read(b)
		}
		if err := c.look(); err != nil {
			return 0, err
		}
	}
}

// first takes what is to be read first, and says whether the rest comes from the connection.
func (c *PlainConn) first(b []byte) (n int, plain bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = copy(b, c.begun)
	if c.begun = c.begun[n:]; len(c.begun) == 0 {
		c.begun = nil
	}
	return n, c.late == nil
}

// look reads some bytes and decides what they are, as far as that is possible.
func (c *PlainConn) look() error {
	var buf [PrefaceLen]byte
	n, err := c.Conn.Read(buf[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late == nil { // another Read has decided meanwhile
		c.begun = append(c.begun, buf[:n]...)
		return err
	}
	v, used := c.late.Feed(buf[:n])
	switch {
	case v == IsPreface:
		if l, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
			_ = l.SetLinger(0)
		}
		_ = c.Conn.Close()
		return syscall.ECONNRESET
	case v == NotPreface || err == io.EOF:
		c.begun = append(c.begun, c.late.Bytes()...)
		c.begun = append(c.begun, buf[used:n]...)
		c.late = nil
		if len(c.begun) > 0 {
			return nil
		}
	}
	return err
}
