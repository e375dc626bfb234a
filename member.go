package mptcp

import (
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
)

// member is one connection's place in a Transport: what its token leads to, and what Conns lists.
type member struct {
	s      *shared
	id     extapi.ConnID
	key    engine.Key
	driver atomic.Pointer[driver.Conn]
	conn   atomic.Pointer[Conn]

	closing bool // the program is done with it, delivery goes on; under shared.mu
}

// newMember makes a connection's place; listed in Conns once its Conn is set.
func (s *shared) newMember() (*member, error) {
	m := &member{s: s, id: extapi.ConnID(lastConn.Add(1))}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, net.ErrClosed
	}
	s.members[m.id] = m
	return m, nil
}

// draw gives m a key whose token is unique among this Transport's connections.
func (m *member) draw() error {
	m.s.tokenMu.Lock()
	defer m.s.tokenMu.Unlock()
	key, err := m.s.tokens.NewKey(m)
	m.key = key
	return err
}

// take gives m the key that a stateless answer to a SYN was made of; 0: one is drawn.
func (m *member) take(key engine.Key) error {
	if key == 0 {
		return m.draw()
	}
	m.s.tokenMu.Lock()
	defer m.s.tokenMu.Unlock()
	if !m.s.tokens.Enter(key, m) {
		return engine.ErrTokens
	}
	m.key = key
	return nil
}

// taken says whether a new connection cannot have this token.
func (s *shared) taken(token uint32) bool {
	s.tokenMu.Lock()
	defer s.tokenMu.Unlock()
	_, ok := s.tokens.Lookup(token)
	return ok || s.tokens.Len() >= maxTokens
}

// lookup finds the connection that a join's token names, whichever listener the join came through.
func (s *shared) lookup(token uint32) (*driver.Conn, bool) {
	s.tokenMu.Lock()
	m, ok := s.tokens.Lookup(token)
	s.tokenMu.Unlock()
	if !ok {
		return nil, false
	}
	d := m.driver.Load()
	return d, d != nil
}

// leave takes m off the lists: nothing is left to deliver.
func (m *member) leave() {
	m.s.mu.Lock()
	if m.s.members[m.id] == m {
		delete(m.s.members, m.id)
	}
	m.s.mu.Unlock()
	m.s.rest()
}

// forget gives the token back.
func (m *member) forget() {
	m.s.tokenMu.Lock()
	defer m.s.tokenMu.Unlock()
	m.s.tokens.Remove(m.key)
}

// discard undoes newMember and draw for a connection that never came to be.
func (m *member) discard() {
	m.leave()
	m.forget()
}

// close notes that the program has closed the connection, or that it has died: Conns lists it no more, and
// Shutdown waits for its delivery.
func (m *member) close() {
	m.s.mu.Lock()
	m.closing = true
	m.s.mu.Unlock()
}

// busy says whether anything needs to know of address changes.
func (s *shared) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.members) > 0 || len(s.listeners) > 0
}

// rest lets the address watch end when nothing needs it.
func (s *shared) rest() {
	if !s.busy() {
		s.addrs.idle()
	}
}

// listening are the addresses that the Transport's listeners accept connections on, of those in locals.
func (s *shared) listening(locals []extapi.Candidate) []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []netip.AddrPort
	for l := range s.listeners {
		a := addrPort(l.addr)
		if !a.Addr().IsUnspecified() {
			list = append(list, a)
			continue
		}
		for _, c := range locals {
			list = append(list, netip.AddrPortFrom(c.Local.Addr(), a.Port()))
		}
	}
	return list
}
