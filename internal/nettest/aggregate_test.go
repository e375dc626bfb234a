package nettest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// download and upload are jobs whose sender goes on for d.
func download(d time.Duration) job { return job{Down: true, For: d} }
func upload(d time.Duration) job   { return job{Up: true, For: d} }

// finish waits for both ends of a job and checks that what one has sent has arrived at the other. Every byte
// of it was checked on arrival.
func finish(t *testing.T, d time.Duration, client, server *program) (c, s report) {
	t.Helper()
	c, s = client.wait(d, "done"), server.wait(d, "done")
	require.Equal(t, s.Sent.Bytes, c.Received.Bytes, "download: sent and received")
	require.Equal(t, c.Sent.Bytes, s.Received.Bytes, "upload: sent and received")
	require.Positive(t, c.Received.Bytes+c.Sent.Bytes)
	return c, s
}

// An application on the two hosts gets more than one path can give: the second path was found by itself.
func TestNamespaceAggregation(t *testing.T) {
	const rate = 50 // Mbit/s of each path
	wide, narrow := leg{}, leg{mbit: rate}
	for _, tc := range []struct {
		name           string
		client, server []leg
		ifaces         [2]string // that the paths share nothing of
		ns             string
		job            job
	}{
		{"client has two interfaces, download", []leg{narrow, narrow}, []leg{wide}, [2]string{"c1", "c2"}, "c", download(3 * time.Second)},
		{"client has two interfaces, upload", []leg{narrow, narrow}, []leg{wide}, [2]string{"c1", "c2"}, "c", upload(3 * time.Second)},
		{"server announces its second address", []leg{wide}, []leg{narrow, narrow}, [2]string{"s1", "s2"}, "s", download(3 * time.Second)},
		{"both have two", []leg{narrow, narrow}, []leg{narrow, narrow}, [2]string{"c1", "c2"}, "c", download(3 * time.Second)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := crossing(t, tc.client, tc.server)
			server := l.serve("s", order{})
			client := l.dial(order{Addr: at(serverIP(1)), Job: tc.job})
			c, s := finish(t, 20*time.Second, client, server)
			got := c.Received
			if tc.job.Up {
				got = s.Received
			}
			require.Equal(t, extapi.CarrierStream, c.Info.Carrier)
			carried := func(iface string) uint64 {
				n := l.counters(tc.ns, iface)
				return max(n.Rx.Bytes, n.Tx.Bytes)
			}
			one, two := carried(tc.ifaces[0]), carried(tc.ifaces[1])
			t.Logf("%.1f Mbit/s over 2 x %d, %.0f %% and %.0f %% of it, longest gap %v",
				got.rate(), rate, 100*float64(one)/float64(one+two), 100*float64(two)/float64(one+two), got.Gap)
			require.Greater(t, got.rate(), 1.5*rate)
			require.Less(t, got.rate(), 2.0*rate, "the links are what limits")
			for i, n := range []uint64{one, two} {
				require.Greater(t, float64(n), 0.3*float64(one+two), "%s", tc.ifaces[i])
			}
		})
	}
}

// RFC 6182 section 4: several subflows between one pair of addresses, which a network that hashes ports sends
// over different paths.
func TestNamespacePerPair(t *testing.T) {
	l := crossing(t, []leg{{mbit: 50}}, []leg{{}})
	server := l.serve("s", order{})
	client := l.dial(order{Addr: at(serverIP(1)), Paths: policy{PerPair: 2}, Job: download(1500 * time.Millisecond)})
	client.event(2*time.Second, "subflow_established", func(r report) bool { return r.Subflows[0].ID == 2 })
	time.Sleep(300 * time.Millisecond) // for a third, which must not come
	flows := client.state().Subflows
	require.Len(t, flows, 2)
	require.Equal(t, flows[0].Local.Addr(), flows[1].Local.Addr())
	require.NotEqual(t, flows[0].Local.Port(), flows[1].Local.Port())
	require.Equal(t, flows[0].Remote, flows[1].Remote)
	require.Len(t, server.state().Subflows, 2)
	c, _ := finish(t, 10*time.Second, client, server)
	require.Len(t, c.Subflows, 2)
	for _, f := range c.Subflows {
		require.Positive(t, f.BytesReceived, "path %d", f.ID)
	}
}

// The two families are mixed in one connection.
func TestNamespaceFamilies(t *testing.T) {
	for first, second := range map[int]int{4: 6, 6: 4} {
		t.Run(fmt.Sprintf("IPv%d first", first), func(t *testing.T) {
			l := crossing(t, []leg{{mbit: 50, family: first}, {mbit: 50, family: second}}, []leg{{family: first}, {family: second}})
			server := l.serve("s", order{})
			addr := serverIP(1)
			if first == 6 {
				addr = serverIP6(1)
			}
			client := l.dial(order{Addr: at(addr), Job: download(1500 * time.Millisecond)})
			c, _ := finish(t, 10*time.Second, client, server)
			require.Len(t, c.Subflows, 2)
			for i, v := range []int{first, second} {
				f := c.Subflows[i]
				require.Equal(t, v == 4, f.Remote.Addr().Is4(), "%v", f.Remote)
				require.Equal(t, fmt.Sprintf("c%d", i+1), f.Interface)
				require.Greater(t, f.BytesReceived, uint64(mib), "path %d", f.ID)
			}
			require.Equal(t, at(addr), c.Remote, "the connection's address stays the first subflow's")
		})
	}
}
