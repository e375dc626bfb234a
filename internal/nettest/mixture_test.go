package nettest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// A network swallows the second path's joins from the beginning: the connection does not notice.
func TestNamespaceJoinsSwallowed(t *testing.T) {
	l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
	l.feed("r", "nft -f -", `table inet lab {
		chain box {
			type filter hook forward priority -1; policy accept;
			iifname rc2 tcp flags & (syn | ack) == syn counter comment "joins"
			iifname rc2 drop
		}
	}`)
	server := l.serve("s", order{})
	client := l.dial(order{Addr: at(serverIP(1)), Job: job{Down: true, Up: true, For: 4 * time.Second}})
	c, s := finish(t, 20*time.Second, client, server)
	joins := l.count("joins")
	t.Logf("%d SYNs in 4 s, gaps %v and %v", joins, c.Received.Gap, s.Received.Gap)
	require.Positive(t, joins, "it was tried")
	require.LessOrEqual(t, joins, 6, "one join, and TCP's own repetitions of its SYN")
	require.Less(t, max(c.Received.Gap, s.Received.Gap), 500*time.Millisecond)
	require.Greater(t, c.Received.rate(), 35.0)
	require.Greater(t, s.Received.rate(), 35.0)
}

// A stateful firewall forgets the second path, as one does that was restarted: it swallows the segments of
// connections that it knows nothing of, and lets new ones through.
func TestNamespaceFirewallForgets(t *testing.T) {
	l, client, server := downloading(t, download(20*time.Second), order{})
	l.carries("c2", mib)
	sport := onInterface(client.state().Subflows, "c2")[0].Local.Port()
	l.feed("r", "nft -f -", fmt.Sprintf(`table inet lab {
		chain box { type filter hook forward priority 1; policy accept; tcp sport %[1]d drop; tcp dport %[1]d drop; }
	}`, sport))
	client.event(5*time.Second, "subflow_established", func(r report) bool { return r.Subflows[0].ID == 3 })
	took := l.carries("c2", mib)
	t.Logf("1 MiB over a fresh subflow after %v", took)
	server.say("stop")
	c, _ := finish(t, 20*time.Second, client, server)
	t.Logf("%.1f Mbit/s, longest gap %v", c.Received.rate(), c.Received.Gap)
	require.Less(t, c.Received.Gap, time.Second)
}

// One segment in fifty is lost on one of the paths. That path is slow then, as TCP is, but takes nothing from
// the other.
func TestNamespaceLossyPath(t *testing.T) {
	for _, lossy := range []string{"rc1", "rc2"} {
		t.Run(lossy, func(t *testing.T) {
			l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
			l.feed("r", "nft -f -", fmt.Sprintf(`table inet lab {
				chain box {
					type filter hook forward priority 1; policy accept;
					iifname %[1]s numgen random mod 50 == 0 drop
					oifname %[1]s numgen random mod 50 == 0 drop
				}
			}`, lossy))
			server := l.serve("s", order{})
			// A named peer: where a question or its answer may get lost, the verdict is now and then plain TCP.
			client := l.dial(order{Addr: at(serverIP(1)), Peers: []string{at(serverIP(1))}, Job: job{Down: true, Up: true, For: 3 * time.Second}})
			c, s := finish(t, 30*time.Second, client, server)
			t.Logf("down %.1f, up %.1f Mbit/s, gaps %v and %v", c.Received.rate(), s.Received.rate(), c.Received.Gap, s.Received.Gap)
			require.Greater(t, c.Received.rate(), 35.0)
			require.Greater(t, s.Received.rate(), 35.0)
			require.Less(t, max(c.Received.Gap, s.Received.Gap), 2*time.Second)
		})
	}
}

// A slow path beside a fast one does not make the whole slower than the fast one is by itself.
func TestNamespaceUnequalPaths(t *testing.T) {
	for _, tc := range []struct{ one, two int }{{50, 5}, {5, 50}} {
		t.Run(fmt.Sprintf("%d+%d", tc.one, tc.two), func(t *testing.T) {
			l := crossing(t, []leg{{mbit: tc.one}, {mbit: tc.two}}, []leg{{}})
			server := l.serve("s", order{})
			client := l.dial(order{Addr: at(serverIP(1)), Job: job{Down: true, For: 3 * time.Second}})
			c, _ := finish(t, 30*time.Second, client, server)
			t.Logf("%.1f Mbit/s, longest gap %v", c.Received.rate(), c.Received.Gap)
			require.Greater(t, c.Received.rate(), 40.0)
		})
	}
}

// A path with a smaller MTU, behind a router that says so.
func TestNamespaceSmallerMTU(t *testing.T) {
	l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
	l.do("r", "ip link set rc2 mtu 1300")
	l.do("c", "ip link set c2 mtu 1300")
	server := l.serve("s", order{})
	client := l.dial(order{Addr: at(serverIP(1)), Job: job{Down: true, Up: true, For: 1500 * time.Millisecond}})
	c, s := finish(t, 30*time.Second, client, server)
	t.Logf("down %.1f, up %.1f Mbit/s", c.Received.rate(), s.Received.rate())
	require.Greater(t, c.Received.rate(), 60.0)
	require.Len(t, c.Subflows, 2)
}

// HTTP over TLS between our client and our server, whose first path dies in the middle of the body.
func TestNamespaceWebSurvivesPath(t *testing.T) {
	cert, key := certificate(t)
	l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
	l.serve("s", order{Role: "web", Cert: cert, Key: key})
	const size = 16 * mib
	client := l.start("c", order{Role: "fetcher", Cert: cert, URLs: []string{fmt.Sprintf("https://%s/%d", at(webAddr), size)}})
	l.carries("c2", 2*mib)
	l.cut("rc1")
	client.wait(20*time.Second, "done")
	f := fetched(client)[0]
	t.Logf("%s, %d bytes in %v over %v", f.Proto, f.Bytes, f.Took, f.Carrier)
	require.Equal(t, extapi.CarrierStream, f.Carrier)
	require.EqualValues(t, size, f.Bytes)
	require.Equal(t, 200, f.Status)
	require.Equal(t, patternSum(size), f.SHA256)
	require.Less(t, f.Took, 6*time.Second, "3.4 s over one path alone")
}
