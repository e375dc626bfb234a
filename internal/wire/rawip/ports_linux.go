package rawip

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/mptcp-go/mptcp/internal/wire/link"
)

// tuple is what tells flows apart. A Go map hashes it with a seed of its own: a stranger can't choose ports
// and addresses that collide.
type tuple struct {
	local, remote netip.AddrPort
	scope         int
}

// scope is the index of the interface without which a link-local address means nothing; 0 of any other.
func scope(a netip.AddrPort, ifIndex int) int {
	if link.LinkLocal(a.Addr()) {
		return ifIndex
	}
	return 0
}

// tupleOf is that of the segments from remote to local through an interface.
func tupleOf(local, remote netip.AddrPort, ifIndex int) tuple {
	return tuple{local, remote, scope(local, ifIndex)}
}

// door is a local port at an address, or at all of the family.
type door struct {
	netip.AddrPort
	scope int
}

// toward is what the flows from the ports of one local address to one remote have in common.
type toward struct {
	local  netip.Addr
	remote netip.AddrPort
	scope  int
}

// held is a local port that is shielded. It lives as long as somebody uses it.
type held struct {
	shield
	handler link.Handler // of the listener; nil without
	users   int          // flows, and the listener
	scope   int          // of the address
	client  netip.Addr   // whose flows to other remotes share it: chosen by Connect
	rest    rest
}

// ports is who uses which local port, and whom a segment is for. It is safe for concurrent use.
type ports struct {
	filter func(v6 bool, spans []span) error // changes what a family's raw socket lets through

	// opening is held while a port is shielded or the filter changes. That takes system calls, which those who ask for
	// whom a segment is must not wait for: hence not mu, before which it is taken.
	opening sync.Mutex

	mu      sync.RWMutex
	gates   [2]gate // of IPv4, of IPv6
	closed  bool
	held    map[door]*held
	flows   map[tuple]*flow
	clients map[netip.Addr][]*held // by local address, in the order in which they were opened
	busy    map[toward]int         // how many of them have a flow to a remote
	resting resting
	weak    func() // counts weak shields
}

// keptClients is how many client ports of one local address stay shielded without a flow. With several, the
// port of the next connection is not known beforehand, and load balancers have something to tell flows apart.
const keptClients = 8

// keptAddrs is of how many local addresses such ports are kept: temporary ones come and go as long as the process lives.
const keptAddrs = 16

func newPorts(filter func(v6 bool, spans []span) error, weak func()) *ports {
	return &ports{
		filter: filter, weak: weak,
		held: map[door]*held{}, flows: map[tuple]*flow{}, clients: map[netip.Addr][]*held{}, busy: map[toward]int{},
	}
}

// lookup returns who takes a segment from remote to local that came through an interface. ours is false when the port is
// not held.
func (p *ports) lookup(local, remote netip.AddrPort, ifIndex int) (f *flow, h link.Handler, ours bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if f := p.flows[tupleOf(local, remote, ifIndex)]; f != nil {
		return f, f.handler, true
	}
	at := p.holder(local, ifIndex)
	if at == nil {
		return nil, nil, false
	}
	return nil, at.handler, true
}

// listener is who takes what comes to a local address, through an interface, and belongs to no flow; nil: nobody does.
func (p *ports) listener(local netip.AddrPort, ifIndex int) link.Handler {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if at := p.holder(local, ifIndex); at != nil {
		return at.handler
	}
	return nil
}

// holder is the port at its address, on an interface, or at all addresses; nil when it is not held.
func (p *ports) holder(local netip.AddrPort, ifIndex int) *held {
	if h := p.held[door{local, scope(local, ifIndex)}]; h != nil {
		return h
	}
	return p.held[door{netip.AddrPortFrom(unspecified(local.Addr()), local.Port()), 0}]
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

// gate is that of an address's family. The caller has the lock.
func (p *ports) gate(a netip.Addr) *gate {
	if a.Is4() {
		return &p.gates[0]
	}
	return &p.gates[1]
}

// take shields a port that nobody holds yet, and calls use, with the lock, as soon as it is held. The caller has opening.
func (p *ports) take(addr netip.AddrPort, ifIndex int, use func(*held) error) error {
	p.mu.Lock()
	g := p.gate(addr.Addr())
	room := g.room()
	p.mu.Unlock()
	s, err := raiseShield(addr, ifIndex, room)
	if errors.Is(err, link.ErrNoPort) && room != (span{}) {
		p.mu.Lock()
		g.exhaust(room)
		p.mu.Unlock()
		s, err = raiseShield(addr, ifIndex, span{})
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	if g.enter(s.span) {
		list := g.list()
		p.mu.Unlock()
		err = p.filter(addr.Addr().Is6(), list)
		p.mu.Lock()
	}
	defer p.mu.Unlock()
	if p.closed {
		err = link.ErrClosed
	}
	h := &held{shield: s, scope: scope(addr, ifIndex)}
	if err == nil {
		p.held[h.door()] = h
		if err = use(h); err != nil {
			delete(p.held, h.door())
		}
	}
	if err != nil {
		g.leave(s.span)
		s.close()
		return err
	}
	if s.weak {
		p.weak()
	}
	return nil
}

func (h *held) door() door { return door{h.addr, h.scope} }

// use begins one use of a port. The caller has the lock.
func (p *ports) use(h *held) {
	h.users++
	p.resting.remove(h)
}

// drop gives back one use of a port, that of a flow, and returns the port that is no longer held in its place: for lower. The
// caller has the lock.
func (p *ports) drop(h *held) (gone *held) {
	if h.users--; h.users > 0 {
		return nil
	}
	if oldest := p.resting.add(h, p.sweep); oldest != nil {
		return p.spare(oldest)
	}
	return nil
}

// spare ends the shield of a port that nobody uses, unless it is kept for the next flow of a client, and returns it: for
// lower. The caller has the lock.
func (p *ports) spare(h *held) (gone *held) {
	if h.client.IsValid() {
		list := p.clients[h.client]
		if len(list) <= keptClients {
			return nil
		}
		p.clients[h.client] = slices.DeleteFunc(list, func(x *held) bool { return x == h })
	}
	p.release(h)
	return h
}

// release forgets a port that nobody uses. The caller has the lock.
func (p *ports) release(h *held) {
	delete(p.held, h.door())
	p.resting.remove(h)
	p.gate(h.addr.Addr()).leave(h.span)
}

// lower lowers the shields of ports that are no longer held. The caller has no lock.
func (p *ports) lower(gone ...*held) {
	lowered := false
	for _, h := range gone {
		if h != nil {
			h.close()
			lowered = true
		}
	}
	if lowered {
		p.narrow()
	}
}

// narrow makes the filters let through no more than they must, unless somebody opens a port: he does it afterwards. A
// filter that is too wide does no harm.
func (p *ports) narrow() {
	if !p.opening.TryLock() {
		return
	}
	defer p.opening.Unlock()
	for i := range p.gates {
		p.mu.Lock()
		wide := p.gates[i].wide && !p.closed
		list := p.gates[i].list()
		p.mu.Unlock()
		if wide {
			_ = p.filter(i == 1, list)
		}
	}
}

// opened ends opening.
func (p *ports) opened() {
	p.opening.Unlock()
	p.narrow()
}

// listen takes a port for a listener, of a link-local address on the interface that it is meant on.
func (p *ports) listen(local netip.AddrPort, ifIndex int, handler link.Handler) (h *held, err error) {
	p.opening.Lock()
	defer p.opened()
	p.mu.Lock()
	at := p.held[door{local, scope(local, ifIndex)}]
	use := func(at *held) error {
		h = at
		h.handler = handler
		p.use(h)
		return nil
	}
	switch {
	case p.closed:
		err = link.ErrClosed
	case at == nil:
		p.mu.Unlock()
		return h, p.take(local, ifIndex, use)
	case at.handler != nil:
		err = fmt.Errorf("rawip: %v: %w", local, link.ErrInUse)
	default:
		err = use(at)
	}
	p.mu.Unlock()
	return h, err
}

// unlisten ends listening. Without flows the port is free at once, for whoever listens on it next.
func (p *ports) unlisten(h *held) {
	p.mu.Lock()
	var gone *held
	if h.handler != nil && !p.closed {
		h.handler = nil
		if h.users--; h.users == 0 {
			gone = p.spare(h)
		}
	}
	p.mu.Unlock()
	p.lower(gone)
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
	p.use(h)
	if to, ok := f.toward(); ok {
		p.busy[to]++
	}
	return nil
}

// connect adds a flow from its local address; with port 0 there, from a port that it chooses.
func (p *ports) connect(f *flow) error {
	if done, err := p.enter(f, false); done {
		return err
	}
	p.opening.Lock()
	defer p.opened()
	if done, err := p.enter(f, false); done { // who has opened a port meanwhile has done so for us, too
		return err
	}
	p.retire(f.local)
	err := p.take(shieldOf(f.local), 0, func(h *held) error {
		if at := f.local.Addr(); f.local.Port() == 0 {
			h.client = at
			p.clients[at] = append(p.clients[at], h)
			f.local = h.from(at)
		}
		return p.add(h, f) // with a port of its own it can't fail
	})
	if err != nil {
		if done, err := p.enter(f, true); done {
			return err
		}
	}
	return err
}

// enter adds a flow that a port is there for. Not done: one is to be opened, for a client even though one would do, unless
// none can be.
func (p *ports) enter(f *flow, full bool) (done bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return true, link.ErrClosed
	}
	var h *held
	if at := f.local.Addr(); f.local.Port() != 0 {
		h = p.holder(f.local, f.ifIndex)
	} else if h = p.idlest(f.tuple); h != nil {
		if h.users > 0 && len(p.clients[at]) < keptClients && !full {
			return false, nil
		}
		f.local = h.from(at)
	}
	if h == nil {
		return false, nil
	}
	return true, p.add(h, f)
}

// idlest is the client port at a flow's address that is used least among those without a flow to its remote; nil: there is
// none. The caller has the lock.
func (p *ports) idlest(t tuple) (best *held) {
	at := t.local.Addr()
	if p.busy[toward{at, t.remote, t.scope}] == len(p.clients[at]) {
		return nil // with thousands it is not worth while to look at each
	}
	for _, h := range p.clients[at] {
		t.local = h.from(at)
		if (best == nil || h.idler(best)) && p.flows[t] == nil {
			best = h
		}
	}
	return best
}

// idler says which of two ports is used less. Of those without a flow that is the one that has long been without.
func (h *held) idler(than *held) bool {
	return h.users < than.users || h.users == than.users && !h.rests() && than.rests()
}

// toward is what a flow from a client port counts for in busy; not ok: it comes from another port.
func (f *flow) toward() (to toward, ok bool) {
	return toward{f.local.Addr(), f.remote, f.scope}, f.port.client == f.local.Addr()
}

// retire gives back all client ports that no flow uses, if one at yet another address is wanted than there are kept for.
func (p *ports) retire(wanted netip.AddrPort) {
	var gone []*held
	p.mu.Lock()
	if wanted.Port() == 0 && len(p.clients[wanted.Addr()]) == 0 && len(p.clients) >= keptAddrs {
		for at, list := range p.clients {
			list = slices.DeleteFunc(list, func(h *held) bool {
				if h.users == 0 {
					p.release(h)
					gone = append(gone, h)
				}
				return h.users == 0
			})
			p.clients[at] = list
			if len(list) == 0 {
				delete(p.clients, at)
			}
		}
	}
	p.mu.Unlock()
	p.lower(gone...)
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
	var gone *held
	if p.flows[f.tuple] == f {
		delete(p.flows, f.tuple)
		if to, ok := f.toward(); ok {
			if p.busy[to]--; p.busy[to] == 0 {
				delete(p.busy, to)
			}
		}
		if !p.closed {
			gone = p.drop(f.port)
		}
	}
	p.mu.Unlock()
	p.lower(gone)
}

// find returns the flow of a four-tuple, through an interface, or nil.
func (p *ports) find(local, remote netip.AddrPort, ifIndex int) *flow {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.flows[tupleOf(local, remote, ifIndex)]
}

// close lowers all shields, and waits for who is raising or lowering one.
func (p *ports) close() {
	p.opening.Lock()
	defer p.opening.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.resting.clear()
	for _, h := range p.held {
		h.close()
	}
	p.held, p.flows, p.clients, p.busy = nil, nil, nil, nil
}
