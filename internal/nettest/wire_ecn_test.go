package nettest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// The kernel's dialer asks for explicit congestion notification, and our listener answers (RFC 3168). Our dialer does not
// ask, as Linux does not unless it is told to.
func TestNamespaceWireECN(t *testing.T) {
	for _, tc := range []struct {
		name, ours     string
		server, client order
		want           bool
	}{
		{"our listener", "s", wireOrder, kernelEnd, true},
		{"our dialer", "c", kernelEnd, wireOrder, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, captured := wireLab(t, tc.ours, []leg{{}}, []leg{{}})
			theirs := "c"
			if tc.ours == "c" {
				theirs = "s"
			}
			l.do(theirs, "sysctl -qw net.ipv4.tcp_ecn=1")
			server := l.serve("s", tc.server)
			client := l.dial(tc.client.with(at(serverIP(1)), trickle))
			server.wait(5*time.Second, "accepted")
			l.eventually(5*time.Second, "data flows", func() bool { return l.carried("c", "c1") > 200*kib })
			seen := l.do(theirs, "ss -Hotin state established")
			require.Contains(t, seen, " sack ", "what was agreed is shown")
			require.Equal(t, tc.want, strings.Contains(seen, " ecn "), "%s", seen)
			c, s := pair{client: client, server: server}.stop()
			require.Positive(t, min(c.Received.Bytes, s.Received.Bytes))
			for _, r := range []report{c, s} {
				if r.Info.Carrier == extapi.CarrierWire {
					require.Equal(t, extapi.FallbackNone, r.Info.Fallback)
				}
			}
			captured.judge()
			l.requireClean(theirs)
		})
	}
}
