package nettest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
)

var wireOrder = order{Mode: mptcp.ModeWire}

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

// Every path of the client is used.
func TestNamespaceWireJoins(t *testing.T) {
	narrow := leg{mbit: 40}
	for name, j := range map[string]job{"download": download(3 * time.Second), "upload": upload(3 * time.Second)} {
		t.Run(name, func(t *testing.T) {
			l, captured := wireLab(t, "c", []leg{narrow, narrow, narrow}, []leg{{}})
			server := l.serve("s", wireOrder)
			client := l.dial(wireOrder.with(at(serverIP(1)), j))
			c, s := finish(t, 20*time.Second, client, server)
			t.Logf("down %.1f, up %.1f Mbit/s over 3 x 40", c.Received.rate(), s.Received.rate())
			for i := 1; i <= 3; i++ {
				require.Greater(t, l.carried("c", fmt.Sprintf("c%d", i)), uint64(mib), "c%d", i)
			}
			for _, ns := range []string{"c", "s"} {
				l.requireClean(ns, "MPRstRx")
				l.requireNoResets(ns)
			}
			captured.judge()
		})
	}
}

// A path goes silent: what it carried moves to the other one.
func TestNamespaceWireBlackhole(t *testing.T) {
	for _, tc := range []struct {
		name string
		job  job
		dead string
	}{
		{"download, first path", download(4 * time.Second), "rc1"},
		{"download, second path", download(4 * time.Second), "rc2"},
		{"upload, second path", upload(4 * time.Second), "rc2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, _ := wireLab(t, "c", []leg{{mbit: 40}, {mbit: 40}}, []leg{{}})
			server := l.serve("s", wireOrder)
			client := l.dial(wireOrder.with(at(serverIP(1)), tc.job))
			l.eventually(3*time.Second, "the second path carries data", func() bool { return l.carried("c", "c2") > mib })
			l.cut(tc.dead)
			c, s := finish(t, 30*time.Second, client, server)
			got := c.Received
			if tc.job.Up {
				got = s.Received
			}
			t.Logf("%.1f Mbit/s, longest gap %v", got.rate(), got.Gap)
			require.Less(t, got.Gap, time.Second)
		})
	}
}
