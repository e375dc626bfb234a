package mptcp

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// adoptPlain gives p its place in the Transport and makes a Conn of it.
func (s *shared) adoptPlain(ctx context.Context, p *plain, cfg *settings) (*Conn, error) {
	m, err := s.newMember()
	if err != nil {
		p.nc.Close()
		return nil, err
	}
	p.m, p.began = m, time.Now()
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.events = newPlainEvents(newTracer(ctx, cfg, p.Info()))
	c := &Conn{id: m.id, b: p, local: tcpAddr(p.nc.LocalAddr()), remote: tcpAddr(p.nc.RemoteAddr())}
	m.conn.Store(c)
	p.events.push(0, extapi.ConnEstablished{Info: p.Info()})
	if why := p.fallback(); why != extapi.FallbackNone {
		p.events.push(0, extapi.ConnFellBack{Reason: why})
	}
	return c, nil
}

// traced says whether anybody hears of a connection's events.
func traced(ctx context.Context, cfg *settings) bool {
	return cfg.Trace != nil || cfg.Logger.Enabled(ctx, slog.LevelDebug)
}

// newTracer is the tracer that the configuration asks for, together with the logger; nil: neither.
func newTracer(ctx context.Context, cfg *settings, info extapi.ConnInfo) extapi.Tracer {
	var list []extapi.Tracer
	if cfg.Trace != nil {
		if t := cfg.Trace(ctx, info); t != nil {
			list = append(list, t)
		}
	}
	if cfg.Logger.Enabled(ctx, slog.LevelDebug) {
		list = append(list, extapi.SlogTracer(cfg.Logger.With("conn", uint64(info.ID)), slog.LevelDebug))
	}
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return extapi.MultiTracer(list...)
}

// fallback is why the connection is not multipath now; none when the kernel's is.
func (p *plain) fallback() extapi.FallbackReason {
	if p.Multipath() {
		return extapi.FallbackNone
	}
	return p.why
}

func (p *plain) carrier() extapi.Carrier {
	if p.Multipath() {
		return extapi.CarrierKernel
	}
	return extapi.CarrierTCP
}

// Info is what can be told without looking into the kernel's connection.
func (p *plain) Info() extapi.ConnInfo {
	i := extapi.ConnInfo{
		ID:            p.m.id,
		Carrier:       p.carrier(),
		Established:   p.began,
		BytesSent:     p.sent.Load(),
		BytesReceived: p.received.Load(),
	}
	if i.Carrier == extapi.CarrierKernel {
		i.Version = 1
	} else {
		i.Fallback = p.why
	}
	return i
}

// Subflows has one entry: the connection itself. What the kernel's MPTCP does underneath is its own.
func (p *plain) Subflows() []extapi.SubflowInfo {
	if p.ctx.Err() != nil {
		return nil
	}
	s := extapi.SubflowInfo{
		ID:            1,
		Carrier:       p.carrier(),
		State:         extapi.StateActive,
		Local:         addrPort(p.nc.LocalAddr()),
		Remote:        addrPort(p.nc.RemoteAddr()),
		SRTT:          -1,
		RTTVar:        -1,
		MinRTT:        -1,
		CWnd:          -1,
		InFlight:      -1,
		DeliveryRate:  -1,
		BytesSent:     p.sent.Load(),
		BytesReceived: p.received.Load(),
	}
	if c, ok := p.m.s.addrs.find(s.Local.Addr()); ok {
		s.Interface = c.Interface
	}
	return []extapi.SubflowInfo{s}
}

// watchBuffer is how many events a Watch channel holds.
const watchBuffer = 64

// plainEvents passes the few events of a plain connection on: to the tracer, and to who watches.
type plainEvents struct {
	mu      sync.Mutex
	tracer  extapi.Tracer // nil: none
	watches map[chan extapi.Event]func() bool
	over    bool
}

func newPlainEvents(t extapi.Tracer) *plainEvents { return &plainEvents{tracer: t} }

func (e *plainEvents) push(now time.Duration, ev extapi.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tracer != nil {
		e.tracer.Trace(now, ev)
	}
	for ch := range e.watches {
		select {
		case ch <- ev:
		default: // a plain connection has fewer events than the channel has room for
		}
	}
}

// end reports the end of the connection and closes what listens.
func (e *plainEvents) end(now time.Duration) {
	e.push(now, extapi.ConnClosed{})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.over = true
	if e.tracer != nil {
		e.tracer.Close()
	}
	for ch, stop := range e.watches {
		stop()
		close(ch)
	}
	e.watches = nil
}

func (e *plainEvents) watch(ctx context.Context) <-chan extapi.Event {
	ch := make(chan extapi.Event, watchBuffer)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over || ctx.Err() != nil {
		close(ch)
		return ch
	}
	if e.watches == nil {
		e.watches = make(map[chan extapi.Event]func() bool)
	}
	e.watches[ch] = context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if _, there := e.watches[ch]; there {
			delete(e.watches, ch)
			close(ch)
		}
	})
	return ch
}
