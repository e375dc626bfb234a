package link

import (
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Onlooker is shown a segment before it leaves, or before it is handled: whoever sees an answer has seen the
// question. False takes it away, as if the network had lost it. It is called from several goroutines at once, must
// not block, and must neither change nor keep the segment.
type Onlooker func(now time.Duration, sent bool, s *packet.Segment) (pass bool)

// Watched is open with an onlooker of every segment between the link and its stack. A link that nobody watches
// has nothing of this on its way.
func Watched(clock func() time.Duration, see Onlooker, open func(Stack) (Link, error)) func(Stack) (Link, error) {
	return func(s Stack) (Link, error) {
		l, err := open(&watchedStack{s, watchedHandler{s, see}})
		if err != nil {
			return nil, err
		}
		return &watched{l, clock, see}, nil
	}
}

type watched struct {
	Link
	clock func() time.Duration
	see   Onlooker
}

// Send implements Link. What the onlooker takes away counts as sent.
func (w *watched) Send(batch []packet.Segment) (n int, err error) {
	now := w.clock()
	send := func(part []packet.Segment) {
		if len(part) == 0 {
			return
		}
		m, e := w.Link.Send(part)
		n += m
		if err == nil {
			err = e
		}
	}
	from := 0
	for i := range batch {
		if w.see(now, true, &batch[i]) {
			continue
		}
		send(batch[from:i])
		n++
		from = i + 1
	}
	send(batch[from:])
	return n, err
}

// Connect implements Link.
func (w *watched) Connect(local, remote netip.AddrPort, ifIndex int, h Handler) (Flow, error) {
	return w.see.flow(h, func(h Handler) (Flow, error) { return w.Link.Connect(local, remote, ifIndex, h) })
}

// Listen implements Link.
func (w *watched) Listen(local netip.AddrPort, h Handler) (Port, error) {
	p, err := w.Link.Listen(local, &watchedHandler{h, w.see})
	if err != nil {
		return nil, err
	}
	return &watchedPort{p, w.see}, nil
}

type watchedPort struct {
	Port
	see Onlooker
}

// Accept implements Port.
func (p *watchedPort) Accept(local, remote netip.AddrPort, ifIndex int, h Handler) (Flow, error) {
	return p.see.flow(h, func(h Handler) (Flow, error) { return p.Port.Accept(local, remote, ifIndex, h) })
}

type watchedFlow struct {
	Flow
	see Onlooker
}

// flow is what open makes, watched.
func (o Onlooker) flow(h Handler, open func(Handler) (Flow, error)) (Flow, error) {
	f, err := open(&watchedHandler{h, o})
	if err != nil {
		return nil, err
	}
	return &watchedFlow{f, o}, nil
}

// Inherit implements Flow.
func (f *watchedFlow) Inherit(ifIndex int, h Handler) (Flow, error) {
	return f.see.flow(h, func(h Handler) (Flow, error) { return f.Flow.Inherit(ifIndex, h) })
}

// Listener implements Flow. What a flow hands on has been seen.
func (f *watchedFlow) Listener() Handler {
	if h, ok := f.Flow.Listener().(*watchedHandler); ok {
		return h.Handler
	}
	return nil
}

type watchedHandler struct {
	Handler
	see Onlooker
}

// HandleSegment implements Handler.
func (h *watchedHandler) HandleSegment(now time.Duration, s *packet.Segment, buf pool.Ref) {
	if h.see(now, false, s) {
		h.Handler.HandleSegment(now, s, buf)
	}
}

// watchedStack is the stack, whose segments are those of nobody.
type watchedStack struct {
	Stack
	strays watchedHandler
}

// HandleSegment implements Handler.
func (s *watchedStack) HandleSegment(now time.Duration, seg *packet.Segment, buf pool.Ref) {
	s.strays.HandleSegment(now, seg, buf)
}
