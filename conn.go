package mptcp

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/stream"
)

// Conn implements net.Conn and extapi.Control. It is a Multipath TCP connection, or the plain or
// kernel-MPTCP connection that it fell back to: Info says which. Its methods may be called from any
// goroutine at once.
type Conn struct {
	id     extapi.ConnID
	b      backend
	local  *net.TCPAddr
	remote *net.TCPAddr
}

var (
	_ net.Conn       = (*Conn)(nil)
	_ net.Listener   = (*Listener)(nil)
	_ extapi.Control = (*Conn)(nil)
	_ io.ReaderFrom  = (*Conn)(nil)
	_ io.WriterTo    = (*Conn)(nil)
)

// Read follows net.Conn. Data that has arrived is read before an error or the end of file, which is a bare
// io.EOF. Other errors are *net.OpError. While every path is down Read waits, for Config.NoPathTimeout at most; deadlines go on
// working. As [io.Reader] allows, all of b may serve as scratch space while Read waits, whatever it returns.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.b.Read(b)
	if err != nil {
		err = c.fail("read", err)
	}
	return n, err
}

// Write follows net.Conn. It returns when everything is accepted for delivery, which is not yet
// delivered: see Flush. It waits while SendBuffer is full. Errors are *net.OpError.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.b.Write(b)
	if err != nil {
		err = c.fail("write", err)
	}
	return n, err
}

// ReadFrom sends what r delivers until its end. io.Copy uses it: pooled chunks are filled directly, and a
// plain connection uses the kernel's splice or sendfile where r allows it.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
	n, err := c.b.ReadFrom(r)
	if err != nil {
		err = c.fail("readfrom", err)
	}
	return n, err
}

// WriteTo writes to w what the peer sends until its end. io.Copy uses it: references are drained
// without a copy.
func (c *Conn) WriteTo(w io.Writer) (int64, error) {
	n, err := c.b.WriteTo(w)
	if err != nil {
		err = c.fail("writeto", err)
	}
	return n, err
}

// Close sends DATA_FIN and returns at once; delivery of what was written goes on for Config.CloseTimeout.
// Transport.Shutdown waits for it. Where data was left unread, the peer is told by a reset, as TCP does. A second Close
// returns an error that wraps net.ErrClosed. See SetLinger.
func (c *Conn) Close() error { return c.fail("close", c.b.Close()) }

// CloseWrite ends this side's stream; the peer reads io.EOF. Reading goes on.
func (c *Conn) CloseWrite() error { return c.fail("close", c.b.CloseWrite()) }

// CloseRead makes Read return io.EOF and drops what still arrives.
func (c *Conn) CloseRead() error { return c.fail("close", c.b.CloseRead()) }

// Abort ends the connection at once with MP_FASTCLOSE (RFC 8684 section 3.5); a plain connection is
// reset. What was written and not delivered is lost.
func (c *Conn) Abort(reason ResetReason) error { return c.fail("abort", c.b.Abort(reason)) }

// LocalAddr is the *net.TCPAddr of the first subflow, for life (RFC 6897 section 4.2.2).
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the *net.TCPAddr of the first subflow, for life.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline follows net.Conn: it bounds Read and Write, calls in progress too. Zero: no deadline.
func (c *Conn) SetDeadline(t time.Time) error { return c.fail("set", c.b.SetDeadline(t)) }

// SetReadDeadline follows net.Conn. Zero: no deadline.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.fail("set", c.b.SetReadDeadline(t)) }

// SetWriteDeadline follows net.Conn. Zero: no deadline.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.fail("set", c.b.SetWriteDeadline(t)) }

// Context is cancelled when the connection is closed or dies; context.Cause tells why.
func (c *Conn) Context() context.Context { return c.b.Context() }

// Flush waits until all written data is DATA_ACKed; on TCP and kernel connections until it is acknowledged,
// where the operating system tells (Linux), else it returns errors.ErrUnsupported. It returns the error of the
// connection if that dies first, or the cause of ctx.
func (c *Conn) Flush(ctx context.Context) error { return c.fail("flush", c.b.Flush(ctx)) }

// Multipath answers net.TCPConn.MultipathTCP's question: does the connection use Multipath TCP now?
func (c *Conn) Multipath() bool { return c.b.Multipath() }

// backend is what carries a connection: this package's own multipath (multi), or a socket of the
// kernel's (plain). Errors are plain; Conn wraps them.
type backend interface {
	io.ReadWriteCloser
	io.ReaderFrom
	io.WriterTo
	CloseWrite() error
	CloseRead() error
	Abort(ResetReason) error
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
	Context() context.Context
	Flush(context.Context) error
	Multipath() bool
	Info() extapi.ConnInfo
	Subflows() []extapi.SubflowInfo
	Watch(context.Context) <-chan extapi.Event
	sockets() []net.Conn
	paths() pathControl // nil: there is one path, and it is not ours to steer
	setLinger(sec int) error
	silent() bool // accepted without a byte from the peer
	discard()     // nobody has seen this connection
}

// fail wraps err in a *net.OpError.
func (c *Conn) fail(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if errors.Is(err, stream.ErrNotStream) && !errors.Is(err, ErrNotMultipath) {
		err = &notMultipath{err}
	}
	return opError(op, c.local, c.remote, err)
}

// notMultipath says what a peer that does not speak the stream carrier means to the program.
type notMultipath struct{ err error }

func (e *notMultipath) Error() string   { return ErrNotMultipath.Error() + ": " + e.err.Error() }
func (e *notMultipath) Unwrap() []error { return []error{ErrNotMultipath, e.err} }

// discard closes a connection that nobody ever saw.
func (c *Conn) discard() { c.b.discard() }
