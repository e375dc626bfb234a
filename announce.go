package mptcp

import (
	"net/netip"

	"github.com/mptcp-go/mptcp/extapi"
)

// announcement lists the addresses that a listener's connection announces with ADD_ADDR: what the program
// named, else the announceable local ones on the listener's own port, of which the engine keeps back those outside the
// connection's scope. A listener bound to one address announces no other, and over loopback a further address is
// no other path.
func announcement(named []netip.AddrPort, bound netip.Addr, locals []extapi.Candidate, local netip.Addr, port uint16) []netip.AddrPort {
	if named != nil {
		return announceNamed(named, local, port)
	}
	if bound.IsValid() || local.IsLoopback() {
		return nil
	}
	var list []netip.AddrPort
	for _, c := range locals {
		if ip := c.Local.Addr(); ip != local {
			list = append(list, netip.AddrPortFrom(ip.WithZone(""), port))
		}
	}
	return list
}

// announceNamed fills in the port and leaves out what this connection's peer could never use: loopback
// addresses, unless it is on loopback itself, and the address that it came to.
func announceNamed(named []netip.AddrPort, local netip.Addr, port uint16) []netip.AddrPort {
	var list []netip.AddrPort
	for _, a := range named {
		ip, p := a.Addr().Unmap(), a.Port()
		if p == 0 {
			p = port
		}
		if !ip.IsValid() || ip.IsLoopback() != local.IsLoopback() || ip == local && p == port {
			continue
		}
		list = append(list, netip.AddrPortFrom(ip, p))
	}
	return list
}
