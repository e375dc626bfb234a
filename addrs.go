package mptcp

import (
	"cmp"
	"context"
	"hash/fnv"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// pollAddrs is how often addresses are read where changes are not reported.
const pollAddrs = 2 * time.Second

// idleWatch is how long addresses are watched after the last connection and listener have gone.
const idleWatch = 200 * time.Millisecond

// addrBook knows the local addresses. It watches them while there are connections or listeners that
// care, and reads them when asked otherwise.
type addrBook struct {
	s     *shared
	admit func(net.Interface) bool

	mu    sync.Mutex
	stop  context.CancelFunc // ends the watch; nil: there is none
	rest  *time.Timer        // ends an idle watch; nil: it is in use
	all   []extapi.Candidate // every local address, loopback too; valid while there is a watch
	print uint64             // fingerprint of all
}

func newAddrBook(s *shared, admit func(net.Interface) bool) *addrBook {
	return &addrBook{s: s, admit: admit}
}

// start begins to watch, if nobody does yet.
func (a *addrBook) start() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rest != nil {
		a.rest.Stop()
		a.rest = nil
	}
	if a.stop != nil || a.s.ctx.Err() != nil {
		return
	}
	var ctx context.Context
	ctx, a.stop = context.WithCancel(a.s.ctx)
	ticks, err := a.s.net.WatchAddrs(ctx)
	if err != nil {
		ticks = nil
	}
	a.all, _ = a.s.net.Addrs()
	a.print = fingerprint(a.all)
	go a.follow(ctx, ticks)
}

// idle ends the watch unless somebody needs it again soon.
func (a *addrBook) idle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop == nil || a.rest != nil {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(idleWatch, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.rest != t {
			return
		}
		a.rest = nil
		if a.stop != nil && !a.s.busy() {
			a.stop()
			a.stop = nil
		}
	})
	a.rest = t
}

// follow passes every change on to the connections until ctx ends.
func (a *addrBook) follow(ctx context.Context, ticks <-chan struct{}) {
	poll := time.NewTicker(pollAddrs)
	defer poll.Stop()
	if ticks != nil {
		poll.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		case _, ok := <-ticks:
			if !ok {
				ticks = nil
				poll.Reset(pollAddrs)
			}
		}
		if ctx.Err() == nil {
			a.refresh()
		}
	}
}

// refresh reads the addresses and tells the connections when they differ from before.
func (a *addrBook) refresh() {
	all, err := a.s.net.Addrs()
	if err != nil {
		return // what was true before is the best guess; the next tick asks again
	}
	a.mu.Lock()
	same := slices.Equal(all, a.all)
	moved := fingerprint(all) != a.print
	a.all, a.print = all, fingerprint(all)
	a.mu.Unlock()
	if same {
		return
	}
	if moved {
		a.s.verdicts.flush()
		a.s.kernels.flush()
		a.s.blackholes.forget()
	}
	for _, c := range a.s.conns() {
		if m, ok := c.b.(*multi); ok {
			m.setLocals()
		}
	}
}

// every returns all local addresses and the fingerprint of the networks that they are in.
func (a *addrBook) every() ([]extapi.Candidate, uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop != nil {
		return a.all, a.print
	}
	all, err := a.s.net.Addrs()
	if err != nil {
		return nil, 0
	}
	return all, fingerprint(all)
}

// current returns the addresses on the interfaces that Transport.Interfaces lets pass.
func (a *addrBook) current() []extapi.Candidate {
	all, _ := a.every()
	list := make([]extapi.Candidate, 0, len(all))
	for _, c := range all {
		if a.admits(c) {
			list = append(list, c)
		}
	}
	return list
}

func (a *addrBook) admits(c extapi.Candidate) bool {
	if a.admit == nil {
		return c.Kind != extapi.KindLoopback && !c.Local.Addr().IsLoopback()
	}
	ifi, err := net.InterfaceByName(c.Interface)
	if err != nil || ifi.Index != c.IfIndex { // a Network of the program's own
		ifi = &net.Interface{Index: c.IfIndex, Name: c.Interface, Flags: net.FlagUp | net.FlagRunning}
		if c.Kind == extapi.KindLoopback {
			ifi.Flags |= net.FlagLoopback
		}
	}
	return a.admit(*ifi)
}

// loopback returns the addresses of the loopback interface: the ones that a connection over loopback uses.
func (a *addrBook) loopback() []extapi.Candidate {
	all, _ := a.every()
	var list []extapi.Candidate
	for _, c := range all {
		if c.Kind == extapi.KindLoopback || c.Local.Addr().IsLoopback() {
			list = append(list, c)
		}
	}
	return list
}

// find returns what is known of the interface that has the local address ip.
func (a *addrBook) find(ip netip.Addr) (extapi.Candidate, bool) {
	all, _ := a.every()
	for _, c := range all {
		if c.Local.Addr() == ip.WithZone(c.Local.Addr().Zone()) {
			return c, true
		}
	}
	return extapi.Candidate{}, false
}

// around is what the Network knows beyond addresses; false when that is nothing.
func (a *addrBook) around() (surroundings, bool) {
	n, ok := a.s.net.(surroundings)
	return n, ok
}

// watchable says why changes are not reported as events.
func (a *addrBook) watchable() error {
	if n, ok := a.around(); ok {
		return n.Watchable()
	}
	ctx, cancel := context.WithCancel(a.s.ctx)
	defer cancel()
	_, err := a.s.net.WatchAddrs(ctx)
	return err
}

// hasRoute says whether remote can be reached through the interface; true where nobody can tell.
func (a *addrBook) hasRoute(ifIndex int, remote netip.Addr) bool {
	n, ok := a.around()
	return !ok || ifIndex == 0 || n.HasRoute(ifIndex, remote)
}

// announceable says whether peers may be told of a local address that nobody listed.
func (a *addrBook) announceable(c extapi.Candidate) bool {
	if n, ok := a.around(); ok {
		return n.Announceable(c.Local.Addr())
	}
	return c.Kind != extapi.KindTunnel
}

// tunnel says whether the default route leads into a tunnel.
func (a *addrBook) tunnel() bool {
	n, ok := a.around()
	if !ok {
		return false
	}
	_, ok = n.DefaultTunnel()
	return ok
}

// lawful leaves the candidates that bypass no VPN: when the default route is a tunnel, other interfaces
// need a policy that names them.
func (a *addrBook) lawful(list []extapi.Candidate, p extapi.PathPolicy) []extapi.Candidate {
	n, ok := a.around()
	if !ok {
		return list
	}
	tunnel, ok := n.DefaultTunnel()
	if !ok {
		return list
	}
	var kept []extapi.Candidate
	for _, c := range list {
		if c.Interface == tunnel || named(p, c) {
			kept = append(kept, c)
		}
	}
	return kept
}

// named says whether a rule or Decide speaks for the candidate.
func named(p extapi.PathPolicy, c extapi.Candidate) bool {
	for _, r := range p.Rules {
		if r.Matches(c) {
			return r.Role != extapi.RoleNever
		}
	}
	if p.Decide == nil {
		return false
	}
	p.Rules, p.Default = nil, extapi.RoleNever
	role, _ := p.Evaluate(c)
	return role != extapi.RoleNever
}

// fingerprint tells local networks apart by their interfaces and prefixes, not by the addresses in them:
// temporary IPv6 addresses come and go.
func fingerprint(all []extapi.Candidate) uint64 {
	var nets []netip.Prefix
	names := make(map[netip.Prefix]string, len(all))
	for _, c := range all {
		ip, bits := c.Local.Addr().Unmap().WithZone(""), 64
		if ip.Is4() {
			bits = 24
		}
		p, err := ip.Prefix(bits)
		if _, dup := names[p]; err != nil || dup {
			continue
		}
		names[p] = c.Interface
		nets = append(nets, p)
	}
	slices.SortFunc(nets, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	h := fnv.New64a()
	for _, p := range nets {
		b, _ := p.MarshalBinary()
		h.Write(b)
		h.Write([]byte(names[p]))
	}
	return h.Sum64()
}
