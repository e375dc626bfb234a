//go:build linux && !mptcp_portable

package netmon

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/mdlayher/netlink"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/extapi"
)

// Messages are built here from the structures in the kernel's headers, field by field.

func u16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func cat(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// rta is one attribute with its padding.
func rta(kind uint16, value []byte) []byte {
	b := cat(u16(uint16(4+len(value))), u16(kind), value)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

func linkMessage(index uint32, name string, hardware uint16, flags uint32, driver string) []byte {
	b := cat([]byte{0, 0}, u16(hardware), u32(index), u32(flags), u32(0),
		rta(unix.IFLA_IFNAME, append([]byte(name), 0)), rta(unix.IFLA_MTU, u32(1400)), rta(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, 1}))
	if driver != "" {
		b = append(b, rta(unix.IFLA_LINKINFO|unix.NLA_F_NESTED, rta(unix.IFLA_INFO_KIND, append([]byte(driver), 0)))...)
	}
	return b
}

func family(ip netip.Addr) byte {
	if ip.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func addrMessage(index uint32, flags uint32, kind uint16, ip string) []byte {
	a := netip.MustParseAddr(ip)
	return cat([]byte{family(a), 24, byte(flags), 0}, u32(index), rta(kind, a.AsSlice()), rta(unix.IFA_FLAGS, u32(flags)))
}

func routeMessage(prefix string, kind byte, attrs ...[]byte) []byte {
	p := netip.MustParsePrefix(prefix)
	b := cat([]byte{family(p.Addr()), byte(p.Bits()), 0, 0, unix.RT_TABLE_MAIN, 0, 0, kind}, u32(0))
	if p.Bits() > 0 {
		b = append(b, rta(unix.RTA_DST, p.Addr().AsSlice())...)
	}
	return append(b, cat(attrs...)...)
}

func oif(i uint32) []byte { return rta(unix.RTA_OIF, u32(i)) }

const running = unix.IFF_UP | unix.IFF_RUNNING

func TestParseLink(t *testing.T) {
	l, err := parseLink(linkMessage(4, "eth0", unix.ARPHRD_ETHER, running|unix.IFF_MULTICAST|unix.IFF_BROADCAST|unix.IFF_LOWER_UP, ""))
	require.NoError(t, err)
	require.Equal(t, link{Interface: net.Interface{
		Index: 4, MTU: 1400, Name: "eth0", HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1},
		Flags: net.FlagUp | net.FlagRunning | net.FlagMulticast | net.FlagBroadcast,
	}, hardware: 1}, l)
	l, err = parseLink(linkMessage(1, "lo", unix.ARPHRD_LOOPBACK, unix.IFF_LOOPBACK|unix.IFF_POINTOPOINT, "veth"))
	require.NoError(t, err)
	require.Equal(t, net.FlagLoopback|net.FlagPointToPoint, l.Flags)
	require.Equal(t, "veth", l.driver)
}

func TestParseAddress(t *testing.T) {
	a, err := parseAddress(addrMessage(4, unix.IFA_F_PERMANENT, unix.IFA_ADDRESS, "2001:db8::1"))
	require.NoError(t, err)
	require.Equal(t, address{netip.MustParseAddr("2001:db8::1"), 4, unix.IFA_F_PERMANENT}, a)
	require.True(t, a.usable())

	both := append(addrMessage(4, 0, unix.IFA_ADDRESS, "10.0.0.2"), rta(unix.IFA_LOCAL, []byte{10, 0, 0, 1})...)
	a, err = parseAddress(both)
	require.NoError(t, err)
	require.Equal(t, "10.0.0.1", a.ip.String(), "IFA_ADDRESS is the other end")

	for _, tc := range []struct {
		ip                string
		flags             uint32
		usable, temporary bool
	}{
		{"2001:db8::1", unix.IFA_F_TENTATIVE, false, false},
		{"2001:db8::1", unix.IFA_F_TENTATIVE | unix.IFA_F_OPTIMISTIC, true, false},
		{"2001:db8::1", unix.IFA_F_DADFAILED, false, false},
		{"2001:db8::1", unix.IFA_F_DEPRECATED, false, false},
		{"2001:db8::1", unix.IFA_F_TEMPORARY, true, true},
		{"2001:db8::1", unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE, true, false},
		{"10.0.0.1", unix.IFA_F_SECONDARY, true, false},
	} {
		a, err := parseAddress(addrMessage(4, tc.flags, unix.IFA_LOCAL, tc.ip))
		require.NoError(t, err)
		require.Equal(t, tc.usable, a.usable(), "%s %#x", tc.ip, tc.flags)
		require.Equal(t, tc.temporary, a.temporary(), "%s %#x", tc.ip, tc.flags)
	}
}

func TestParseRoutes(t *testing.T) {
	hop := func(i uint32) []byte {
		return cat(u16(16), []byte{0, 0}, u32(i), rta(unix.RTA_GATEWAY, []byte{10, 0, 0, 1}))
	}
	cloned := routeMessage("2001:db8::9/128", unix.RTN_UNICAST, oif(2))
	copy(cloned[8:], u32(unix.RTM_F_CLONED))
	for why, tc := range map[string]struct {
		msg  []byte
		want []route
	}{
		"default":     {routeMessage("0.0.0.0/0", unix.RTN_UNICAST, oif(2)), []route{{netip.MustParsePrefix("0.0.0.0/0"), 2}}},
		"IPv6":        {routeMessage("2001:db8::/32", unix.RTN_UNICAST, oif(3)), []route{{netip.MustParsePrefix("2001:db8::/32"), 3}}},
		"ours":        {routeMessage("10.0.0.1/32", unix.RTN_LOCAL, oif(3)), []route{{netip.MustParsePrefix("10.0.0.1/32"), 3}}},
		"unreachable": {routeMessage("::/0", unix.RTN_UNREACHABLE, oif(1)), nil},
		"broadcast":   {routeMessage("10.0.0.255/32", unix.RTN_BROADCAST, oif(2)), nil},
		"cached":      {cloned, nil},
		"multipath": {routeMessage("10.0.0.0/8", unix.RTN_UNICAST, rta(unix.RTA_MULTIPATH, cat(hop(5), hop(6)))),
			[]route{{netip.MustParsePrefix("10.0.0.0/8"), 5}, {netip.MustParsePrefix("10.0.0.0/8"), 6}}},
		"other family": {cat([]byte{unix.AF_MPLS, 20, 0, 0, 0, 0, 0, unix.RTN_UNICAST}, u32(0)), nil},
	} {
		got, err := parseRoutes(tc.msg)
		require.NoError(t, err, why)
		require.ElementsMatch(t, tc.want, got, why)
	}
}

func TestMalformedMessages(t *testing.T) {
	full := map[string][]byte{
		"link":  linkMessage(4, "eth0", 1, running, "veth"),
		"addr":  addrMessage(4, 0, unix.IFA_LOCAL, "10.0.0.1"),
		"route": routeMessage("10.0.0.0/8", unix.RTN_UNICAST, oif(2), rta(unix.RTA_MULTIPATH, cat(u16(8), u16(0), u32(3)))),
	}
	for n := range len(full["link"]) {
		_, _ = parseLink(full["link"][:n])
	}
	for n := range 12 {
		_, err := parseAddress(full["addr"][:n])
		require.ErrorIs(t, err, errMessage)
	}
	for n := range len(full["route"]) {
		_, _ = parseRoutes(full["route"][:n])
	}
	for _, b := range [][]byte{
		cat(full["addr"], u16(3), u16(1)),
		cat(full["addr"], u16(99), u16(1)),
		cat([]byte{unix.AF_INET, 24, 0, 0}, u32(1), rta(unix.IFA_LOCAL, []byte{1, 2, 3})),
		cat([]byte{unix.AF_INET, 24, 0, 0}, u32(1)),
		cat([]byte{unix.AF_INET, 24, 0, 0}, u32(1), rta(unix.IFA_FLAGS, []byte{1})),
	} {
		_, err := parseAddress(b)
		require.ErrorIs(t, err, errMessage)
	}
	bad := routeMessage("10.0.0.0/8", unix.RTN_UNICAST, oif(2))
	bad[1] = 33
	_, err := parseRoutes(bad)
	require.ErrorIs(t, err, errMessage)
	_, err = parseRoutes(routeMessage("10.0.0.0/8", unix.RTN_UNICAST, rta(unix.RTA_MULTIPATH, cat(u16(4), u16(0), u32(3)))))
	require.ErrorIs(t, err, errMessage)
}

func message(kind netlink.HeaderType, data []byte) netlink.Message {
	return netlink.Message{Header: netlink.Header{Type: kind}, Data: data}
}

func TestAssemble(t *testing.T) {
	links := []netlink.Message{
		message(unix.RTM_NEWLINK, linkMessage(1, "lo", unix.ARPHRD_LOOPBACK, running|unix.IFF_LOOPBACK, "")),
		message(unix.RTM_NEWLINK, linkMessage(2, "up0", unix.ARPHRD_ETHER, running, "veth")),
		message(unix.RTM_NEWLINK, linkMessage(3, "nocarrier", unix.ARPHRD_ETHER, unix.IFF_UP, "")),
		message(unix.RTM_NEWLINK, linkMessage(4, "virt", unix.ARPHRD_ETHER, running, "bridge")),
		message(unix.RTM_NEWLINK, linkMessage(5, "vpn", unix.ARPHRD_NONE, running, "wireguard")),
		message(unix.RTM_NEWLINK, []byte{1}),
	}
	addrs := []netlink.Message{
		message(unix.RTM_NEWADDR, addrMessage(1, 0, unix.IFA_LOCAL, "127.0.0.1")),
		message(unix.RTM_NEWADDR, addrMessage(2, 0, unix.IFA_LOCAL, "10.0.0.1")),
		message(unix.RTM_NEWADDR, addrMessage(2, unix.IFA_F_TEMPORARY, unix.IFA_ADDRESS, "2001:db8::1")),
		message(unix.RTM_NEWADDR, addrMessage(2, unix.IFA_F_TENTATIVE, unix.IFA_ADDRESS, "2001:db8::2")),
		message(unix.RTM_NEWADDR, addrMessage(2, 0, unix.IFA_ADDRESS, "fe80::1")),
		message(unix.RTM_NEWADDR, addrMessage(3, 0, unix.IFA_LOCAL, "10.0.3.1")),
		message(unix.RTM_NEWADDR, addrMessage(4, 0, unix.IFA_LOCAL, "172.17.0.1")),
		message(unix.RTM_NEWADDR, addrMessage(5, 0, unix.IFA_LOCAL, "10.8.0.1")),
		message(unix.RTM_NEWADDR, []byte{1}),
	}
	routes := []netlink.Message{
		message(unix.RTM_NEWROUTE, routeMessage("0.0.0.0/0", unix.RTN_UNICAST, oif(2))),
		message(unix.RTM_NEWROUTE, routeMessage("10.8.0.0/16", unix.RTN_UNICAST, oif(5))),
		message(unix.RTM_NEWROUTE, []byte{1}),
	}
	tab := assemble(Options{}, links, addrs, routes, natureOf)
	var got []Addr
	for _, want := range []struct {
		ip, name                          string
		index                             int
		kind                              extapi.LinkKind
		temporary, bridge, tunnel, defalt bool
	}{
		{"10.0.0.1", "up0", 2, extapi.KindEthernet, false, false, false, true},
		{"2001:db8::1", "up0", 2, extapi.KindEthernet, true, false, false, true},
		{"172.17.0.1", "virt", 4, extapi.KindEthernet, false, true, false, false},
		{"10.8.0.1", "vpn", 5, extapi.KindTunnel, false, false, true, false},
	} {
		got = append(got, Addr{
			Candidate: extapi.Candidate{Local: netip.AddrPortFrom(netip.MustParseAddr(want.ip), 0), Interface: want.name, IfIndex: want.index, Kind: want.kind},
			Temporary: want.temporary, Bridge: want.bridge, Tunnel: want.tunnel, DefaultRoute: want.defalt,
		})
	}
	require.Equal(t, got, tab.addrs)
	require.True(t, tab.hasRoute(2, netip.MustParseAddr("192.0.2.1")))
	require.False(t, tab.hasRoute(5, netip.MustParseAddr("192.0.2.1")))
	require.True(t, tab.hasRoute(5, netip.MustParseAddr("10.8.3.3")))

	all := assemble(Options{Loopback: true}, links, addrs, routes, natureOf)
	require.Equal(t, extapi.KindLoopback, all.addrs[0].Kind)
}

func TestReadRoutesIsBounded(t *testing.T) {
	one := message(unix.RTM_NEWROUTE, routeMessage("10.0.0.0/8", unix.RTN_UNICAST, oif(2)))
	msgs := make([]netlink.Message, maxRoutes+10)
	for i := range msgs {
		msgs[i] = one
	}
	msgs[maxRoutes+5] = message(unix.RTM_NEWROUTE, routeMessage("::/0", unix.RTN_UNICAST, oif(9)))
	var tab table
	tab.readRoutes(msgs)
	require.Len(t, tab.routes, maxRoutes+1, "default routes are kept in any case")
	require.False(t, tab.routesKnown)
}

func TestInterruptedDump(t *testing.T) {
	require.False(t, interrupted([]netlink.Message{{}}))
	require.True(t, interrupted([]netlink.Message{{}, {Header: netlink.Header{Flags: netlink.DumpInterrupted}}}))
}

func TestNatureOf(t *testing.T) {
	l := func(name string, hardware uint16, driver string) link {
		return link{Interface: net.Interface{Name: name, Index: 1 << 30}, hardware: hardware, driver: driver}
	}
	for _, tc := range []struct {
		link link
		want nature
	}{
		{l("x", unix.ARPHRD_ETHER, ""), nature{kind: extapi.KindEthernet}},
		{l("x", unix.ARPHRD_NONE, ""), tunnel},
		{l("x", unix.ARPHRD_PPP, ""), tunnel},
		{l("x", unix.ARPHRD_RAWIP, ""), nature{kind: extapi.KindCellular}},
		{l("x", unix.ARPHRD_CAN, ""), nature{kind: extapi.KindUnknown}},
		{l("wlan0", unix.ARPHRD_ETHER, ""), nature{kind: extapi.KindWiFi}},
		{l("wlan0", unix.ARPHRD_ETHER, "veth"), nature{kind: extapi.KindEthernet}},
		{l("eth0", unix.ARPHRD_ETHER, "bridge"), nature{extapi.KindEthernet, true}},
		{l("eth0", unix.ARPHRD_ETHER, "vxlan"), tunnel},
	} {
		require.Equal(t, tc.want, natureOf(tc.link), "%+v", tc.link)
	}
}

func TestNatureBySysfs(t *testing.T) {
	root := t.TempDir()
	make := func(name string, files map[string]string) {
		for file, content := range files {
			path := filepath.Join(root, name, file)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	make("a", map[string]string{"ifindex": "3\n", "uevent": "DEVTYPE=wlan\nINTERFACE=a\n"})
	make("b", map[string]string{"ifindex": "3\n", "wireless/x": ""})
	make("c", map[string]string{"ifindex": "3\n", "uevent": "INTERFACE=c\nDEVTYPE=wwan\n"})
	make("d", map[string]string{"ifindex": "3\n", "bridge/x": ""})
	make("e", map[string]string{"ifindex": "3\n", "tun_flags": "0x1"})
	make("f", map[string]string{"ifindex": "3\n", "uevent": "INTERFACE=f\n"})
	for name, want := range map[string]nature{
		"a": {kind: extapi.KindWiFi}, "b": {kind: extapi.KindWiFi}, "c": {kind: extapi.KindCellular},
		"d": {extapi.KindEthernet, true}, "e": tunnel,
	} {
		got, ok := natureBySysfs(root, name, 3)
		require.True(t, ok, name)
		require.Equal(t, want, got, name)
		_, ok = natureBySysfs(root, name, 4)
		require.False(t, ok, "the interface of another namespace")
	}
	_, ok := natureBySysfs(root, "f", 3)
	require.False(t, ok)
}

func FuzzMessages(f *testing.F) {
	f.Add(linkMessage(4, "eth0", 1, running, "veth"))
	f.Add(addrMessage(4, 0, unix.IFA_LOCAL, "10.0.0.1"))
	f.Add(routeMessage("10.0.0.0/8", unix.RTN_UNICAST, oif(2), rta(unix.RTA_MULTIPATH, cat(u16(8), u16(0), u32(3)))))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseLink(b)
		if a, err := parseAddress(b); err == nil && !a.ip.IsValid() {
			t.Fatal("an address without an address")
		}
		rs, _ := parseRoutes(b)
		for _, r := range rs {
			if !r.dst.IsValid() {
				t.Fatal("a route without a destination")
			}
		}
	})
}
