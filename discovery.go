package mptcp

import (
	"net/netip"
)

// sharedSpace is the carrier-grade NAT range of RFC 6598.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// mayAsk says whether discovery may send the peer bytes that it did not ask for.
func mayAsk(d Discovery, remote netip.AddrPort) bool {
	switch d {
	case DiscoverAll:
		return true
	case DiscoverNone:
		return false
	}
	return isPrivate(remote.Addr()) && isHarmlessPort(remote.Port())
}

// isPrivate holds for loopback, link-local, RFC 1918, unique local (RFC 4193) and RFC 6598 addresses.
func isPrivate(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsPrivate() || sharedSpace.Contains(ip)
}

// isHarmlessPort leaves out the ports where unasked-for bytes do harm: system services; MySQL, which blocks
// hosts after failed handshakes; and printers, which print them.
func isHarmlessPort(port uint16) bool {
	switch {
	case port == 80 || port == 443:
		return true
	case port < 1024, port == 3306, port >= 9100 && port <= 9109:
		return false
	}
	return true
}
