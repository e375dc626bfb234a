package mptcp

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Dialer follows net.Dialer; the zero value is ready to use.
type Dialer struct {
	Config
	Transport     *Transport    // nil: DefaultTransport
	LocalAddr     net.Addr      // as in net.Dialer; with an IP address it turns multipath off unless Multipath is MultipathOn
	FallbackDelay time.Duration // RFC 8305, as in net.Dialer: 0: 300ms; <0: one address after the other
	Resolver      *net.Resolver // nil: the Network's
}

// Clone returns a copy of d whose Config shares nothing with it.
func (d *Dialer) Clone() *Dialer {
	if d == nil {
		return nil
	}
	c := *d
	c.Config = *d.Config.Clone()
	return &c
}

// Dial is DialContext with a background context.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext has the type of http.Transport.DialContext. The result is a *Conn. network is tcp, tcp4 or
// tcp6, or mptcp, mptcp4 or mptcp6, which imply RequireMultipath. Once the connection is there, the end of ctx does
// not affect it.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.DialMultipath(ctx, network, address)
	if err != nil {
		return nil, err // not a nil *Conn in an interface
	}
	return c, nil
}

// DialMultipath is DialContext with the result's own type. Errors are *net.OpError; the reasons of several
// addresses and paths are joined, each a *PathError.
func (d *Dialer) DialMultipath(ctx context.Context, network, address string) (*Conn, error) {
	c, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, opError("dial", d.LocalAddr, dialledAddr{network, address}, err)
	}
	return c, nil
}

// Dial is (&Dialer{}).DialContext: http.Transport{DialContext: mptcp.Dial}.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&Dialer{}).DialContext(ctx, network, address)
}

// dial is one call of a Dialer.
type dial struct {
	t     *Transport
	h     *shared
	s     *settings
	host  string
	local netip.AddrPort // LocalAddr
	trace context.Context
}

func (d *Dialer) dial(ctx context.Context, network, address string) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a, err := parseTarget(ctx, network, address)
	if err != nil {
		return nil, err
	}
	x, err := d.prepare(ctx, a)
	if err != nil {
		return nil, err
	}
	if x.h.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	defer x.h.rest() // what a failed dial has started
	lookup := x.h.net.LookupNetIP
	if d.Resolver != nil {
		lookup = d.Resolver.LookupNetIP
	}
	ips, err := a.resolve(ctx, lookup)
	if err != nil {
		return nil, err
	}
	if ips, err = x.reachable(ips, a); err != nil {
		return nil, err
	}
	var remotes []netip.AddrPort
	for _, ip := range interleave(ips) {
		remotes = append(remotes, netip.AddrPortFrom(ip, a.port))
	}
	routes, err := x.routes(ctx, remotes)
	if err != nil {
		return nil, err
	}
	delay := d.FallbackDelay
	if delay == 0 {
		delay = defaultFallbackDelay
	}
	return raceAttempts(ctx, len(routes), delay, func(ctx context.Context, i int, connected func()) (*Conn, error) {
		return x.open(ctx, routes[i], connected)
	})
}

// prepare resolves the configuration of one dial.
func (d *Dialer) prepare(ctx context.Context, a target) (*dial, error) {
	t := d.Transport
	if t == nil {
		t = DefaultTransport
	}
	x := &dial{t: t, h: t.use(), s: d.Config.resolve(), host: a.host, trace: ctx}
	x.s.override(ctx)
	x.s.RequireMultipath = x.s.RequireMultipath || a.require
	if d.LocalAddr != nil {
		local, ok := d.LocalAddr.(*net.TCPAddr)
		if !ok {
			return nil, &net.AddrError{Err: "mismatched local address type", Addr: d.LocalAddr.String()}
		}
		x.local = addrPort(local)
		if ip := x.local.Addr(); ip.IsValid() && !ip.IsUnspecified() { // an unspecified IP is not a bind
			x.s.bound = ip
		}
	}
	return x, nil
}

// reachable leaves the addresses that a bound Dialer's family can reach.
func (x *dial) reachable(ips []netip.Addr, a target) ([]netip.Addr, error) {
	bound := x.s.bound
	if !bound.IsValid() {
		return ips, nil
	}
	kept := ips[:0:0]
	for _, ip := range ips {
		if ip.Is4() == bound.Is4() {
			kept = append(kept, ip)
		}
	}
	if len(kept) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found for the local one", Addr: a.host}
	}
	return kept, nil
}
