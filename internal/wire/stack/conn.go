package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/wire"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// Seed is what a connection is made from.
type Seed struct {
	// Plain, if it is not FallbackNone, is why the connection does not ask for Multipath TCP.
	Plain      extapi.FallbackReason
	Offer      engine.CapableOffer // the carrier is filled in
	Key        engine.Key          // this side's, unique on this host
	Driver     driver.Params       // Join, Key, Epoch, carrier and addresses are filled in
	Path       engine.FlowParams   // of the first subflow: interface, cost, role
	TCP        func() tcp.Config   // of every subflow: buffers, timeouts. Addresses, MTU and controller are filled in
	Congestion congestion.Factory
	Owner      any // for Greeter.Welcome
	// Discard is called, without a lock, when the connection never comes to be. Nil: nothing is to do.
	Discard func()
}

// conn is a connection as its subflows see it: what is left of the Seed when it has grown.
type conn struct {
	s     *Stack
	tcp   func() tcp.Config
	group congestion.Group
	name  string // of the group's factory
	count mib.Tally
	port  uint16 // of the first subflow
	peer  uint16 // the peer's port there
}

func (s *Stack) newConn(seed *Seed, local, remote netip.AddrPort) *conn {
	c := &conn{s: s, tcp: seed.TCP, count: mib.Tally{Of: &s.count}, port: local.Port(), peer: remote.Port()}
	c.group, c.name = newGroup(seed.Congestion)
	return c
}

// newGroup asks the program's factory for the congestion control of a connection.
func newGroup(f congestion.Factory) (g congestion.Group, name string) {
	defer func() {
		if v := recover(); v != nil {
			g = failedGroup{v}
		}
	}()
	return f.NewGroup(), f.Name()
}

// failedGroup stands for one that could not be made. So its subflows' controllers can't be, which their flows survive.
type failedGroup struct{ value any }

func (g failedGroup) New(congestion.Time, congestion.Subflow) congestion.Controller { panic(g.value) }
func (failedGroup) Remove(congestion.Controller)                                    {}

// config is what a subflow over these addresses is made from.
func (c *conn) config(now time.Duration, p *port, local, remote netip.AddrPort, mtu int) wire.Config {
	t := c.tcp()
	t.Local, t.Remote, t.MTU, t.Rand = local, remote, mtu, c.s.rand
	t.ISN = tcp.ISN(now, &c.s.secret, local, remote)
	t.TSOffset = tcp.TSOffset(&c.s.secret, local, remote)
	return wire.Config{TCP: t, Group: c.group, Congestion: c.name, Interface: p.route.Interface, Counters: &c.count}
}

// begin makes the connection of a first subflow whose handshake is done, and returns it entered.
func (c *conn) begin(now time.Duration, p *port, seed *Seed) *driver.Conn {
	dp := seed.Driver
	dp.Key = seed.Key
	dp.Engine.Counters = &c.count
	dp.Carrier, dp.Epoch = extapi.CarrierWire, c.s.epoch
	dp.LocalAddr = net.TCPAddrFromAddrPort(link.Zoned(p.lf.Local(), p.route.Interface))
	dp.RemoteAddr = net.TCPAddrFromAddrPort(link.Zoned(p.lf.Remote(), p.route.Interface))
	dp.Join = c.join
	done := dp.OnDone
	dp.OnDone = func(x *driver.Conn) {
		c.count.Add(mib.MPCurrEstab, -1)
		c.s.mu.Lock()
		delete(c.s.conns, x)
		c.s.mu.Unlock()
		if done != nil {
			done(x)
		}
	}
	c.count.Count(mib.MPCurrEstab)
	d := driver.NewConn(dp, nil)
	c.s.mu.Lock()
	c.s.conns[d] = c
	c.s.mu.Unlock()
	now = d.Enter(now)
	d.Adopt(p, 0, func(e *engine.Conn) engine.PathID { return p.flow.Attach(now, e, seed.Path) })
	p.d.Store(d)
	return d
}

// outcome is what a handshake has come to, for who waits for it.
type outcome struct {
	d *driver.Conn
	r wire.Result
}

// Dial opens a connection. Zero values in local mean: any. iface is the interface to leave through; "":
// the route's. The handshake takes as long as ctx and TCP allow.
func (s *Stack) Dial(ctx context.Context, seed Seed, local, remote netip.AddrPort, iface string) (*driver.Conn, wire.Result, error) {
	seed.Offer.Carrier = extapi.CarrierWire
	p, err := s.newPort(local, remote, iface)
	if err != nil {
		return nil, wire.Result{}, err
	}
	c := s.newConn(&seed, p.lf.Local(), p.lf.Remote())
	now := s.now()
	cfg := c.config(now, p, p.lf.Local(), p.lf.Remote(), p.mtu())
	switch seed.Plain {
	case extapi.FallbackPeer:
		c.count.Count(mib.MPFallbackTokenInit)
	case extapi.FallbackBlackhole:
		c.count.Count(mib.MPCapableSYNTXDisabled)
	}
	if seed.Plain != extapi.FallbackNone {
		p.flow = wire.DialPlain(now, cfg, seed.Plain)
	} else {
		p.flow = wire.Dial(now, cfg, engine.NewCapable(seed.Offer, seed.Key))
	}
	done := make(chan outcome, 1)
	p.settle = func(now time.Duration, r wire.Result) *driver.Conn {
		var d *driver.Conn
		if r.Err == nil {
			d = c.begin(now, p, &seed)
		}
		p.after = func() { done <- outcome{d, r} }
		return d
	}
	p.leave(now) // newPort has locked it
	select {
	case o := <-done:
		return o.d, o.r, o.r.Err
	case <-ctx.Done():
		p.giveUp(context.Cause(ctx))
		o := <-done
		return o.d, o.r, o.r.Err
	}
}

// join opens a subflow that the engine asks for (driver.Joiner).
func (c *conn) join(ctx context.Context, d *driver.Conn, r engine.JoinRequest) error {
	local := r.Path.Local
	if !local.Addr().IsValid() || local.Addr().IsUnspecified() {
		local = netip.AddrPortFrom(netip.Addr{}, local.Port())
	}
	iface := r.Path.Interface
	if r.Path.Kind == extapi.KindLoopback || r.Path.Remote.Addr().IsLoopback() {
		iface = ""
	}
	nonce, err := d.Nonce()
	if err != nil {
		return err
	}
	p, err := c.joinPort(local, r.Path.Remote, iface)
	if err != nil {
		c.unreached(err)
		return err
	}
	keys := d.Keys()
	now := c.s.now()
	cfg := c.config(now, p, p.lf.Local(), p.lf.Remote(), p.mtu())
	initiator := engine.NewJoinInitiator(keys, uint32(nonce), r.LocalID, r.Backup)
	p.flow = wire.DialJoin(now, cfg, keys, initiator)
	done := make(chan wire.Result, 1)
	p.settle = func(now time.Duration, res wire.Result) *driver.Conn {
		var entered *driver.Conn
		if res.Err == nil {
			if r.Path.Remote.Port() != c.peer {
				c.count.Count(mib.MPJoinPortSynAckRx)
			}
			if entered = c.adopt(now, d, p, engine.FlowParams{
				LocalID: r.LocalID, RemoteID: initiator.PeerID,
				Interface: r.Path.Interface, IfIndex: r.Path.IfIndex, Kind: r.Path.Kind, Cost: r.Path.Cost,
				Role: r.Role, Backup: r.Backup, PeerBackup: initiator.PeerBackup, Attempt: r.Attempt,
			}); entered == nil {
				res.Err = driver.ErrFull
			}
		}
		p.after = func() { done <- res }
		return entered
	}
	p.leave(now)
	var res wire.Result
	select {
	case res = <-done:
	case <-ctx.Done():
		p.giveUp(context.Cause(ctx))
		res = <-done
	}
	if res.Refused {
		return &driver.Refusal{Err: res.Err}
	}
	return res.Err
}

// joinPort makes the port of a join: from the connection's own source port where it is free (RFC 8684 section
// 3.9.1), since a middlebox may let that through alone.
func (c *conn) joinPort(local, remote netip.AddrPort, iface string) (*port, error) {
	if local.Port() != 0 {
		return c.s.newPort(local, remote, iface)
	}
	p, err := c.s.newPort(netip.AddrPortFrom(local.Addr(), c.port), remote, iface)
	if errors.Is(err, link.ErrInUse) || errors.Is(err, link.ErrNotHeld) {
		p, err = c.s.newPort(local, remote, iface)
	}
	return p, err
}

// unreached counts a join that could not begin.
func (c *conn) unreached(err error) {
	switch {
	case errors.Is(err, errNoRoute):
		c.count.Count(mib.MPJoinSynTxConnectErr)
	case !errors.Is(err, link.ErrClosed):
		c.count.Count(mib.MPJoinSynTxBindErr)
	}
}

// adopt makes p part of an existing connection, and returns that entered; nil: it does not want p.
func (c *conn) adopt(now time.Duration, d *driver.Conn, p *port, fp engine.FlowParams) *driver.Conn {
	now = d.Enter(now)
	id := d.Adopt(p, fp.Attempt, func(e *engine.Conn) engine.PathID { return p.flow.Attach(now, e, fp) })
	if id == 0 {
		d.Pause()
		p.flow.Abort(now, engine.ResetProhibited)
		return nil
	}
	p.d.Store(d)
	return d
}

// errNoRoute goes with what the link says of a place that it has no route to.
var errNoRoute = errors.New("no route")

// newPort makes a port that waits for its flow, locked.
func (s *Stack) newPort(local, remote netip.AddrPort, iface string) (*port, error) {
	iface = through(remote, iface)
	local, remote = bare(local), bare(remote)
	route, err := s.link.Route(local.Addr(), remote.Addr(), iface)
	if err != nil {
		return nil, fmt.Errorf("%w to %v: %w", errNoRoute, remote.Addr(), err)
	}
	p := &port{s: s}
	p.lead(route, iface)
	p.mu.Lock()
	p.lf, err = s.connect(netip.AddrPortFrom(route.Source, local.Port()), remote, p)
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	if !s.watch(p) {
		p.over = true
		p.lf.Close()
		p.mu.Unlock()
		return nil, link.ErrClosed
	}
	return p, nil
}

// bare is an address without its zone.
func bare(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}

// through is the interface to remote: the one that is asked for, or the one that the address names.
func through(remote netip.AddrPort, iface string) string {
	if iface == "" {
		return remote.Addr().Zone()
	}
	return iface
}

// lead sets the way that the port's segments take. iface was asked for; "": the routing table's choice.
func (p *port) lead(r link.Route, iface string) {
	p.route = r
	if iface != "" && !r.Local {
		p.through = r.IfIndex
	}
}

func (p *port) mtu() int { return p.route.MTU }
