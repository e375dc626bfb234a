package ipnet

import (
	"errors"
	"net/netip"
	"slices"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Host is a machine of the packet level. Opened, it carries the segments of one userspace TCP, as
// sockets would: it is its link.Link. Unless the Net is live all calls come from the goroutine that runs the Sim.
type Host struct {
	net    *Net
	name   string
	ports  []*Port
	stack  link.Stack
	closed bool

	held      map[uint16]int // how many flows and listeners a local port has
	flows     map[fourTuple]*flow
	listeners []*listener
	ephemeral uint16

	flushing bool // a Flush is due
	inbox    inbox
	stats    HostStats
}

// HostStats count what came to a host and what it sent.
type HostStats struct {
	Sent, Unsent, Received, Refused int64 // Unsent: no path, or longer than the MTU; Refused: answered with a RST by the host itself
}

var errNoRoute = errors.New("ipnet: no route")

type fourTuple struct{ local, remote netip.AddrPort }

var _ link.Link = (*Host)(nil)

// Open makes s the stack of this host.
func (h *Host) Open(s link.Stack) link.Link {
	defer h.net.enter()()
	h.stack = s
	if h.net.live != nil {
		h.inbox.some.L = &h.net.live.mu
		go h.dispatch()
	}
	return h
}

// Stats counts since the beginning.
func (h *Host) Stats() HostStats {
	defer h.net.enter()()
	return h.stats
}

// Flows is how many four-tuples the host's stack holds now.
func (h *Host) Flows() int {
	defer h.net.enter()()
	return len(h.flows)
}

func (h *Host) portOf(a netip.Addr) *Port {
	for _, p := range h.ports {
		if slices.Contains(p.addrs, a) {
			return p
		}
	}
	return nil
}

// firstPort is the lowest of the ephemeral ports, as Linux has them.
const firstPort = 32768

// Connect implements link.Link.
func (h *Host) Connect(local, remote netip.AddrPort, ifIndex int, k link.Handler) (link.Flow, error) {
	defer h.net.enter()()
	switch {
	case h.closed:
		return nil, link.ErrClosed
	case h.portOf(local.Addr()) == nil:
		return nil, link.ErrNotHeld
	}
	if local.Port() == 0 {
		p, ok := h.freePort(local.Addr(), remote)
		if !ok {
			return nil, link.ErrNoPort
		}
		local = netip.AddrPortFrom(local.Addr(), p)
	}
	return h.makeFlow(local, remote, ifIndex, k)
}

func (h *Host) freePort(local netip.Addr, remote netip.AddrPort) (uint16, bool) {
	for range 1<<16 - firstPort {
		h.ephemeral = max(h.ephemeral+1, firstPort)
		t := fourTuple{netip.AddrPortFrom(local, h.ephemeral), remote}
		if h.flows[t] == nil && h.listenerAt(t.local) == nil {
			return h.ephemeral, true
		}
	}
	return 0, false
}

func (h *Host) makeFlow(local, remote netip.AddrPort, ifIndex int, k link.Handler) (link.Flow, error) {
	t := fourTuple{local, remote}
	if h.flows[t] != nil {
		return nil, link.ErrInUse
	}
	f := &flow{host: h, fourTuple: t, ifIndex: ifIndex, handler: k}
	h.flows[t] = f
	h.held[local.Port()]++
	return f, nil
}

// Listen implements link.Link.
func (h *Host) Listen(local netip.AddrPort, k link.Handler) (link.Port, error) {
	defer h.net.enter()()
	if h.closed {
		return nil, link.ErrClosed
	}
	if !local.Addr().IsUnspecified() && h.portOf(local.Addr()) == nil {
		return nil, link.ErrNotHeld
	}
	for local.Port() == 0 {
		h.ephemeral = max(h.ephemeral+1, firstPort)
		if h.held[h.ephemeral] == 0 {
			local = netip.AddrPortFrom(local.Addr(), h.ephemeral)
		}
	}
	for _, l := range h.listeners {
		if l.local == local {
			return nil, link.ErrInUse
		}
	}
	l := &listener{h, local, k}
	h.listeners = append(h.listeners, l)
	h.held[local.Port()]++
	return l, nil
}

// listenerAt prefers the one that is bound to the address.
func (h *Host) listenerAt(a netip.AddrPort) (found *listener) {
	for _, l := range h.listeners {
		switch {
		case l.local == a:
			return l
		case l.local.Port() == a.Port() && l.local.Addr().IsUnspecified() && l.local.Addr().Is4() == a.Addr().Is4():
			found = l
		}
	}
	return found
}

// release counts a flow or listener of a port down.
func (h *Host) release(port uint16) {
	if h.held[port]--; h.held[port] <= 0 {
		delete(h.held, port)
	}
}

// Send implements link.Link.
func (h *Host) Send(batch []packet.Segment) (n int, err error) {
	defer h.net.enter()()
	for i := range batch {
		if e := h.send(&batch[i]); e != nil {
			h.stats.Unsent++
			if err == nil {
				err = e
			}
			continue
		}
		h.stats.Sent++
		n++
	}
	return n, err
}

func (h *Host) send(s *packet.Segment) error {
	switch {
	case h.closed:
		return link.ErrClosed
	case h.held[s.Src.Port()] == 0:
		return link.ErrNotHeld
	}
	p := h.portOf(s.Src.Addr())
	if s.IfIndex > 0 && s.IfIndex <= len(h.ports) {
		p = h.ports[s.IfIndex-1]
	}
	if p == nil {
		return link.ErrNotHeld
	}
	b, err := s.Append(make([]byte, 0, s.Len()), packet.FullChecksum)
	if err != nil {
		return err
	}
	return p.send(b, s.Dst.Addr())
}

// Route implements link.Link.
func (h *Host) Route(local, remote netip.Addr, iface string) (link.Route, error) {
	defer h.net.enter()()
	for _, p := range h.ports {
		if iface != "" && p.name != iface || p.pathTo(remote) == nil {
			continue
		}
		for _, a := range p.addrs {
			if a.Is4() == remote.Is4() && (!local.IsValid() || a == local) {
				return link.Route{
					Source: a, IfIndex: p.index, Interface: p.name, MTU: p.mtu, Local: h.portOf(remote) != nil,
				}, nil
			}
		}
	}
	return link.Route{}, errNoRoute
}

// Close implements link.Link, but for a call on a live Net's goroutine that is under way: it may still finish.
func (h *Host) Close() error {
	defer h.net.enter()()
	h.close()
	return nil
}

func (h *Host) close() {
	h.closed = true
	h.inbox.some.Broadcast()
	clear(h.flows)
	clear(h.held)
	h.listeners = nil
}

// segment hands an arriving segment to whom it is for.
func (h *Host) segment(in *Port, b []byte) {
	h.stats.Received++
	ref := pool.Copy(b)
	s, err := packet.Parse(ref.B)
	if err != nil {
		ref.Release()
		return
	}
	s.IfIndex = in.index
	var to link.Handler
	if f := h.flows[fourTuple{s.Dst, s.Src}]; f != nil {
		to = f.handler
	} else if l := h.listenerAt(s.Dst); l != nil {
		to = l.handler
	} else if h.held[s.Dst.Port()] > 0 {
		to = h.stack
	}
	if to == nil || h.closed {
		ref.Release()
		h.refuse(in, b, s.Src.Addr())
		return
	}
	now := h.net.sim.Now()
	h.deliver(func(wanted bool) {
		if wanted {
			to.HandleSegment(now, &s, ref)
		}
		ref.Release()
	})
}

// refuse is what a kernel does with a segment for which it has no socket.
func (h *Host) refuse(in *Port, b []byte, from netip.Addr) {
	if rst := onpath.Refusal(b); rst != nil {
		h.stats.Refused++
		_ = in.send(rst, from) // no way back: then the sender waits
	}
}

// trouble hands an ICMP error to whom it concerns.
func (h *Host) trouble(e *packet.ICMPError) {
	h.stats.Received++
	if h.closed {
		return
	}
	var to link.Handler
	if f := h.flows[fourTuple{e.Src, e.Dst}]; f != nil {
		to = f.handler
	} else if l := h.listenerAt(e.Src); l != nil {
		to = l.handler
	} else {
		return
	}
	now := h.net.sim.Now()
	h.deliver(func(wanted bool) {
		if wanted {
			to.HandleICMP(now, e)
		}
	})
}

// flush ends the batch of what arrives at this instant.
func (h *Host) flush() {
	if h.flushing || h.stack == nil {
		return
	}
	h.flushing = true
	h.net.sim.At(h.net.sim.Now(), func() {
		h.flushing = false
		if !h.closed {
			h.stack.Flush(h.net.sim.Now())
		}
	})
}

func (h *Host) changed() {
	if h.stack == nil || h.closed {
		return
	}
	h.net.sim.At(h.net.sim.Now(), func() {
		now := h.net.sim.Now()
		h.deliver(func(wanted bool) {
			if wanted {
				h.stack.Changed(now)
			}
		})
	})
}

type listener struct {
	host    *Host
	local   netip.AddrPort
	handler link.Handler
}

// Local implements link.Port.
func (l *listener) Local() netip.AddrPort { return l.local }

// Accept implements link.Port.
func (l *listener) Accept(local, remote netip.AddrPort, ifIndex int, k link.Handler) (link.Flow, error) {
	defer l.host.net.enter()()
	if l.host.closed {
		return nil, link.ErrClosed
	}
	return l.host.makeFlow(local, remote, ifIndex, k)
}

// Close implements link.Port.
func (l *listener) Close() error {
	defer l.host.net.enter()()
	if i := slices.Index(l.host.listeners, l); i >= 0 {
		l.host.listeners = slices.Delete(l.host.listeners, i, i+1)
		l.host.release(l.local.Port())
	}
	return nil
}

type flow struct {
	host *Host
	fourTuple
	ifIndex int
	handler link.Handler
	closed  bool
}

// Local implements link.Flow.
func (f *flow) Local() netip.AddrPort { return f.local }

// Remote implements link.Flow.
func (f *flow) Remote() netip.AddrPort { return f.remote }

// Super implements link.Flow: paths carry what the wire would.
func (f *flow) Super() int { return 0 }

// Inlet implements link.Flow: the simulation receives by itself.
func (f *flow) Inlet() link.Inlet { return nil }

// Acked implements link.Flow.
func (f *flow) Acked(uint32) {}

// Lost implements link.Flow.
func (f *flow) Lost(uint32, bool) {}

// Listener implements link.Flow.
func (f *flow) Listener() link.Handler {
	defer f.host.net.enter()()
	if l := f.host.listenerAt(f.local); l != nil {
		return l.handler
	}
	return nil
}

// Inherit implements link.Flow.
func (f *flow) Inherit(ifIndex int, h link.Handler) (link.Flow, error) {
	defer f.host.net.enter()()
	if f.closed || f.host.flows[f.fourTuple] != f {
		return nil, link.ErrClosed
	}
	f.closed = true
	to := &flow{host: f.host, fourTuple: f.fourTuple, ifIndex: ifIndex, handler: h}
	f.host.flows[f.fourTuple] = to
	return to, nil
}

// Close implements link.Flow.
func (f *flow) Close() {
	defer f.host.net.enter()()
	if f.closed {
		return
	}
	f.closed = true
	if f.host.flows[f.fourTuple] == f {
		delete(f.host.flows, f.fourTuple)
		f.host.release(f.local.Port())
	}
}
