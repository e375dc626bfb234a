package rawip

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/mptcp-go/mptcp/internal/wire/link"
)

// tuple is what tells flows apart. A Go map hashes it with a seed of its own: a stranger can't choose ports
// and addresses that collide.
type tuple struct{ local, remote netip.AddrPort }

// held is a local port that is shielded. It lives as long as somebody uses it.
type held struct {
	shield
	handler link.Handler // of the listener; nil without
	users   int          // flows, and the listener
	ifIndex int          // of the interface that a link-local address is listened on; 0: any
	client  netip.Addr   // whose flows to other remotes share it: chosen by Connect
}

// ports is who uses which local port, and whom a segment is for. It is safe for concurrent use.
type ports struct {
	filter func(v6 bool, ports []uint16) error // told of every change

	mu      sync.RWMutex
	closed  bool
	held    map[netip.AddrPort]*held
	flows   map[tuple]*flow
	clients map[netip.Addr][]*held // by local address, in the order in which they were opened
	weak    func()                 // counts weak shields
}

// keptClients is how many client ports of one local address stay shielded without a flow. With several, the
// port of the next connection is not known beforehand, and load balancers have something to tell flows apart.
const keptClients = 8

// keptAddrs is of how many local addresses such ports are kept: temporary ones come and go as long as the process lives.
const keptAddrs = 16

func newPorts(filter func(v6 bool, ports []uint16) error, weak func()) *ports {
	return &ports{
		filter: filter, weak: weak,
		held: map[netip.AddrPort]*held{}, flows: map[tuple]*flow{}, clients: map[netip.Addr][]*held{},
	}
}

// lookup returns who takes a segment from remote to local that came through an interface. ours is false when the port is
// not held.
func (p *ports) lookup(local, remote netip.AddrPort, ifIndex int) (f *flow, h link.Handler, ours bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if f := p.flows[tuple{local, remote}]; f != nil {
		return f, f.handler, true
	}
	at := p.holder(local, ifIndex)
	if at == nil {
		return nil, nil, false
	}
	return nil, at.handler, true
}

// holder is the port at its address, on an interface, or at all addresses; nil when it is not held.
func (p *ports) holder(local netip.AddrPort, ifIndex int) *held {
	if h := p.held[local]; h != nil && (h.ifIndex == 0 || h.ifIndex == ifIndex) {
		return h
	}
	return p.held[netip.AddrPortFrom(unspecified(local.Addr()), local.Port())]
}

func unspecified(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// holds reports whether segments may be sent from local, through an interface.
func (p *ports) holds(local netip.AddrPort, ifIndex int) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.holder(local, ifIndex) != nil
}

// take shields a port that nobody holds yet. The caller has the lock.
func (p *ports) take(addr netip.AddrPort, ifIndex int) (*held, error) {
	s, err := raiseShield(addr, ifIndex)
	if err != nil {
		return nil, err
	}
	h := &held{shield: s, ifIndex: ifIndex}
	p.held[s.addr] = h
	if err := p.refilter(s.addr.Addr()); err != nil {
		delete(p.held, s.addr)
		s.close()
		return nil, err
	}
	if s.weak {
		p.weak()
	}
	return h, nil
}

// drop gives back one use of a port. The caller has the lock.
func (p *ports) drop(h *held) {
	h.users--
	if h.users > 0 {
		return
	}
	if h.client.IsValid() {
		list := p.clients[h.client]
		if len(list) <= keptClients {
			return
		}
		p.clients[h.client] = slices.DeleteFunc(list, func(x *held) bool { return x == h })
	}
	delete(p.held, h.addr)
	p.refilter(h.addr.Addr()) // a filter that is too wide does no harm
	h.close()
}

func (p *ports) refilter(family netip.Addr) error {
	var list []uint16
	for a := range p.held {
		if a.Addr().Is4() == family.Is4() {
			list = append(list, a.Port())
		}
	}
	slices.Sort(list)
	return p.filter(!family.Is4(), slices.Compact(list))
}

// listen takes a port for a listener, of a link-local address on the interface that it is meant on: one at a time.
func (p *ports) listen(local netip.AddrPort, ifIndex int, h link.Handler) (*held, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, link.ErrClosed
	}
	at := p.held[local]
	switch {
	case at == nil:
		var err error
		if at, err = p.take(local, ifIndex); err != nil {
			return nil, err
		}
	case at.handler != nil || at.ifIndex != ifIndex:
		return nil, fmt.Errorf("rawip: %v: %w", local, link.ErrInUse)
	}
	at.handler = h
	at.users++
	return at, nil
}

// unlisten ends listening.
func (p *ports) unlisten(h *held) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.handler != nil && !p.closed {
		h.handler = nil
		p.drop(h)
	}
}

// accept adds a flow of a listener.
func (p *ports) accept(h *held, f *flow) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || h.users == 0 {
		return link.ErrClosed
	}
	return p.add(h, f)
}

// add enters a flow that uses h. The caller has the lock.
func (p *ports) add(h *held, f *flow) error {
	if p.flows[f.tuple] != nil {
		return fmt.Errorf("rawip: %v to %v: %w", f.local, f.remote, link.ErrInUse)
	}
	p.flows[f.tuple] = f
	f.port = h
	h.users++
	return nil
}

// connect adds a flow from its local address; with port 0 there, from a port that it chooses.
func (p *ports) connect(f *flow) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return link.ErrClosed
	}
	if f.local.Port() == 0 {
		return p.choose(f)
	}
	h := p.holder(f.local, f.ifIndex)
	if h == nil {
		var err error
		if h, err = p.take(shieldOf(f.local), 0); err != nil {
			return err
		}
	}
	return p.add(h, f)
}

// choose finds a client port for a flow: the one that is used least among those that have none to this
// remote. Another is opened while there are few, and when all are taken.
func (p *ports) choose(f *flow) error {
	at := f.local.Addr()
	var best *held
	for _, h := range p.clients[at] {
		if p.flows[tuple{h.from(at), f.remote}] == nil && (best == nil || h.users < best.users) {
			best = h
		}
	}
	if len(p.clients[at]) == 0 && len(p.clients) >= keptAddrs {
		p.retire()
	}
	if best == nil || best.users > 0 && len(p.clients[at]) < keptClients {
		h, err := p.take(shieldOf(netip.AddrPortFrom(at, 0)), 0)
		switch {
		case err == nil:
			h.client = at
			p.clients[at] = append(p.clients[at], h)
			best = h
		case best == nil:
			return err
		}
	}
	f.local = best.from(at)
	return p.add(best, f)
}

// retire gives back all client ports that no flow uses. The caller has the lock.
func (p *ports) retire() {
	for at, list := range p.clients {
		list = slices.DeleteFunc(list, func(h *held) bool {
			if h.users == 0 {
				delete(p.held, h.addr)
				h.close()
			}
			return h.users == 0
		})
		p.clients[at] = list
		if len(list) == 0 {
			delete(p.clients, at)
		}
	}
	for _, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		p.refilter(family) // a filter that is too wide does no harm
	}
}

// from is the port at one of the addresses that it is held for.
func (h *held) from(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, h.addr.Port()) }

// shieldOf is where the shield of a client's port stands. A link-local address can be bound on one interface alone, and
// the same one may be on several: the port is shielded at all addresses then.
func shieldOf(a netip.AddrPort) netip.AddrPort {
	if link.LinkLocal(a.Addr()) {
		return netip.AddrPortFrom(unspecified(a.Addr()), a.Port())
	}
	return a
}

// inherit puts a flow in the place of another with the same addresses.
func (p *ports) inherit(from, to *flow) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.flows[from.tuple] != from {
		return link.ErrClosed
	}
	p.flows[to.tuple], to.port = to, from.port
	return nil
}

// remove forgets a flow.
func (p *ports) remove(f *flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flows[f.tuple] == f {
		delete(p.flows, f.tuple)
		if !p.closed {
			p.drop(f.port)
		}
	}
}

// find returns the flow of a four-tuple, or nil.
func (p *ports) find(local, remote netip.AddrPort) *flow {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.flows[tuple{local, remote}]
}

// close lowers all shields.
func (p *ports) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, h := range p.held {
		h.close()
	}
	clear(p.held)
	clear(p.flows)
	clear(p.clients)
}
