package mptcp

import (
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
)

// Counters are what the Transport's own TCP has counted: of ModeWire alone, since the operating system's TCP and
// Multipath TCP, which the other modes use, have their own ("nstat -az" on Linux). It looks at every
// subflow, at those in TIME-WAIT too, about a microsecond at each: call it to look, or every few seconds.
func (t *Transport) Counters() extapi.Counters {
	s := t.peek()
	if s == nil {
		return extapi.Counters{}
	}
	s.wireMu.Lock()
	own, link := s.wire, s.link
	s.wireMu.Unlock()
	if own == nil {
		return extapi.Counters{}
	}
	c := own.Counters()
	c.Link = link.Counters()
	return c
}

// Counters are what the Listener has counted of the SYNs that came to it; zero but in ModeWire.
func (l *Listener) Counters() (c extapi.ListenCounters) {
	if w, ok := l.nl.(*wireListener); ok {
		for _, p := range w.ports {
			mib.Sum(&c, p.Counters())
		}
	}
	return c
}
