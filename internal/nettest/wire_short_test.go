package nettest

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
)

// shortConns is how many short connections there are of each kind. MPTCP_SHORT_CONNS=10000 is the full proof.
func shortConns(t *testing.T) int {
	t.Helper()
	s := os.Getenv("MPTCP_SHORT_CONNS")
	if s == "" {
		return 1000
	}
	n, err := strconv.Atoi(s)
	require.NoError(t, err, "MPTCP_SHORT_CONNS")
	return n
}

// Many short connections: each has its answer, and none leaves anything behind. Where our dialer closes first, the ports in
// TIME-WAIT are used again.
func TestNamespaceWireShortConnections(t *testing.T) {
	needKernelMPTCP(t)
	const few = 24 // sockets and goroutines of the carrier and of its watchers
	for _, tc := range matchups {
		for _, first := range []string{"client", "server"} {
			t.Run(tc.name+", the "+first+" closes first", func(t *testing.T) {
				l := crossing(t, []leg{{}}, []leg{{}})
				q := quick{Count: shortConns(t), Workers: 16, ServerFirst: first == "server"}
				tc.server.Role, tc.client.Role = "quick server", "quick client"
				tc.server.Quick, tc.client.Quick = q, q
				server := l.serve("s", tc.server)
				tc.client.Addr = at(serverIP(1))
				client := l.dial(tc.client)
				done := client.wait(time.Duration(q.Count)*20*time.Millisecond+10*time.Second, "done")
				rate := float64(q.Count) / done.Received.Took.Seconds()
				var c, s usage
				l.eventually(10*time.Second, "all are over", func() bool {
					c, s = client.ask("usage").Usage, server.ask("usage").Usage
					return s.Served == int64(q.Count) && c.Conns+s.Conns == 0 && max(c.Goroutines, s.Goroutines) < few
				})
				list, _, _ := client.look()
				slow := slices.DeleteFunc(list, func(r report) bool { return r.Kind != "slow" })
				t.Logf("%.0f connections/s, %d took over a second to open; held in TIME-WAIT: client %d sockets, %d KiB, server %d sockets, %d KiB",
					rate, len(slow), c.Sockets, c.Heap>>10, s.Sockets, s.Heap>>10)
				require.LessOrEqual(t, len(slow), q.Count/50, "a port that the server has in TIME-WAIT is used again without waiting")
				require.Less(t, s.Sockets, few, "a listener's connections have no sockets of their own")
				require.Less(t, c.Sockets, 600+int(4*rate), "a port is used again a second after it was closed")
				for _, ns := range []string{"c", "s"} {
					l.eventually(5*time.Second, "MPCurrEstab of "+ns, func() bool { return l.mib(ns)["MPCurrEstab"] == 0 })
					l.requireClean(ns)
				}
				for _, p := range []*program{client, server} {
					if p.mode == mptcp.ModeWire {
						p.say("close")
						var u usage
						l.eventually(5*time.Second, "nothing is left", func() bool {
							u = p.ask("usage").Usage
							return u.Sockets == 0 && u.Chunks == 0 && u.Goroutines <= 2 && u.Heap < 4*mib
						})
						t.Logf("left of ours after its end: %d KiB", u.Heap>>10)
					}
				}
			})
		}
	}
}
