package nettest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// shares are the bytes that the client's two interfaces have carried.
func shares(l *lab) (one, two uint64) {
	a, b := l.counters("c", "c1"), l.counters("c", "c2")
	return a.Rx.Bytes + a.Tx.Bytes, b.Rx.Bytes + b.Tx.Bytes
}

// The policy rules which interfaces carry what.
func TestNamespacePolicy(t *testing.T) {
	all := download(1500 * time.Millisecond)
	// What to prefer is the sender's business: RFC 8684 tells the peer of backup paths alone.
	little := job{Up: true, For: 1500 * time.Millisecond, Rate: 2_000_000}
	const idle = 64 * kib // handshakes, acknowledgements, neighbour discovery
	for _, tc := range []struct {
		name  string
		paths extapi.PathPolicy
		job   job
		check func(t *testing.T, one, two uint64, flows []extapi.SubflowInfo)
	}{
		{"only the first", extapi.Only("c1"), all, func(t *testing.T, one, two uint64, flows []extapi.SubflowInfo) {
			require.Len(t, flows, 1)
			require.Less(t, two, uint64(idle))
		}},
		{"only the second", extapi.Only("c2"), all, func(t *testing.T, one, two uint64, flows []extapi.SubflowInfo) {
			require.Len(t, flows, 1)
			require.Less(t, one, uint64(idle))
			require.Equal(t, clientIP(2), flows[0].Local.Addr())
		}},
		{"second is backup", extapi.Backup("c2"), all, func(t *testing.T, one, two uint64, flows []extapi.SubflowInfo) {
			require.Len(t, flows, 2, "it stands by")
			require.True(t, flows[1].Backup)
			require.Less(t, two, uint64(idle))
		}},
		{"first is backup", extapi.Backup("c1"), all, func(t *testing.T, one, two uint64, flows []extapi.SubflowInfo) {
			require.Equal(t, "c2", flows[0].Interface, "the dial, too, takes the other")
			require.Less(t, one, uint64(idle))
		}},
		{"second is preferred", extapi.Prefer("c2"), all, func(t *testing.T, one, two uint64, flows []extapi.SubflowInfo) {
			require.Len(t, flows, 2)
			require.Equal(t, "c2", flows[0].Interface, "the dial takes it")
			require.Greater(t, min(one, two), uint64(2*mib), "more than one path has room for")
		}},
		{"second is preferred, light load", extapi.Prefer("c2"), little, func(t *testing.T, one, two uint64, flows []extapi.SubflowInfo) {
			require.Len(t, flows, 2)
			require.Less(t, one, two/4)
		}},
		{"first is avoided, light load", extapi.Avoid("c1"), little, func(t *testing.T, one, two uint64, flows []extapi.SubflowInfo) {
			require.Len(t, flows, 2)
			require.Less(t, one, two/4)
		}},
		{"at most one", extapi.PathPolicy{MaxSubflows: 1}, all, func(t *testing.T, one, two uint64, flows []extapi.SubflowInfo) {
			require.Len(t, flows, 1)
			require.Less(t, two, uint64(idle))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
			server := l.serve("s", order{})
			client := l.dial(order{Addr: at(serverIP(1)), Paths: policyOf(tc.paths), Job: tc.job})
			time.Sleep(time.Second)
			flows := client.state().Subflows
			finish(t, 20*time.Second, client, server)
			one, two := shares(l)
			t.Logf("%d and %d bytes over c1 and c2", one, two)
			tc.check(t, one, two, flows)
		})
	}
}

// A policy that leaves no path ends the dial with ErrPolicy.
func TestNamespacePolicyLeavesNoPath(t *testing.T) {
	l := crossing(t, []leg{{}, {}}, []leg{{}})
	l.serve("s", order{})
	client := l.start("c", order{Role: "client", Addr: at(serverIP(1)), Paths: policyOf(extapi.Only("wlan*"))})
	l.eventually(5*time.Second, "the dial fails", func() bool {
		list, _, _ := client.look()
		return len(list) > 0
	})
	list, _, _ := client.look()
	require.Equal(t, "failed", list[0].Kind)
	require.Contains(t, list[0].Err, mptcp.ErrPolicy.Error())
	one, two := shares(l)
	require.Less(t, one+two, uint64(4*kib))
}

// A backup path takes over when the other dies, and steps back when it returns.
func TestNamespaceBackupTakesOver(t *testing.T) {
	l, client, server := downloading(t, download(30*time.Second), order{Paths: policyOf(extapi.Backup("c2"))})
	l.carries("c1", 2*mib)
	_, before := shares(l)
	require.Less(t, before, uint64(64*kib))
	l.cut("rc1")
	took := l.carries("c2", mib)
	t.Logf("the backup carries 1 MiB %v after the other died", took)
	l.heal("rc1")
	l.carries("c1", 2*mib)
	time.Sleep(500 * time.Millisecond) // for what is on its way over the backup
	_, before = shares(l)
	l.carries("c1", 2*mib)
	_, after := shares(l)
	require.Less(t, after-before, uint64(256*kib), "it steps back")
	server.say("stop")
	c, _ := finish(t, 20*time.Second, client, server)
	t.Logf("longest gap %v", c.Received.Gap)
	require.Less(t, c.Received.Gap, time.Second)
}

// When the default route is a tunnel, what goes through it is not led around it by accident: another interface
// is used when a rule says so.
func TestNamespaceTunnelIsNotBypassed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		paths  extapi.PathPolicy
		beside bool
	}{
		{"no rule", extapi.PathPolicy{}, false},
		{"a default is no rule", extapi.PathPolicy{Default: extapi.RoleAvoid}, false},
		{"a rule", extapi.PathPolicy{Rules: []extapi.PathRule{{PathMatch: extapi.PathMatch{Interface: "c1"}}}}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}, {}})
			// The tunnel runs over c2 and ends at the router, as a VPN's does at its gateway.
			here, there := clientIP(2), gateway(clientIP(2))
			l.do("c", fmt.Sprintf("ip link add tun0 type vxlan id 7 dstport 4789 local %v remote %v", here, there))
			l.do("r", fmt.Sprintf("ip link add tun0 type vxlan id 7 dstport 4789 local %v remote %v", there, here))
			l.do("r", "ip addr add 10.99.0.1/30 dev tun0")
			l.do("r", "ip link set tun0 up")
			l.do("c", "ip addr add 10.99.0.2/30 dev tun0")
			l.do("c", "ip link set tun0 up")
			l.do("c", "ip route add default via 10.99.0.1 dev tun0 metric 1")
			server := l.serve("s", order{})
			client := l.dial(order{Addr: at(serverIP(1)), Paths: policyOf(tc.paths), Job: download(1500 * time.Millisecond)})
			c, _ := finish(t, 20*time.Second, client, server)
			beside := onInterface(c.Subflows, "c1")
			t.Logf("%.1f Mbit/s, %d subflows", c.Received.rate(), len(c.Subflows))
			if tc.beside {
				require.Len(t, beside, 1)
				require.Positive(t, beside[0].BytesReceived)
				return
			}
			require.Empty(t, beside)
			require.Empty(t, onInterface(c.Subflows, "c2"))
			require.Len(t, onInterface(c.Subflows, "tun0"), len(c.Subflows))
			require.Less(t, l.counters("c", "c1").Rx.Bytes, uint64(64*kib))
		})
	}
}
