package stack

import (
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
)

// past is what those have counted that are gone.
type past struct {
	tcp    extapi.TCPCounters
	listen extapi.ListenCounters
}

// Counters are what the stack has counted so far; its link counts for itself.
func (s *Stack) Counters() extapi.Counters {
	s.mu.Lock()
	c := extapi.Counters{TCP: s.past.tcp, Listen: s.past.listen}
	ports := make([]*port, 0, len(s.ports))
	for p := range s.ports {
		ports = append(ports, p)
	}
	listeners := make([]*Listener, 0, len(s.listeners))
	for l := range s.listeners {
		listeners = append(listeners, l)
	}
	s.mu.Unlock()
	for _, p := range ports {
		p.addTo(&c.TCP)
	}
	for _, l := range listeners {
		mib.Sum(&c.Listen, l.Counters())
	}
	mib.Sum(&c.TCP, s.waits.counters())
	c.MPTCP = s.count.Snapshot()
	return c
}

// addTo adds the port's counters to sum. One that has been buried meanwhile has them still.
func (p *port) addTo(sum *extapi.TCPCounters) {
	d, _ := p.enter(0)
	p.addLocked(sum)
	if d != nil {
		d.Pause()
	} else {
		p.mu.Unlock()
	}
}

// addLocked is addTo under the port's lock.
func (p *port) addLocked(sum *extapi.TCPCounters) {
	if p.flow != nil { // else it is a join that did not fit
		p.flow.AddCounters(sum)
	}
}

// forget ends what the stack knows of a port. Its lock is held.
func (s *Stack) forget(p *port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.ports[p]; known {
		delete(s.ports, p)
		p.addLocked(&s.past.tcp)
	}
}

// retire ends what the stack knows of a listener.
func (s *Stack) retire(l *Listener) {
	c := l.Counters()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.listeners[l]; known {
		delete(s.listeners, l)
		mib.Sum(&s.past.listen, c)
	}
}
