package stack

import (
	"container/list"
	"net/netip"

	"github.com/mptcp-go/mptcp/internal/wire/link"
)

// maxWaits is how many of our own connections to one remote address and port wait out TIME-WAIT before the oldest has to
// make room for the next. Each holds a port, and with it a socket of the process.
const maxWaits = 512

// maxAccepted is how many connections that came to listeners wait out TIME-WAIT; beyond that the oldest is forgotten, as
// operating systems do it, so that a busy server's memory is bounded. A late segment of it is answered with a RST then.
const maxAccepted = 8192

// pair is what a new connection goes from and to, but for its port.
type pair struct {
	local   netip.Addr
	remote  netip.AddrPort
	through int // the interface that is prescribed
}

// waits are the ports in TIME-WAIT, for each pair those that came first first; under the zero pair those that were
// accepted. The stack's lock guards it.
type waits map[pair]*list.List

func (p *port) pair() pair {
	if p.listener != nil {
		return pair{}
	}
	return pair{p.lf.Local().Addr(), p.lf.Remote(), p.through}
}

// add enters a port.
func (w waits) add(p *port) {
	k := p.pair()
	l := w[k]
	if l == nil {
		l = list.New()
		w[k] = l
	}
	p.wait = l.PushBack(p)
}

// remove forgets a port.
func (w waits) remove(p *port) {
	if p.wait == nil {
		return
	}
	k := p.pair()
	l := w[k]
	l.Remove(p.wait)
	p.wait = nil
	if l.Len() == 0 {
		delete(w, k)
	}
}

// connect makes the flow of a new port of this side. While there are few connections in TIME-WAIT to the same place it has
// a local port of its own.
func (s *Stack) connect(local, remote netip.AddrPort, p *port) (link.Flow, error) {
	if local.Port() != 0 {
		return s.link.Connect(local, remote, p.through, p)
	}
	k := pair{local.Addr(), remote, p.through}
	if f := s.inherit(k, p, maxWaits); f != nil {
		return f, nil
	}
	f, err := s.link.Connect(local, remote, p.through, p)
	if err != nil { // no port is left, or no descriptor
		if heir := s.inherit(k, p, 0); heir != nil {
			return heir, nil
		}
	}
	return f, err
}

// inherit gives p the four-tuple of the oldest port in TIME-WAIT, if more than so many are, and if the old connection's
// segments can be told from the new one's; else nil.
func (s *Stack) inherit(k pair, p *port, than int) link.Flow {
	now := s.now()
	q := s.eldest(k, than, func(q *port) bool { return q.flow.Conn().Renewable(now) })
	if q == nil {
		return nil
	}
	defer q.mu.Unlock()
	f, err := q.lf.Inherit(p.through, p)
	if err != nil {
		return nil
	}
	q.flow.Conn().Abort(now)
	q.bury()
	return f
}

// thin forgets the oldest of the accepted ports in TIME-WAIT when there are more than are kept.
func (s *Stack) thin() {
	all := func(*port) bool { return true }
	for q := s.eldest(pair{}, s.accepted, all); q != nil; q = s.eldest(pair{}, s.accepted, all) {
		q.flow.Conn().Abort(s.now())
		q.bury()
		q.mu.Unlock()
	}
}

// eldest returns the oldest of more than so many ports, if it fits, locked.
func (s *Stack) eldest(k pair, than int, fits func(*port) bool) *port {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.waits[k]
	if l == nil || l.Len() <= than {
		return nil
	}
	q := l.Front().Value.(*port)
	if !q.mu.TryLock() { // the order is port before stack
		return nil
	}
	if q.d.Load() != nil || q.over || !fits(q) {
		q.mu.Unlock()
		return nil
	}
	return q
}
