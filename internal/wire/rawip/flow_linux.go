package rawip

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/mptcp-go/mptcp/internal/wire/link"
)

// flow implements link.Flow.
type flow struct {
	tuple
	link    *Link
	handler link.Handler
	ifIndex int
	port    *held // guarded by the lock of ports

	// How its super-segments leave: nil while nobody has looked, or where there is no way.
	path    atomic.Pointer[way]
	looked  atomic.Uint64 // the generation of the network that path belongs to; 0: never
	pending atomic.Bool   // somebody is looking

	mu    sync.Mutex
	super super
}

func (f *flow) Local() netip.AddrPort  { return f.local }
func (f *flow) Remote() netip.AddrPort { return f.remote }

// Inlet implements link.Flow.
func (f *flow) Inlet() link.Inlet {
	k := f.link.in4
	if f.local.Addr().Is6() {
		k = f.link.in6
	}
	return k
}

// Super implements link.Flow.
func (f *flow) Super() int {
	f.mu.Lock()
	n := f.super.allowed(maxSuper)
	f.mu.Unlock()
	if n == 0 || f.way() == nil {
		return 0
	}
	return n
}

// way is how super-segments leave now, or nil. When the network has changed since it was found out, it is
// found out anew, and until then what was found counts.
func (f *flow) way() *way {
	l := f.link
	if l.packets == nil {
		return nil
	}
	if f.looked.Load() != l.generation.Load() && f.pending.CompareAndSwap(false, true) {
		select {
		case l.look <- f:
		default: // many are waiting: the next call asks again
			f.pending.Store(false)
		}
	}
	return f.path.Load()
}

func (f *flow) sentSuper(seq uint32, n int) {
	f.mu.Lock()
	f.super.sent(seq, n)
	f.mu.Unlock()
}

// Acked implements link.Flow.
func (f *flow) Acked(seq uint32) {
	f.mu.Lock()
	proven := f.super.acked(seq)
	f.mu.Unlock()
	if proven {
		f.link.counters.superProven.Add(1)
	}
}

// Lost implements link.Flow.
func (f *flow) Lost(seq uint32, timeout bool) {
	f.mu.Lock()
	gone := f.super.lost(seq, timeout)
	f.mu.Unlock()
	if !gone {
		return
	}
	f.link.counters.superAbandoned.Add(1)
	if w := f.path.Load(); w != nil {
		f.link.shunned.add(*w, f.link.cfg.Clock()+shunTime)
	}
}

// Listener implements link.Flow.
func (f *flow) Listener() link.Handler { return f.link.ports.listener(f.local, f.ifIndex) }

// Inherit implements link.Flow.
func (f *flow) Inherit(ifIndex int, h link.Handler) (link.Flow, error) {
	to := f.link.newFlow(f.local, f.remote, ifIndex, h)
	if err := f.link.ports.inherit(f, to); err != nil {
		return nil, err
	}
	return to, nil
}

// Close implements link.Flow.
func (f *flow) Close() { f.link.ports.remove(f) }

// port implements link.Port.
type port struct {
	link *Link
	held *held
	addr netip.AddrPort
}

func (p *port) Local() netip.AddrPort { return p.addr }

// Accept implements link.Port.
func (p *port) Accept(local, remote netip.AddrPort, ifIndex int, h link.Handler) (link.Flow, error) {
	f := p.link.newFlow(local, remote, ifIndex, h)
	if err := p.link.ports.accept(p.held, f); err != nil {
		return nil, err
	}
	return f, nil
}

// Close implements link.Port.
func (p *port) Close() error {
	p.link.ports.unlisten(p.held)
	return nil
}
