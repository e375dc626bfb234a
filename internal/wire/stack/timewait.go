package stack

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/timer"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// maxWaits is how many of our own connections to one remote address and port wait out TIME-WAIT before the oldest has to
// make room for the next. Each holds a port, and with it a socket of the process.
const maxWaits = 512

// maxAccepted is how many connections that came to listeners wait out TIME-WAIT; beyond that the oldest is forgotten, as
// operating systems do it, so that a busy server's memory is bounded. A late segment of it is answered with a RST then.
const maxAccepted = 8192

// sweepEvery is how often those are looked for at most whose TIME-WAIT is over, which takes no longer than it has to by more.
const sweepEvery = time.Second

// wait is a subflow in TIME-WAIT: what takes the place of its port, as the link's Handler. It answers alone.
type wait struct {
	s        *Stack
	lf       link.Flow
	tcp      *tcp.Remains
	accepted bool // its SYN came to a listener; else we have dialled
	through  int
	place    *list.Element // among the others; nil: it is over
}

// pair is what a new connection goes from and to, but for its port.
type pair struct {
	local   netip.Addr
	remote  netip.AddrPort
	through int // the interface that is prescribed
}

func (w *wait) pair() pair {
	if w.accepted {
		return pair{}
	}
	return pair{w.lf.Local().Addr(), w.lf.Remote(), w.through}
}

// waits are the subflows in TIME-WAIT: for each pair, those first that are over first; under the zero pair those that were
// accepted. Of other locks the link's alone are taken under its own.
type waits struct {
	mu       sync.Mutex
	closed   bool
	lists    map[pair]*list.List // of *wait
	accepted int                 // maxAccepted
	counted  extapi.TCPCounters  // by all that there are and have been
	timer    *timer.Timer[Stack]
	at       time.Duration // when it fires; 0: it is not set
}

// rest gives the four-tuple of a port in TIME-WAIT to what is left of it; nil: the stack is closed.
func (s *Stack) rest(p *port) *wait {
	now := s.now()
	w := &wait{s: s, tcp: p.flow.Remains(now), accepted: p.accepted, through: p.through}
	all := &s.waits
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.closed {
		return nil
	}
	var err error
	if w.lf, err = p.lf.Inherit(p.through, w); err != nil {
		return nil
	}
	k := w.pair()
	l := all.lists[k]
	if l == nil {
		l = list.New()
		all.lists[k] = l
	}
	w.place = l.PushBack(w)
	all.arm(now, s, w.tcp.Until())
	return w
}

// remove takes w out of its list. Its four-tuple is the caller's affair then.
func (a *waits) remove(w *wait) {
	k := w.pair()
	l := a.lists[k]
	l.Remove(w.place)
	w.place = nil
	if l.Len() == 0 {
		delete(a.lists, k)
	}
}

// HandleSegment takes a segment from the link.
func (w *wait) HandleSegment(at time.Duration, s *packet.Segment, buf pool.Ref) {
	now := max(at, w.s.now())
	var out packet.Segment
	var options [packet.MaxOptions]byte
	out.Options = options[:0]
	to, answers := w.take(now, s, &out)
	switch {
	case answers:
		out.IfIndex = w.through
		w.s.send(&out, s)
	case to != nil:
		to.HandleSegment(at, s, buf)
	}
}

// take says whether out answers the segment, or whose it is instead, if anybody's: a SYN may end TIME-WAIT (RFC 6191).
func (w *wait) take(now time.Duration, s, out *packet.Segment) (to link.Handler, answers bool) {
	all := &w.s.waits
	all.mu.Lock()
	defer all.mu.Unlock()
	switch {
	case w.place == nil:
		w.lf.Close() // whoever has ended it may not have come to that
		return w.lf.Listener(), false
	case w.tcp.Reusable(s):
		if to = w.lf.Listener(); to == nil {
			return w.s, false // refuses it
		}
		all.remove(w)
		w.lf.Close()
		return to, false
	}
	until := w.tcp.Until()
	answers = w.tcp.HandleSegment(now, s, out, &all.counted)
	if w.tcp.Until() > until {
		all.lists[w.pair()].MoveToBack(w.place)
	}
	return nil, answers
}

// HandleICMP has nobody to tell: all that was sent has arrived.
func (w *wait) HandleICMP(time.Duration, *packet.ICMPError) {
	all := &w.s.waits
	all.mu.Lock()
	all.counted.ICMPIgnored++
	all.mu.Unlock()
}

// arm makes sure that sweep comes when the first are over.
func (a *waits) arm(now time.Duration, s *Stack, at time.Duration) {
	if at = max(at, 1); a.at != 0 && a.at <= at {
		return
	}
	a.at = at
	if a.timer == nil {
		a.timer = timer.After(at-now, s, (*Stack).sweep)
	} else {
		a.timer.Reset(at - now)
	}
}

// sweep forgets those whose TIME-WAIT is over.
func (s *Stack) sweep() {
	now := s.now()
	all := &s.waits
	all.mu.Lock()
	all.at = 0
	var gone []*wait
	for _, l := range all.lists {
		for e := l.Front(); e != nil; e = l.Front() {
			w := e.Value.(*wait)
			if at := w.tcp.Until(); at > now {
				all.arm(now, s, max(at, now+sweepEvery))
				break
			}
			all.remove(w)
			gone = append(gone, w)
		}
	}
	all.mu.Unlock()
	for _, w := range gone {
		w.lf.Close()
	}
}

// close forgets all. The link calls none of them any more.
func (a *waits) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.timer.End()
	clear(a.lists)
}

// counters are what all have counted.
func (a *waits) counters() extapi.TCPCounters {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counted
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

// inherit gives p the four-tuple of the oldest in TIME-WAIT, if more than so many are, and if the old connection's segments
// can be told from the new one's; else nil.
func (s *Stack) inherit(k pair, p *port, than int) link.Flow {
	all := &s.waits
	all.mu.Lock()
	defer all.mu.Unlock()
	w := all.eldest(k, than)
	if w == nil || !w.tcp.Renewable(s.now()) {
		return nil
	}
	f, err := w.lf.Inherit(p.through, p)
	if err != nil {
		return nil
	}
	all.remove(w)
	return f
}

// thin forgets the oldest of the accepted ones when there are more than are kept.
func (a *waits) thin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.eldest(pair{}, a.accepted); w != nil {
		a.remove(w)
		w.lf.Close()
	}
}

// eldest is the oldest of more than so many.
func (a *waits) eldest(k pair, than int) *wait {
	if l := a.lists[k]; l != nil && l.Len() > than {
		return l.Front().Value.(*wait)
	}
	return nil
}
