package mptcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// town is a Network with several interfaces. Whatever is dialled leads to a listener on loopback; what
// it was asked for is written down.
type town struct {
	system
	addrs []extapi.Candidate
	to    string
	usual netip.Addr
	vpn   string
	fail  map[string]error // by interface
	hosts map[string][]netip.Addr

	mu    sync.Mutex
	asked []DialSpec
}

func (n *town) Addrs() ([]extapi.Candidate, error) { return n.addrs, nil }
func (n *town) WatchAddrs(context.Context) (<-chan struct{}, error) {
	return nil, errors.ErrUnsupported
}
func (n *town) HasRoute(int, netip.Addr) bool { return true }
func (n *town) DefaultTunnel() (string, bool) { return n.vpn, n.vpn != "" }
func (n *town) Announceable(netip.Addr) bool  { return true }
func (n *town) Watchable() error              { return errors.ErrUnsupported }
func (n *town) Source(context.Context, netip.Addr) (netip.Addr, error) {
	return n.usual, nil
}

func (n *town) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if ips := n.hosts[host]; ips != nil {
		return ips, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (n *town) Dial(ctx context.Context, spec DialSpec) (net.Conn, error) {
	n.mu.Lock()
	n.asked = append(n.asked, spec)
	n.mu.Unlock()
	if err := n.fail[spec.Interface]; err != nil {
		return nil, err
	}
	return n.system.Dial(ctx, DialSpec{Remote: netip.MustParseAddrPort(n.to)})
}

func (n *town) last() DialSpec {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[len(n.asked)-1]
}

func newTown(t *testing.T) (*town, *Transport) {
	address, _ := serve(t, func(net.Conn) {})
	ap := netip.MustParseAddrPort
	n := &town{to: address, usual: netip.MustParseAddr("192.0.2.1"), hosts: map[string][]netip.Addr{}, addrs: []extapi.Candidate{
		{Local: ap("127.0.0.1:0"), Interface: "lo", IfIndex: 1, Kind: extapi.KindLoopback},
		{Local: ap("192.0.2.1:0"), Interface: "eth0", IfIndex: 2, Kind: extapi.KindEthernet},
		{Local: ap("[2001:db8::1]:0"), Interface: "eth0", IfIndex: 2, Kind: extapi.KindEthernet},
		{Local: ap("198.51.100.1:0"), Interface: "wlan0", IfIndex: 3, Kind: extapi.KindWiFi},
		{Local: ap("198.51.100.2:0"), Interface: "wlan0", IfIndex: 3, Kind: extapi.KindWiFi},
		{Local: ap("10.64.0.1:0"), Interface: "wwan0", IfIndex: 4, Kind: extapi.KindCellular},
	}}
	tr := &Transport{Network: n}
	t.Cleanup(func() { tr.Close() })
	return n, tr
}

const far = "203.0.113.9:443"

func TestFirstSubflowRespectsThePolicy(t *testing.T) {
	n, tr := newTown(t)
	local := func(s string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(s), 0) }
	for _, c := range []struct {
		name   string
		policy extapi.PathPolicy
		want   DialSpec
	}{
		{"none: the routing table's choice", extapi.PathPolicy{}, DialSpec{}},
		{"only another", extapi.Only("wlan*"), DialSpec{Local: local("198.51.100.1"), Interface: "wlan0"}},
		{"only the usual one", extapi.Only("eth0"), DialSpec{}},
		{"prefer another", extapi.Prefer("wwan0"), DialSpec{Local: local("10.64.0.1"), Interface: "wwan0"}},
		{"backup of another", extapi.Backup("wwan0"), DialSpec{}},
		{"avoid the usual one", extapi.Avoid("eth0"), DialSpec{Local: local("198.51.100.1"), Interface: "wlan0"}},
		{"only a backup is left", extapi.PathPolicy{Default: extapi.RoleBackup}, DialSpec{}},
		{"by kind", extapi.PathPolicy{Default: extapi.RoleNever, Rules: []extapi.PathRule{{PathMatch: extapi.PathMatch{Kind: extapi.KindCellular}}}},
			DialSpec{Local: local("10.64.0.1"), Interface: "wwan0"}},
		{"by Decide", extapi.PathPolicy{Decide: func(c extapi.Candidate) (extapi.Role, bool) {
			return extapi.RolePrefer, c.Interface == "wlan0"
		}}, DialSpec{Local: local("198.51.100.1"), Interface: "wlan0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dialTo(t, Dialer{Transport: tr, Config: Config{Paths: c.policy}}, far)
			got := n.last()
			require.Equal(t, far, got.Remote.String())
			require.Equal(t, c.want.Interface, got.Interface)
			require.Equal(t, c.want.Local, got.Local)
		})
	}
}

func TestPolicyThatLeavesNothing(t *testing.T) {
	n, tr := newTown(t)
	for name, p := range map[string]extapi.PathPolicy{
		"unknown interface": extapi.Only("eth9"), "nothing": extapi.Only(),
		"another family": {Default: extapi.RoleNever, Rules: []extapi.PathRule{{PathMatch: extapi.PathMatch{Local: netip.MustParsePrefix("2001:db8::/32")}}}},
	} {
		_, err := (&Dialer{Transport: tr, Config: Config{Paths: p}}).Dial("tcp", far)
		require.ErrorIs(t, err, ErrPolicy, name)
	}
	require.Empty(t, n.asked)
	_, err := (&Dialer{Transport: tr}).DialContext(WithPathPolicy(t.Context(), extapi.Only()), "tcp", far)
	require.ErrorIs(t, err, ErrPolicy)
}

func TestNextBestPathWhenTheBestFails(t *testing.T) {
	n, tr := newTown(t)
	n.fail = map[string]error{"wlan0": errors.New("no carrier")}
	dialTo(t, Dialer{Transport: tr, Config: Config{Paths: extapi.Prefer("wlan0")}}, far)
	require.Len(t, n.asked, 2)
	require.Equal(t, "wlan0", n.asked[0].Interface)
	require.Empty(t, n.asked[1].Interface)
}

func TestVPNIsNotBypassedByAccident(t *testing.T) {
	n, tr := newTown(t)
	n.vpn, n.usual = "wg0", netip.MustParseAddr("10.8.0.2")
	n.addrs = append(n.addrs, extapi.Candidate{Local: netip.MustParseAddrPort("10.8.0.2:0"), Interface: "wg0", IfIndex: 9, Kind: extapi.KindTunnel})
	book := tr.use().addrs
	names := func(p extapi.PathPolicy) (l []string) {
		for _, c := range book.lawful(book.current(), p) {
			l = append(l, c.Interface)
		}
		return l
	}
	require.Equal(t, []string{"wg0"}, names(extapi.PathPolicy{}))
	require.Equal(t, []string{"wwan0", "wg0"}, names(extapi.Backup("wwan0")))
	require.Equal(t, []string{"wg0"}, names(extapi.Only("wg0")))
	dialTo(t, Dialer{Transport: tr, Config: Config{Paths: extapi.Avoid("wg0")}}, far)
	require.Empty(t, n.last().Interface, "avoiding the VPN names no other way")
}

func TestAddrsAndInterfaces(t *testing.T) {
	_, tr := newTown(t)
	require.Len(t, tr.Addrs(), 5, "all but loopback")
	n, tr := newTown(t)
	tr.Interfaces = func(i net.Interface) bool { return i.Name == "wlan0" }
	require.Len(t, tr.Addrs(), 2)
	require.Len(t, n.addrs, 6)
}

func TestHappyEyeballsOverTheHostsAddresses(t *testing.T) {
	n, tr := newTown(t)
	n.hosts["example.com"] = []netip.Addr{netip.MustParseAddr("2001:db8::9"), netip.MustParseAddr("203.0.113.9")}
	dialTo(t, Dialer{Transport: tr}, "example.com:443")
	require.Equal(t, "[2001:db8::9]:443", n.last().Remote.String())
	require.Len(t, n.asked, 1)

	_, err := (&Dialer{Transport: tr}).Dial("tcp", "unknown.example:80")
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	require.True(t, dns.IsNotFound)
}

func TestStreamDialsNeverNestInKernelMPTCP(t *testing.T) {
	n, tr := newTown(t)
	n.hosts["peer"] = []netip.Addr{netip.MustParseAddr("203.0.113.9")}
	dialTo(t, Dialer{Transport: tr, Config: Config{Peers: []string{"peer"}}}, "peer:443")
	require.False(t, n.last().KernelMPTCP)
	dialTo(t, Dialer{Transport: tr}, "peer:443")
	require.True(t, n.last().KernelMPTCP, "a public peer is not asked")
	dialTo(t, Dialer{Transport: tr, Config: Config{Mode: ModeTCP}}, "peer:443")
	require.False(t, n.last().KernelMPTCP)
	dialTo(t, Dialer{Transport: tr, Config: Config{Mode: ModeStream}}, "peer:443")
	for _, s := range n.asked[len(n.asked)-2:] {
		require.False(t, s.KernelMPTCP)
	}
}
