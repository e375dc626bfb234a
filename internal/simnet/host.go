package simnet

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/mptcp-go/mptcp/extapi"
)

// Host is a machine on a Net.
type Host struct {
	net       *Net
	name      string
	ifaces    []*Interface
	conns     []*Conn
	listeners []*Listener
	watchers  []chan struct{}
	port      uint16 // the latest ephemeral one
}

// Interface attaches a host: what it sends passes up, what it receives passes down. The path between
// two hosts is the sender's up and the receiver's down.
type Interface struct {
	host     *Host
	name     string
	index    int
	kind     extapi.LinkKind
	addrs    []netip.Addr
	up, down *Link
}

// AddInterface attaches the host through links of the given kind, with addresses.
func (h *Host) AddInterface(name string, kind extapi.LinkKind, up, down LinkConfig, addrs ...netip.Addr) *Interface {
	h.net.enter()
	defer h.net.leave()
	i := h.addInterface(name, kind, up, down)
	i.addrs = slices.Clone(addrs)
	h.changed()
	return i
}

func (h *Host) addInterface(name string, kind extapi.LinkKind, up, down LinkConfig) *Interface {
	i := &Interface{
		host: h, name: name, index: len(h.ifaces) + 1, kind: kind,
		up: h.net.sim.NewLink(up), down: h.net.sim.NewLink(down),
	}
	h.ifaces = append(h.ifaces, i)
	return i
}

// changed ticks the watchers; one tick stands for any number of changes not yet looked at.
func (h *Host) changed() {
	for _, w := range h.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Name is the interface's name.
func (i *Interface) Name() string { return i.name }

// AddAddr gives the interface an address. Connections that had it when it was removed work again.
func (i *Interface) AddAddr(a netip.Addr) {
	i.host.net.enter()
	defer i.host.net.leave()
	if slices.Contains(i.addrs, a) {
		return
	}
	i.addrs = append(i.addrs, a)
	i.mute(a, false)
	i.host.changed()
}

// RemoveAddr takes an address away. As with a kernel, connections bound to it stay and starve.
func (i *Interface) RemoveAddr(a netip.Addr) {
	i.host.net.enter()
	defer i.host.net.leave()
	if k := slices.Index(i.addrs, a); k >= 0 {
		i.addrs = slices.Delete(i.addrs, k, k+1)
		i.mute(a, true)
		i.host.changed()
	}
}

func (i *Interface) mute(a netip.Addr, on bool) {
	for _, c := range i.host.conns {
		if c.local.Addr() == a {
			c.private.Blackhole(on)
		}
	}
}

// Blackhole makes both directions swallow everything, or lifts that.
func (i *Interface) Blackhole(on bool) {
	i.Do(func(up, down *Link) {
		up.Blackhole(on)
		down.Blackhole(on)
	})
}

// Cut resets every connection through the interface.
func (i *Interface) Cut() {
	i.Do(func(up, down *Link) {
		up.Cut()
		down.Cut()
	})
}

// Do changes or reads the links while the network stands still.
func (i *Interface) Do(fn func(up, down *Link)) {
	i.host.net.enter()
	defer i.host.net.leave()
	fn(i.up, i.down)
}

// Addrs lists the addresses that are not loopback, as candidates without a remote.
func (h *Host) Addrs() []extapi.Candidate {
	h.net.enter()
	defer h.net.leave()
	var list []extapi.Candidate
	for _, i := range h.ifaces[1:] {
		for _, a := range i.addrs {
			list = append(list, extapi.Candidate{Local: netip.AddrPortFrom(a, 0), Interface: i.name, IfIndex: i.index, Kind: i.kind})
		}
	}
	return list
}

// WatchAddrs ticks after every change of the addresses, until ctx ends or the network is closed.
func (h *Host) WatchAddrs(ctx context.Context) <-chan struct{} {
	h.net.enter()
	defer h.net.leave()
	w := make(chan struct{}, 1)
	if h.net.closed {
		close(w)
		return w
	}
	h.watchers = append(h.watchers, w)
	context.AfterFunc(ctx, func() {
		h.net.enter()
		defer h.net.leave()
		if k := slices.Index(h.watchers, w); k >= 0 {
			h.watchers = slices.Delete(h.watchers, k, k+1)
			close(w)
		}
	})
	return w
}

// Dial opens a connection from local (invalid or port 0: any) to remote.
func (h *Host) Dial(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
	return h.DialVia(ctx, "", local, remote)
}

// DialVia is Dial through one interface; "" is the first that has an address of remote's family.
func (h *Host) DialVia(ctx context.Context, iface string, local, remote netip.AddrPort) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Source: tcpAddr(local), Addr: tcpAddr(remote), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	remote = netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port())
	type outcome struct {
		conn *Conn
		err  error
	}
	done := make(chan outcome, 1)
	h.net.enter()
	if h.net.closed {
		h.net.leave()
		return fail(net.ErrClosed)
	}
	from, addr, err := h.route(iface, local.Addr().Unmap(), remote.Addr())
	if err != nil {
		h.net.leave()
		return fail(err)
	}
	c := &Conn{host: h, local: netip.AddrPortFrom(addr, h.pickPort(local.Port())), remote: remote, private: h.net.sim.NewLink(LinkConfig{})}
	c.init()
	to := h.net.owner(h, remote.Addr())
	up, down := h.wires(c.private, from, to)
	d := h.net.sim.Dial(h.net.cfg, up, down, func() func(*Socket) {
		if to == nil {
			return nil
		}
		return to.host.answer(c.remote, c.local, c.private)
	}, func(s *Socket, err error) {
		if err == nil {
			c.attach(s)
		} else {
			err = syscall.ECONNREFUSED
		}
		done <- outcome{c, err}
	})
	h.net.leave()
	select {
	case o := <-done:
		if o.err != nil {
			return fail(o.err)
		}
		return o.conn, nil
	case <-ctx.Done():
		h.net.enter()
		defer h.net.leave()
		select {
		case o := <-done: // a result wins over a cancelled context
			if o.err == nil {
				return o.conn, nil
			}
			return fail(o.err)
		default:
		}
		d.Cancel()
		return fail(ctx.Err())
	}
}

// route picks the way out: the first interface, of that name if there is one, with an address that
// suits both ends.
func (h *Host) route(iface string, local, remote netip.Addr) (*Interface, netip.Addr, error) {
	bound := local.IsValid() && !local.IsUnspecified()
	for _, i := range h.ifaces {
		if iface != "" && i.name != iface {
			continue
		}
		for _, a := range i.addrs {
			switch {
			case a.Is4() != remote.Is4() || a.IsLoopback() != remote.IsLoopback():
			case !bound || a == local:
				return i, a, nil
			case local.IsLoopback() && a.IsLoopback() && local.Is4(): // all of 127.0.0.0/8 is there
				return i, local, nil
			}
		}
	}
	if bound {
		return nil, netip.Addr{}, syscall.EADDRNOTAVAIL
	}
	return nil, netip.Addr{}, syscall.ENETUNREACH
}

// wires are the links there and back. Nobody answers at an address that nobody has.
func (h *Host) wires(private *Link, from, to *Interface) (up, down []*Link) {
	switch {
	case to == nil:
		private.Blackhole(true)
		return []*Link{private, from.up}, []*Link{from.down}
	case to.host == h:
		return []*Link{private}, []*Link{private}
	default:
		return []*Link{private, from.up, to.down}, []*Link{to.up, from.down, private}
	}
}

func (h *Host) pickPort(want uint16) uint16 {
	if want != 0 {
		return want
	}
	h.port++
	h.port = max(h.port, 32769)
	return h.port
}

// answer finds who takes a connection to local; nil: nobody.
func (h *Host) answer(local, remote netip.AddrPort, private *Link) func(*Socket) {
	var l *Listener
	for _, x := range h.listeners {
		if x.local.Port() != local.Port() || !x.takes(local.Addr()) {
			continue
		}
		if l == nil || l.local.Addr().IsUnspecified() {
			l = x
		}
	}
	if l == nil || len(l.queue) >= backlog {
		return nil
	}
	return func(s *Socket) {
		c := &Conn{host: h, local: local, remote: remote, private: private}
		c.init()
		c.attach(s)
		l.push(c)
	}
}

func tcpAddr(a netip.AddrPort) *net.TCPAddr { return net.TCPAddrFromAddrPort(a) }
