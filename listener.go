package mptcp

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Listener implements net.Listener. It accepts stream peers, kernel-MPTCP peers and plain TCP peers on one port, each
// as a *Conn. Joins find their connection whichever listener of the Transport they come through.
type Listener struct {
	h       *shared
	lc      *ListenConfig // our own clone
	s       *settings
	nl      net.Listener
	addr    *net.TCPAddr
	control func(network, address string, c syscall.RawConn) error

	queue    chan *Conn // ready for Accept
	deadline deadline
	lobby    lobby // fresh connections that have not said yet what they are

	once       sync.Once
	done       chan struct{} // closed by Close
	ctx        context.Context
	cancel     context.CancelFunc
	broken     chan struct{} // closed when the socket failed for good
	cause      error         // why; valid once broken is closed
	background sync.WaitGroup
}

func newListener(h *shared, lc *ListenConfig, s *settings, nl net.Listener) *Listener {
	backlog := lc.Backlog
	if backlog <= 0 {
		backlog = defaultBacklog
	}
	l := &Listener{
		h: h, lc: lc, s: s, nl: nl,
		addr:   tcpAddr(nl.Addr()),
		queue:  make(chan *Conn, backlog),
		done:   make(chan struct{}),
		broken: make(chan struct{}),
	}
	l.lobby.max = backlog
	l.ctx, l.cancel = context.WithCancel(h.ctx)
	return l
}

// Accept waits for the next connection; it is a *Conn. A peer that is silent at first never blocks the others. Errors
// are *net.OpError; after Close they wrap net.ErrClosed, after the deadline os.ErrDeadlineExceeded.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptMultipath(context.Background())
	if err != nil {
		return nil, err // not a nil *Conn in an interface
	}
	return c, nil
}

// AcceptMultipath is Accept with a context and the result's own type. A connection of any carrier is returned, plain
// TCP too, unless RequireMultipath is set.
func (l *Listener) AcceptMultipath(ctx context.Context) (*Conn, error) {
	for {
		expired, changed := l.deadline.wait()
		if c, err := l.next(ctx, expired, changed); c != nil || err != nil {
			return c, opError("accept", nil, l.addr, err)
		}
	}
}

// next returns nothing when the deadline was moved. A connection that is ready wins over a deadline.
func (l *Listener) next(ctx context.Context, expired, changed <-chan struct{}) (*Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-l.broken:
		return nil, l.cause
	case <-expired:
		return nil, os.ErrDeadlineExceeded
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-changed:
		return nil, nil
	}
}

// SetDeadline bounds Accept and AcceptMultipath, calls in progress too. Zero: no deadline.
func (l *Listener) SetDeadline(t time.Time) error {
	select {
	case <-l.done:
		return opError("set", nil, l.addr, net.ErrClosed)
	default:
	}
	l.deadline.set(t)
	return nil
}

// Addr is the listener's *net.TCPAddr.
func (l *Listener) Addr() net.Addr { return l.addr }

// Close stops listening and resets what nobody has accepted. Accepted connections go on.
func (l *Listener) Close() error {
	err := error(net.ErrClosed)
	l.once.Do(func() {
		close(l.done)
		l.cancel()
		err = l.nl.Close()
		l.lobby.close()
		l.deadline.set(time.Time{})
		l.background.Wait()
		for {
			select {
			case c := <-l.queue:
				c.discard()
				continue
			default:
			}
			break
		}
		l.h.delist(l)
	})
	return opError("close", nil, l.addr, err)
}

// How long to wait before the next Accept after the system ran out of something.
const (
	firstBackoff = 5 * time.Millisecond
	maxBackoff   = time.Second
)

// acceptAll takes every connection from the kernel at once, whether Accept is called or not: joins come
// this way too.
func (l *Listener) acceptAll() {
	defer l.background.Done()
	backoff := time.Duration(0)
	for {
		nc, err := l.nl.Accept()
		if err == nil {
			backoff = 0
			l.admit(nc)
			continue
		}
		if l.ctx.Err() != nil {
			return
		}
		if !isPassing(err) {
			l.cause = err
			close(l.broken)
			return
		}
		backoff = min(max(2*backoff, firstBackoff), maxBackoff)
		l.s.Logger.Warn("mptcp: accept failed; trying again", "err", err, "in", backoff)
		select {
		case <-time.After(backoff):
		case <-l.ctx.Done():
			return
		}
	}
}

// isPassing says whether Accept may succeed later: out of descriptors or buffers, or a connection that
// was gone before it was accepted.
func isPassing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.ECONNRESET} {
		if errors.Is(err, e) {
			return true
		}
	}
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}
