package mptcp

import (
	"context"
	"net"
	"net/netip"
	"strings"
)

// target is a dialled or listened-on address, taken apart.
type target struct {
	network string // tcp, tcp4, tcp6
	host    string
	port    uint16
	require bool // mptcp*: RequireMultipath
}

// parseNetwork accepts tcp, tcp4, tcp6, and mptcp* as synonyms that imply RequireMultipath.
func parseNetwork(name string) (network string, require bool, err error) {
	tcp, require := strings.CutPrefix(name, "mp")
	switch tcp {
	case "tcp", "tcp4", "tcp6":
		return tcp, require, nil
	}
	return "", false, net.UnknownNetworkError(name)
}

func parseTarget(ctx context.Context, network, address string) (target, error) {
	var a target
	var err error
	if a.network, a.require, err = parseNetwork(network); err != nil {
		return a, err
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return a, err
	}
	port, err := net.DefaultResolver.LookupPort(ctx, a.network, service)
	if err != nil {
		return a, err
	}
	a.host, a.port = host, uint16(port)
	return a, nil
}

// family says whether ip may be used with the network.
func (a target) family(ip netip.Addr) bool {
	switch a.network {
	case "tcp4":
		return ip.Is4()
	case "tcp6":
		return ip.Is6()
	}
	return true
}

// literal returns the addresses that a host given as an address, or not at all, stands for.
// As in package net, no host and the unspecified address mean the local system.
func (a target) literal() (ips []netip.Addr, ok bool) {
	ip, err := netip.ParseAddr(a.host)
	switch {
	case a.host == "", err == nil && ip.IsUnspecified():
		v4, v6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
		if a.network == "tcp6" {
			return []netip.Addr{v6}, true
		}
		if a.network == "tcp" && ip.Is6() {
			return []netip.Addr{v6, v4}, true // a listener on [::] serves both families, or IPv6 alone
		}
		return []netip.Addr{v4}, true
	case err == nil:
		return []netip.Addr{ip.Unmap()}, true
	}
	return nil, false
}

// resolve returns the host's addresses in the order of RFC 6724, which the resolver keeps.
func (a target) resolve(ctx context.Context, lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)) ([]netip.Addr, error) {
	ips, ok := a.literal()
	if !ok {
		var err error
		if ips, err = lookup(ctx, "ip"+strings.TrimPrefix(a.network, "tcp"), a.host); err != nil {
			return nil, err
		}
	}
	usable := make([]netip.Addr, 0, len(ips))
	for _, ip := range ips {
		if ip = ip.Unmap(); a.family(ip) {
			usable = append(usable, ip)
		}
	}
	if len(usable) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: a.host}
	}
	return usable, nil
}

// addrPort is the netip form of a *net.TCPAddr, 4-in-6 undone; invalid for any other address.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok || t == nil {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// tcpAddr is a as a *net.TCPAddr; a foreign connection's address in another form becomes one if its text is one.
func tcpAddr(a net.Addr) *net.TCPAddr {
	if t, ok := a.(*net.TCPAddr); ok && t != nil {
		return t
	}
	if a != nil {
		if ap, err := netip.ParseAddrPort(a.String()); err == nil {
			return net.TCPAddrFromAddrPort(ap)
		}
	}
	return &net.TCPAddr{}
}

// dialledAddr stands for the address of a dial in a *net.OpError.
type dialledAddr struct{ network, address string }

func (a dialledAddr) Network() string { return a.network }
func (a dialledAddr) String() string  { return a.address }
