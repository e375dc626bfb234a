package engine

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScopeOf(t *testing.T) {
	for addr, want := range map[string]scope{
		"127.0.0.1": scopeLoopback, "127.255.0.9": scopeLoopback, "::1": scopeLoopback, "::ffff:127.0.0.1": scopeLoopback,
		"169.254.1.1": scopeLinkLocal, "fe80::1%eth0": scopeLinkLocal, "fe80::1": scopeLinkLocal,
		"10.0.0.1": scopePrivate, "172.16.0.1": scopePrivate, "172.31.255.255": scopePrivate, "192.168.9.9": scopePrivate,
		"100.64.0.1": scopePrivate, "100.127.255.255": scopePrivate, "fd00::1": scopePrivate, "fec0::1": scopePrivate,
		"172.32.0.1": scopeGlobal, "100.128.0.1": scopeGlobal, "8.8.8.8": scopeGlobal, "2001:db8::1": scopeGlobal,
		"0.0.0.0": scopeNone, "0.1.2.3": scopeNone, "224.0.0.1": scopeNone, "239.1.1.1": scopeNone, "255.255.255.255": scopeNone,
		"240.0.0.1": scopeNone, "::": scopeNone, "ff02::1": scopeNone, "::10.0.0.1": scopeNone,
		"64:ff9b::127.0.0.1": scopeLoopback, "64:ff9b::10.1.1.1": scopePrivate, "64:ff9b::8.8.8.8": scopeGlobal,
		"64:ff9b:1::1": scopePrivate, "2002:7f00:1::1": scopeLoopback, "2002:c0a8:101::": scopePrivate, "2002:808:808::": scopeGlobal,
	} {
		require.Equal(t, want, scopeOf(netip.MustParseAddr(addr)), addr)
	}
	require.Equal(t, scopeNone, scopeOf(netip.Addr{}))
	require.Less(t, scopeLoopback, scopeLinkLocal)
	require.Less(t, scopeLinkLocal, scopePrivate)
	require.Less(t, scopePrivate, scopeGlobal)
	require.Equal(t, "private", scopePrivate.String())
}

func TestCanReach(t *testing.T) {
	for _, c := range []struct {
		rule, local, iface, remote string
		want                       bool
	}{
		{"same family", "10.0.0.1", "eth0", "2001:db8::1", false},
		{"mapped is IPv4", "::ffff:10.0.0.1", "eth0", "10.0.0.2", true},
		{"loopback to loopback", "127.0.0.1", "lo", "127.0.0.2", true},
		{"loopback only with loopback", "127.0.0.1", "lo", "10.0.0.1", false},
		{"nothing else to loopback", "10.0.0.1", "eth0", "127.0.0.1", false},
		{"link-local on the same link", "fe80::1%eth0", "eth0", "fe80::2%eth0", true},
		{"link-local on another link", "fe80::1%eth0", "eth0", "fe80::2%wlan0", false},
		{"link-local without a zone", "fe80::1%eth0", "eth0", "fe80::2", false},
		{"zone by interface", "fe80::1", "eth0", "fe80::2%eth0", true},
		{"link-local only with link-local", "fe80::1%eth0", "eth0", "2001:db8::1", false},
		{"global not to link-local", "2001:db8::1", "eth0", "fe80::2%eth0", false},
		{"IPv4 link-local", "169.254.0.1", "eth0", "169.254.0.2", true},
		{"IPv4 link-local not to private", "169.254.0.1", "eth0", "10.0.0.1", false},
		{"NAT", "10.0.0.1", "eth0", "198.51.100.1", true},
		{"one site, global to private", "198.51.100.1", "eth0", "10.0.0.1", true},
		{"global", "198.51.100.1", "eth0", "203.0.113.1", true},
		{"ULA", "fd00::1", "eth0", "fd00::2", true},
		{"not multicast", "10.0.0.1", "eth0", "224.0.0.1", false},
		{"not unspecified", "0.0.0.0", "eth0", "10.0.0.1", false},
	} {
		require.Equal(t, c.want, canReach(netip.MustParseAddr(c.local), c.iface, netip.MustParseAddr(c.remote)), c.rule)
	}
}

func TestArrivalScopeIsTheWiderEnd(t *testing.T) {
	ip := netip.MustParseAddr
	require.Equal(t, scopePrivate, arrivalScope(ip("10.0.0.1"), ip("10.0.0.2")))
	require.Equal(t, scopeGlobal, arrivalScope(ip("10.0.0.1"), ip("203.0.113.9")), "a listener behind a NAT")
	require.Equal(t, scopeLoopback, arrivalScope(ip("127.0.0.1"), ip("127.0.0.1")))
}
