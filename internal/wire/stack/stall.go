package stack

import (
	"sync"
	"sync/atomic"
	"time"
)

// stall are the ports whose segments have found the link full. What they have gathered stays theirs, and they gather
// nothing more until there is room: waiting in the port a segment delays nobody else's, and the congestion control
// sees the delay instead of a loss.
type stall struct {
	version atomic.Uint64 // grows whenever there is room again
	mu      sync.Mutex
	ports   []*port
}

// add makes p be called when there is room, unless that has come to be since it tried.
func (s *stall) add(p *port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.room == s.version.Load() {
		s.ports = append(s.ports, p)
	}
}

// Writable lets the ports go on that wait for room.
func (s *Stack) Writable(now time.Duration) {
	s.stall.mu.Lock()
	s.stall.version.Add(1)
	ports := s.stall.ports
	s.stall.ports = nil
	s.stall.mu.Unlock()
	for _, p := range ports {
		p.flush(now)
	}
}
