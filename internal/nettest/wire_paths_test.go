package nettest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
)

var (
	wireOrder   = order{Mode: mptcp.ModeWire}
	kernelOrder = order{Stack: "net"}
)

// with is o with what it is to do.
func (o order) with(addr string, j job) order {
	o.Addr, o.Job = addr, j
	return o
}

// carried is what an interface has moved, in the direction in which it has moved more.
func (l *lab) carried(ns, iface string) uint64 {
	n := l.counters(ns, iface)
	return max(n.Rx.Bytes, n.Tx.Bytes)
}

// Every path of the client is used, whoever of the two is the kernel.
func TestNamespaceWireJoins(t *testing.T) {
	narrow := leg{mbit: 40}
	for _, tc := range []struct {
		name           string
		ours           string
		server, client order
		job            job
	}{
		{"our dialer downloads", "c", kernelOrder, wireOrder, download(3 * time.Second)},
		{"our dialer uploads", "c", kernelOrder, wireOrder, upload(3 * time.Second)},
		{"kernel dialer downloads", "s", wireOrder, kernelOrder, download(3 * time.Second)},
		{"kernel dialer uploads", "s", wireOrder, kernelOrder, upload(3 * time.Second)},
		{"ours on both sides", "c", wireOrder, wireOrder, download(3 * time.Second)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, captured := wireLab(t, tc.ours, []leg{narrow, narrow, narrow}, []leg{{}})
			if tc.client.Stack == "net" {
				for i := 2; i <= 3; i++ {
					l.do("c", fmt.Sprintf("ip mptcp endpoint add %v dev c%d subflow", clientIP(i), i))
				}
			}
			server := l.serve("s", tc.server)
			client := l.dial(tc.client.with(at(serverIP(1)), tc.job))
			c, s := finish(t, 20*time.Second, client, server)
			got := c.Received
			if tc.job.Up {
				got = s.Received
			}
			t.Logf("%.1f Mbit/s over 3 x 40; kernel of the server: %s", got.rate(), nonzero(l.mib("s")))
			require.Greater(t, got.rate(), 80.0)
			for i := 1; i <= 3; i++ {
				require.Greater(t, l.carried("c", fmt.Sprintf("c%d", i)), uint64(3*mib), "c%d", i)
			}
			if tc.server.Stack == "net" {
				require.Equal(t, 2, l.mib("s")["MPJoinAckRx"])
			}
			for _, ns := range []string{"c", "s"} {
				l.requireClean(ns)
				l.requireNoResets(ns)
			}
			captured.judge()
		})
	}
}

// Addresses that the server announces are joined (ADD_ADDR, its HMAC and its echo), over IPv4 and IPv6.
func TestNamespaceWireAnnounced(t *testing.T) {
	for _, tc := range []struct {
		name           string
		ours           string
		server, client order
		family         int // of the second address
	}{
		{"kernel listener, IPv4", "c", kernelOrder, wireOrder, 4},
		{"kernel listener, IPv6", "c", kernelOrder, wireOrder, 6},
		{"our listener, IPv4", "s", wireOrder, kernelOrder, 4},
		{"our listener, IPv6", "s", wireOrder, kernelOrder, 6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			second := leg{mbit: 40, family: tc.family}
			l, captured := wireLab(t, tc.ours, []leg{{mbit: 40, family: 4}, second}, []leg{{family: 4}, second})
			addr := serverIP(2)
			if tc.family == 6 {
				addr = serverIP6(2)
			}
			if tc.server.Stack == "net" {
				l.do("s", fmt.Sprintf("ip mptcp endpoint add %v dev s2 signal", addr))
			}
			server := l.serve("s", tc.server)
			client := l.dial(tc.client.with(at(serverIP(1)), download(2*time.Second)))
			c, _ := finish(t, 20*time.Second, client, server)
			t.Logf("%.1f Mbit/s over 2 x 40; client's kernel: %s; server's: %s", c.Received.rate(), nonzero(l.mib("c")), nonzero(l.mib("s")))
			require.Greater(t, c.Received.rate(), 50.0)
			require.Greater(t, l.carried("s", "s2"), uint64(2*mib))
			if tc.server.Stack == "net" {
				require.Equal(t, 1, l.mib("s")["EchoAdd"])
				require.Equal(t, 1, l.mib("s")["MPJoinAckRx"])
			} else {
				require.Equal(t, 1, l.mib("c")["AddAddr"])
			}
			for _, ns := range []string{"c", "s"} {
				l.requireClean(ns)
			}
			captured.judge()
		})
	}
}

// A path goes silent: what it carried moves to the other one.
func TestNamespaceWireBlackhole(t *testing.T) {
	for _, tc := range []struct {
		name           string
		ours           string
		server, client order
		job            job
		dead           string
		gap            time.Duration // the longest that a receiver may wait: the sender is who acts
	}{
		{"our listener sends, first path", "s", wireOrder, wireOrder, download(4 * time.Second), "rc1", time.Second},
		{"our listener sends, second path", "s", wireOrder, wireOrder, download(4 * time.Second), "rc2", time.Second},
		{"our dialer sends to the kernel", "c", kernelOrder, wireOrder, upload(4 * time.Second), "rc2", time.Second},
		{"our listener sends to the kernel", "s", wireOrder, kernelOrder, download(4 * time.Second), "rc2", time.Second},
		{"the kernel sends to our dialer", "c", kernelOrder, wireOrder, download(4 * time.Second), "rc2", 3 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, _ := wireLab(t, tc.ours, []leg{{mbit: 40}, {mbit: 40}}, []leg{{}})
			if tc.client.Stack == "net" {
				l.do("c", fmt.Sprintf("ip mptcp endpoint add %v dev c2 subflow", clientIP(2)))
			}
			server := l.serve("s", tc.server)
			client := l.dial(tc.client.with(at(serverIP(1)), tc.job))
			l.eventually(3*time.Second, "the second path carries data", func() bool { return l.carried("c", "c2") > mib })
			l.cut(tc.dead)
			c, s := finish(t, 30*time.Second, client, server)
			got := c.Received
			if tc.job.Up {
				got = s.Received
			}
			t.Logf("%.1f Mbit/s, longest gap %v", got.rate(), got.Gap)
			require.Less(t, got.Gap, tc.gap)
			require.Greater(t, got.rate(), 15.0)
		})
	}
}

// The peer's kernel withdraws an address that data is under way on (REMOVE_ADDR).
func TestNamespaceWireRemoved(t *testing.T) {
	l, captured := wireLab(t, "s", []leg{{mbit: 40}, {mbit: 40}}, []leg{{}})
	l.do("c", fmt.Sprintf("ip mptcp endpoint add %v dev c2 id 7 subflow", clientIP(2)))
	server := l.serve("s", wireOrder)
	client := l.dial(kernelOrder.with(at(serverIP(1)), download(3*time.Second)))
	l.eventually(3*time.Second, "the second path carries data", func() bool { return l.carried("c", "c2") > mib })
	l.do("c", "ip mptcp endpoint delete id 7")
	server.event(3*time.Second, "subflow_closed", func(r report) bool { return r.Subflows[0].ID == 2 })
	require.Len(t, server.state().Subflows, 1)
	finish(t, 20*time.Second, client, server)
	require.Equal(t, 1, l.mib("c")["RmAddrTx"])
	captured.judge()
}

// Backup, as the peer's kernel asks for it in its join, and as it changes its mind (MP_PRIO).
func TestNamespaceWireBackup(t *testing.T) {
	l, captured := wireLab(t, "s", []leg{{mbit: 40}, {mbit: 40}}, []leg{{}})
	l.do("c", fmt.Sprintf("ip mptcp endpoint add %v dev c2 id 7 subflow backup", clientIP(2)))
	server := l.serve("s", wireOrder)
	client := l.dial(kernelOrder.with(at(serverIP(1)), download(4*time.Second)))
	server.event(3*time.Second, "subflow_established", func(r report) bool { return r.Subflows[0].ID == 2 })
	time.Sleep(500 * time.Millisecond)
	require.Less(t, l.counters("c", "c2").Rx.Bytes, uint64(256*kib), "a backup carries nothing while the other works")
	l.do("c", "ip mptcp endpoint change id 7 nobackup")
	server.event(3*time.Second, "subflow_priority", func(r report) bool { return true })
	before := l.counters("c", "c2").Rx.Bytes
	l.eventually(2*time.Second, "data on what is no backup any more", func() bool { return l.counters("c", "c2").Rx.Bytes > before+mib })
	finish(t, 20*time.Second, client, server)
	captured.judge()
}
