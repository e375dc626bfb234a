package simnet

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Listener implements net.Listener on a Host.
type Listener struct {
	host   *Host
	local  netip.AddrPort
	change sync.Cond
	queue  []*Conn
	closed bool
	by     deadline
}

// Listen takes connections to addr; an unspecified address takes those to all addresses, :: both
// families; port 0 picks one.
func (h *Host) Listen(addr netip.AddrPort) (*Listener, error) {
	h.net.enter()
	defer h.net.leave()
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), h.pickPort(addr.Port()))
	fail := func(err error) (*Listener, error) {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: tcpAddr(addr), Err: err}
	}
	if h.net.closed {
		return fail(net.ErrClosed)
	}
	if !addr.Addr().IsUnspecified() && !addr.Addr().IsLoopback() {
		if i := h.net.owner(h, addr.Addr()); i == nil || i.host != h {
			return fail(syscall.EADDRNOTAVAIL)
		}
	}
	for _, l := range h.listeners {
		if l.local == addr {
			return fail(syscall.EADDRINUSE)
		}
	}
	l := &Listener{host: h, local: addr}
	l.change.L = &h.net.mu
	h.listeners = append(h.listeners, l)
	return l, nil
}

func (l *Listener) takes(a netip.Addr) bool {
	mine := l.local.Addr()
	return mine == a || mine.IsUnspecified() && (mine.Is6() || a.Is4())
}

// push queues a connection; a closed listener resets it.
func (l *Listener) push(c *Conn) {
	if l.closed {
		c.closed = true
		c.sock.Abort()
		c.gone(net.ErrClosed)
		return
	}
	l.queue = append(l.queue, c)
	l.change.Broadcast()
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	l.host.net.enter()
	defer l.host.net.leave()
	for {
		switch {
		case l.closed:
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: tcpAddr(l.local), Err: net.ErrClosed}
		case l.by.passed():
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: tcpAddr(l.local), Err: os.ErrDeadlineExceeded}
		case len(l.queue) > 0:
			c := l.queue[0]
			l.queue = l.queue[1:]
			return c, nil
		}
		l.host.net.rearm()
		l.change.Wait()
	}
}

// SetDeadline limits Accept.
func (l *Listener) SetDeadline(t time.Time) error {
	l.host.net.enter()
	defer l.host.net.leave()
	if l.by.timer != nil {
		l.by.timer.Stop()
	}
	l.by = deadline{at: t}
	if !t.IsZero() {
		l.by.timer = time.AfterFunc(time.Until(t), func() {
			l.change.L.Lock()
			l.change.Broadcast()
			l.change.L.Unlock()
		})
	}
	l.change.Broadcast()
	return nil
}

// Close implements net.Listener; connections not yet accepted are reset.
func (l *Listener) Close() error {
	l.host.net.enter()
	defer l.host.net.leave()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: tcpAddr(l.local), Err: net.ErrClosed}
	}
	l.shut()
	return nil
}

func (l *Listener) shut() {
	l.closed = true
	if l.by.timer != nil {
		l.by.timer.Stop()
	}
	if k := slices.Index(l.host.listeners, l); k >= 0 {
		l.host.listeners = slices.Delete(l.host.listeners, k, k+1)
	}
	queue := l.queue
	l.queue = nil
	for _, c := range queue {
		l.push(c)
	}
	l.change.Broadcast()
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return tcpAddr(l.local) }
