package mptcp

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// namedPeer says whether Config.Peers names the peer: by the host that was dialled or by the address that it
// resolved to, with its port or without any.
func namedPeer(peers []string, host string, remote netip.AddrPort) bool {
	for _, p := range peers {
		name, port := splitPeer(p)
		if port != "" && port != strconv.Itoa(int(remote.Port())) {
			continue
		}
		if sameHost(name, host) {
			return true
		}
		if ip, err := netip.ParseAddr(name); err == nil && ip.Unmap() == remote.Addr() {
			return true
		}
	}
	return false
}

// splitPeer takes "host:port", "host", "[v6]:port", "[v6]" and a bare IPv6 address apart; a port's
// service name becomes its number.
func splitPeer(p string) (host, port string) {
	if _, err := netip.ParseAddr(p); err == nil {
		return p, ""
	}
	host, port, err := net.SplitHostPort(p)
	if err != nil {
		return strings.TrimSuffix(strings.TrimPrefix(p, "["), "]"), ""
	}
	if _, err := strconv.Atoi(port); err != nil {
		if n, err := net.LookupPort("tcp", port); err == nil {
			port = strconv.Itoa(n)
		}
	}
	return host, port
}

// sameHost compares names as the DNS does: case and a final dot make no difference.
func sameHost(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
