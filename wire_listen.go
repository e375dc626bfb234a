package mptcp

import (
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/wire"
	"github.com/mptcp-go/mptcp/internal/wire/stack"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/scheduler"
)

// wireListener is a net.Listener of our own TCP. What it accepts are *arrivals.
type wireListener struct {
	h     *shared
	l     *Listener // valid once ready is closed
	ready chan struct{}
	ports []*stack.Listener // one for each family

	queue chan *arrival
	once  sync.Once
	done  chan struct{}
}

// listenWire takes a port of our own TCP. backlog is the program's; 0: the default. set is the listener's, which holds
// for all connections in what a SYN cookie agrees to.
func (s *shared) listenWire(network string, local netip.AddrPort, backlog int, set *settings) (*wireListener, error) {
	own, err := s.userspace()
	if err != nil {
		return nil, err
	}
	if backlog <= 0 {
		backlog = defaultBacklog
	}
	w := &wireListener{h: s, ready: make(chan struct{}), queue: make(chan *arrival, backlog), done: make(chan struct{})}
	cfg := stack.ListenConfig{Backlog: backlog, TCP: wireTCP(set), Offer: wireOffer(set)}
	port := local.Port()
	for i, a := range families(network, local.Addr()) {
		p, err := own.Listen(netip.AddrPortFrom(a, port), cfg, w)
		if err != nil && i > 0 && isNoFamily(err) {
			continue // a host with one family
		}
		if err != nil {
			w.Close()
			return nil, err
		}
		w.ports = append(w.ports, p)
		port = p.Local().Port()
	}
	return w, nil
}

// isNoFamily says that the host does not speak this version of IP.
func isNoFamily(err error) bool {
	return errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// families are the local addresses to listen on, as package net has them.
func families(network string, a netip.Addr) []netip.Addr {
	switch {
	case a.IsValid() && !(a.IsUnspecified() && a.Is6() && network == "tcp"):
		return []netip.Addr{a}
	case network == "tcp4":
		return []netip.Addr{netip.IPv4Unspecified()}
	case network == "tcp6":
		return []netip.Addr{netip.IPv6Unspecified()}
	}
	return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
}

// start lets connections in: l is the listener that takes them.
func (w *wireListener) start(l *Listener) {
	w.l = l
	close(w.ready)
}

// listener is the Listener; nil while there is none yet.
func (w *wireListener) listener() *Listener {
	select {
	case <-w.ready:
		return w.l
	default:
		return nil
	}
}

// Seed implements stack.Greeter.
func (w *wireListener) Seed(r stack.Request) (stack.Seed, error) {
	l := w.listener()
	if l == nil {
		return stack.Seed{}, stack.ErrLater // Listen has not returned
	}
	if !r.Capable {
		return w.plainSeed(l.s), nil
	}
	s, err := l.settingsFor(r.Local, r.Remote)
	if err != nil {
		return stack.Seed{}, err
	}
	m, err := w.h.newMember()
	if err != nil {
		return stack.Seed{}, err
	}
	if err := m.take(r.Key); err != nil {
		m.discard()
		if noTokens(err) {
			return w.plainSeed(l.s), nil
		}
		return stack.Seed{}, err
	}
	w.h.addrs.start()
	b := newMulti(m, s, r.Local, r.Remote)
	b.port, b.list, b.control = r.Local.Port(), l.lc.Announce, l.control
	seed := b.seed(l.ctx, false)
	seed.Path = firstPath(b.describe(extapi.Candidate{}), extapi.RoleDefault)
	seed.Discard, seed.Owner = m.discard, b
	return seed, nil
}

// plainSeed is for a peer that does not ask for Multipath TCP: it gets plain TCP, on which it may say that it speaks the
// stream carrier.
func (w *wireListener) plainSeed(s *settings) stack.Seed {
	return stack.Seed{
		Plain: extapi.FallbackPeer,
		Driver: driver.Params{Engine: engine.Config{
			Rand: rand.Reader, Memory: w.h.memory, Scheduler: scheduler.MinRTT.New(), SchedName: scheduler.MinRTT.Name(),
			SendBuffer: s.SendBuffer, RecvBuffer: s.RecvBuffer, CloseTimeout: s.CloseTimeout, NoPathTimeout: -1,
		}},
		TCP: func() tcp.Config { return wireTCP(s) }, Congestion: wireCongestion(s),
	}
}

// Taken implements stack.Greeter.
func (w *wireListener) Taken(token uint32) bool { return w.h.taken(token) }

// Lookup implements stack.Greeter.
func (w *wireListener) Lookup(token uint32) (*driver.Conn, bool) { return w.h.lookup(token) }

// Welcome implements stack.Greeter. A handshake that was under way at Close may end after it: nobody would ever accept or reset
// what has come of it.
func (w *wireListener) Welcome(d *driver.Conn, r wire.Result, owner any) {
	b, _ := owner.(*multi)
	if b != nil {
		b.m.driver.Store(d) // joins may come before the program hears of it
	}
	select {
	case w.queue <- &arrival{Conn: d, b: b, result: r}:
	default:
		w.l.s.Logger.Warn("mptcp: backlog full; connection reset", "remote", d.RemoteAddr())
		_ = d.Abort(ResetResources) // nobody has seen it
	}
	select {
	case <-w.done:
		w.turnAway() // Close may have looked before
	default:
	}
}

// turnAway resets what waits in the queue.
func (w *wireListener) turnAway() {
	for {
		select {
		case a := <-w.queue:
			_ = a.Abort(ResetUnspecified) // nobody has seen it
		default:
			return
		}
	}
}

// Accept implements net.Listener.
func (w *wireListener) Accept() (net.Conn, error) {
	select {
	case a := <-w.queue:
		return a, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (w *wireListener) Close() error {
	err := error(net.ErrClosed)
	w.once.Do(func() {
		err = nil
		close(w.done)
		for _, p := range w.ports {
			err = errors.Join(err, p.Close())
		}
		w.turnAway()
	})
	return err
}

// Addr implements net.Listener: as with package net, a listener on both families shows the IPv6 one.
func (w *wireListener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(w.ports[len(w.ports)-1].Local())
}
