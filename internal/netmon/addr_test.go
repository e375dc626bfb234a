package netmon

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

func TestFinishListsAndOrders(t *testing.T) {
	tab := tableOf(
		addr(7, "2001:db8::7"), addr(2, "2001:db8::2"), addr(2, "fe80::1"), addr(2, "10.0.0.9"), addr(2, "10.0.0.1"),
		addr(2, "169.254.3.3"), addr(3, "169.254.4.4"), addr(3, "fe80::2"), addr(2, "0.0.0.0"), addr(2, "ff02::1"),
	)
	var got []string
	for _, a := range tab.addrs {
		got = append(got, a.Local.Addr().String())
	}
	require.Equal(t, []string{"10.0.0.9", "10.0.0.1", "2001:db8::2", "169.254.4.4", "2001:db8::7"}, got)
}

func TestAnnounceable(t *testing.T) {
	for why, tc := range map[string]struct {
		a    Addr
		want bool
	}{
		"an ordinary address":        {Addr{}, true},
		"temporary":                  {Addr{Temporary: true, DefaultRoute: true}, false},
		"docker0":                    {Addr{Bridge: true}, false},
		"br0 of a server":            {Addr{Bridge: true, DefaultRoute: true}, true},
		"a VPN to some hosts":        {Addr{Tunnel: true}, false},
		"a VPN that takes all":       {Addr{Tunnel: true, DefaultRoute: true}, true},
		"an uplink without default":  {Addr{DefaultRoute: false}, true},
		"a container's veth is such": {addr(3, "172.17.0.2"), true},
	} {
		require.Equal(t, tc.want, Announceable(tc.a), why)
	}
}

func TestHasRoute(t *testing.T) {
	tab := &table{routesKnown: true, routes: []route{
		{netip.MustParsePrefix("0.0.0.0/0"), 2}, {netip.MustParsePrefix("10.1.0.0/16"), 3}, {netip.MustParsePrefix("fe80::/64"), 3},
	}}
	for _, tc := range []struct {
		ifIndex int
		remote  string
		want    bool
	}{
		{2, "192.0.2.1", true}, {2, "2001:db8::1", false}, {2, "::ffff:192.0.2.1", true},
		{3, "192.0.2.1", false}, {3, "10.1.2.3", true}, {3, "fe80::5%if3", true}, {4, "10.1.2.3", false},
		{0, "10.1.2.3", true},
	} {
		require.Equal(t, tc.want, tab.hasRoute(tc.ifIndex, netip.MustParseAddr(tc.remote)), tc.remote)
	}
	require.True(t, new(table).hasRoute(4, netip.MustParseAddr("10.0.0.1")), "where routes are not known, yes")
}

func TestMarkInterfaceOf(t *testing.T) {
	tab := tableOf(addr(2, "10.0.0.1"), addr(2, "2001:db8::2"), addr(3, "10.0.1.1"))
	tab.markInterfaceOf(netip.MustParseAddr("10.0.0.1"))
	tab.markInterfaceOf(netip.MustParseAddr("10.99.0.1"))
	require.True(t, tab.addrs[0].WayOut)
	require.True(t, tab.addrs[0].DefaultRoute)
	require.False(t, tab.addrs[1].WayOut, "the other family was not asked about")
	require.False(t, tab.addrs[2].WayOut)
}

func TestDefaultTunnel(t *testing.T) {
	vpn := newAddr(netip.MustParseAddr("10.8.0.2"), "tun0", 5, nature{kind: extapi.KindTunnel})
	w := watching(newFake(tableOf(addr(2, "10.0.0.1"), vpn)), Options{})
	_, ok := w.DefaultTunnel()
	require.False(t, ok, "a VPN beside the default route")
	vpn.WayOut = true
	w = watching(newFake(tableOf(addr(2, "10.0.0.1"), vpn)), Options{})
	name, ok := w.DefaultTunnel()
	require.True(t, ok)
	require.Equal(t, "tun0", name)
}

func TestNatureByName(t *testing.T) {
	for name, want := range map[string]nature{
		"lo": {kind: extapi.KindLoopback}, "lo0": {kind: extapi.KindLoopback}, "Loopback Pseudo-Interface 1": {kind: extapi.KindLoopback},
		"eth0": {kind: extapi.KindEthernet}, "enp3s0": {kind: extapi.KindEthernet}, "Ethernet 2": {kind: extapi.KindEthernet},
		"en0": {kind: extapi.KindUnknown}, "wlan0": {kind: extapi.KindWiFi}, "wlp2s0": {kind: extapi.KindWiFi}, "Wi-Fi": {kind: extapi.KindWiFi},
		"wwan0": {kind: extapi.KindCellular}, "pdp_ip0": {kind: extapi.KindCellular}, "rmnet_data0": {kind: extapi.KindCellular},
		"utun3": {kind: extapi.KindTunnel}, "wg0": {kind: extapi.KindTunnel}, "tailscale0": {kind: extapi.KindTunnel},
		"docker0": {extapi.KindEthernet, true}, "br-5f2c": {extapi.KindEthernet, true}, "virbr0": {extapi.KindEthernet, true},
		"cni0": {extapi.KindEthernet, true}, "vEthernet (WSL)": {extapi.KindEthernet, true}, "bridge100": {extapi.KindEthernet, true},
		"longhaul": {kind: extapi.KindUnknown},
	} {
		require.Equal(t, want, natureByName(name), name)
	}
}

func TestReadPortable(t *testing.T) {
	tab, err := readPortable(Options{Loopback: true})
	require.NoError(t, err)
	require.False(t, tab.routesKnown)
	for _, a := range tab.addrs {
		require.NotZero(t, a.IfIndex)
		require.True(t, a.Local.Addr().IsValid())
	}
}
