package nettest

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// onInterface finds subflows by the client's interface.
func onInterface(flows []extapi.SubflowInfo, iface string) (list []extapi.SubflowInfo) {
	for _, f := range flows {
		if f.Interface == iface {
			list = append(list, f)
		}
	}
	return list
}

// carries waits until an interface of the client has received this much more.
func (l *lab) carries(iface string, bytes uint64) time.Duration {
	l.t.Helper()
	before := l.counters("c", iface).Rx.Bytes
	return l.eventually(8*time.Second, iface+" carries data", func() bool {
		return l.counters("c", iface).Rx.Bytes > before+bytes
	})
}

// A link comes up while a connection lives, and becomes a subflow; it goes, and so does its subflow.
func TestNamespaceAddressComesAndGoes(t *testing.T) {
	second := leg{mbit: 50, down: true}
	l := crossing(t, []leg{{mbit: 50}, second}, []leg{{}})
	server := l.serve("s", order{})
	client := l.dial(order{Addr: at(serverIP(1)), Job: download(30 * time.Second)})
	time.Sleep(300 * time.Millisecond)
	require.Len(t, client.state().Subflows, 1)

	l.raise("c", 2, second)
	up := time.Now()
	secondPath(client)
	t.Logf("a subflow %v after the address", time.Since(up))
	l.carries("c2", mib)

	l.do("c", fmt.Sprintf("ip addr del %v/24 dev c2", clientIP(2)))
	client.event(3*time.Second, "subflow_closed", func(r report) bool { return r.Subflows[0].Interface == "c2" })
	server.event(3*time.Second, "subflow_closed", func(r report) bool { return r.Subflows[0].Remote.Addr() == clientIP(2) })
	server.event(3*time.Second, "addr_removed", func(r report) bool { return true })
	l.carries("c1", mib)

	server.say("stop")
	c, _ := finish(t, 20*time.Second, client, server)
	t.Logf("longest gap %v", c.Received.Gap)
	require.Less(t, c.Received.Gap, time.Second)
	require.Len(t, c.Subflows, 1)
}

// The first subflow's own address goes: the connection lives on over the other, and takes the first path
// back when its link returns.
func TestNamespaceFirstLinkDownAndUp(t *testing.T) {
	l, client, server := downloading(t, download(30*time.Second), order{})
	l.carries("c2", mib)
	l.do("c", "ip link set c1 down")
	client.event(3*time.Second, "subflow_closed", func(r report) bool { return r.Subflows[0].ID == 1 })
	l.carries("c2", 2*mib)
	s := client.state()
	require.Equal(t, 1, active(s.Subflows))
	require.Equal(t, at(serverIP(1)), s.Remote)
	require.Contains(t, s.Local, clientIP(1).String(), "the connection's addresses are for life")

	l.do("c", "ip link set c1 up") // the address has stayed, the routes have not
	l.do("c", fmt.Sprintf("ip route add default via %v dev c1 metric 100", gateway(clientIP(1))))
	took := l.carries("c1", mib)
	t.Logf("used again %v after the link came up", took)

	server.say("stop")
	c, _ := finish(t, 20*time.Second, client, server)
	t.Logf("longest gap %v", c.Received.Gap)
	require.Less(t, c.Received.Gap, time.Second)
}

// A wireless client moves on: its old address goes before the new one has come.
func TestNamespaceBreakBeforeMake(t *testing.T) {
	second := leg{mbit: 50, down: true}
	l := crossing(t, []leg{{mbit: 50}, second}, []leg{{}})
	server := l.serve("s", order{})
	client := l.dial(order{Addr: at(serverIP(1)), Job: job{Down: true, Up: true, For: 30 * time.Second}})
	l.carries("c1", mib)
	l.do("c", "ip link set c1 down")
	client.event(3*time.Second, "subflow_closed", func(r report) bool { return r.Subflows[0].ID == 1 })
	time.Sleep(500 * time.Millisecond)
	l.raise("c", 2, second)
	took := l.carries("c2", mib)
	t.Logf("data flows %v after the new address has come", took)
	for _, p := range []*program{client, server} {
		p.say("stop")
	}
	c, s := finish(t, 20*time.Second, client, server)
	t.Logf("longest gap %v and %v", c.Received.Gap, s.Received.Gap)
}

// The server gets a further address while a connection lives: it is announced, and the client joins there.
func TestNamespaceServerAddressComesAndGoes(t *testing.T) {
	second := leg{mbit: 50, down: true}
	l := crossing(t, []leg{{}}, []leg{{mbit: 50}, second})
	server := l.serve("s", order{})
	client := l.dial(order{Addr: at(serverIP(1)), Job: download(30 * time.Second)})
	time.Sleep(300 * time.Millisecond)
	l.raise("s", 2, second)
	client.event(3*time.Second, "addr_announced", func(r report) bool { return true })
	secondPath(client)
	l.eventually(5*time.Second, "s2 carries data", func() bool { return l.counters("s", "s2").Tx.Bytes > mib })

	l.do("s", fmt.Sprintf("ip addr del %v/24 dev s2", serverIP(2)))
	client.event(5*time.Second, "addr_removed", func(r report) bool { return true })
	client.event(5*time.Second, "subflow_closed", func(r report) bool { return r.Subflows[0].Remote.Addr() == serverIP(2) })
	server.say("stop")
	c, _ := finish(t, 20*time.Second, client, server)
	t.Logf("longest gap %v", c.Received.Gap)
	require.Less(t, c.Received.Gap, 2*time.Second)
}

// A router that masquerades is between the client and the server.
func TestNamespaceClientBehindNAT(t *testing.T) {
	l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
	l.feed("r", "nft -f -", `table ip nat {
		chain out { type nat hook postrouting priority 100; oifname "rs*" masquerade; }
	}
	table inet fw {
		chain f { type filter hook forward priority 2; ct state invalid counter drop comment "invalid"; }
	}`)
	server := l.serve("s", order{})
	client := l.dial(order{Addr: at(serverIP(1)), Job: job{Down: true, Up: true, For: 3 * time.Second}})
	secondPath(client)
	for _, f := range server.state().Subflows {
		require.Equal(t, gateway(serverIP(1)), f.Remote.Addr(), "all that the server sees")
	}
	c, s := finish(t, 20*time.Second, client, server)
	t.Logf("down %.1f, up %.1f Mbit/s, gaps %v and %v", c.Received.rate(), s.Received.rate(), c.Received.Gap, s.Received.Gap)
	require.Len(t, c.Subflows, 2)
	require.Greater(t, c.Received.rate(), 65.0)
	require.Greater(t, s.Received.rate(), 65.0)
	for _, f := range c.Subflows {
		require.Greater(t, f.BytesReceived, uint64(5*mib), "%v", f.Local)
	}
}

// The public side of the NAT in front of a listener: two addresses, the second with another port.
var (
	publicOne = netip.MustParseAddrPort("198.51.100.1:8080")
	publicTwo = netip.MustParseAddrPort("203.0.113.1:8080")
	otherPort = netip.MustParseAddrPort("203.0.113.1:9090")
)

// A listener behind a NAT announces what the NAT forwards to it. An address on the connection's port is dialled;
// one on another port only when the client's policy says so.
func TestNamespaceListenerBehindNAT(t *testing.T) {
	for _, tc := range []struct {
		name     string
		announce netip.AddrPort
		paths    policy
		joined   bool
	}{
		{"same port", publicTwo, policy{}, true},
		{"other port", otherPort, policy{}, false},
		{"other port allowed", otherPort, policy{AnyAnnouncedPort: true}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
			l.feed("r", "nft -f -", fmt.Sprintf(`table ip nat {
				map public { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = {
					198.51.100.1 . 8080 : %[1]v . 7000, 203.0.113.1 . 8080 : %[1]v . 7000, 203.0.113.1 . 9090 : %[1]v . 7000 } }
				chain in {
					type nat hook prerouting priority -100;
					ip daddr 203.0.113.1 iifname rc1 drop
					dnat to ip daddr . tcp dport map @public
				}
			}`, serverIP(1)))
			// The second address is reached by the second interface alone, and the first by both.
			server := l.serve("s", order{Announce: []netip.AddrPort{tc.announce}})
			only := tc.paths
			only.Rules = []extapi.PathRule{
				{PathMatch: extapi.PathMatch{Interface: "c2", Remote: netip.PrefixFrom(publicOne.Addr(), 32)}, Role: extapi.RoleNever},
			}
			client := l.dial(order{
				Addr: publicOne.String(), Peers: []string{publicOne.Addr().String()}, Paths: only, Job: download(2 * time.Second),
			})
			if tc.joined {
				secondPath(client)
			}
			c, _ := finish(t, 20*time.Second, client, server)
			t.Logf("%.1f Mbit/s over %d paths, longest gap %v", c.Received.rate(), len(c.Subflows), c.Received.Gap)
			require.Equal(t, publicOne.String(), c.Remote)
			if !tc.joined {
				require.Len(t, c.Subflows, 1)
				return
			}
			require.Len(t, c.Subflows, 2)
			require.Equal(t, tc.announce, c.Subflows[1].Remote)
			require.Greater(t, c.Subflows[1].BytesReceived, uint64(3*mib))
		})
	}
}
