package nettest

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// wireLab is a lab for the wire carrier: our TCP in one host's namespace, the kernel's in the other's, which uses
// every path that we offer. What our host sends and receives is captured.
func wireLab(t *testing.T, ours string, client, server []leg) (*lab, *capture) {
	needKernelMPTCP(t)
	need(t, "tcpdump", "tshark")
	l := crossing(t, client, server)
	for _, ns := range []string{"c", "s"} {
		l.do(ns, "ip mptcp limits set subflow 4 add_addr_accepted 4")
	}
	return l, l.capture(ours)
}

// mib reads the kernel's Multipath TCP counters in a namespace.
func (l *lab) mib(ns string) map[string]int {
	l.t.Helper()
	lines := strings.Split(l.do(ns, "cat /proc/net/netstat"), "\n")
	found := map[string]int{}
	for i := 0; i+1 < len(lines); i++ {
		names, ok := strings.CutPrefix(lines[i], "MPTcpExt: ")
		values, ok2 := strings.CutPrefix(lines[i+1], "MPTcpExt: ")
		if !ok || !ok2 {
			continue
		}
		v := strings.Fields(values)
		for j, name := range strings.Fields(names) {
			n, err := strconv.Atoi(v[j])
			require.NoError(l.t, err)
			found[name] = n
		}
		return found
	}
	require.Fail(l.t, "no MPTcpExt in /proc/net/netstat")
	return nil
}

// mishaps are counters that stay at 0 where nothing goes wrong. NoDSSInWindow is none of them: under load Linux 6.18 counts
// it now and then for data that lies below the edge which it has announced itself.
var mishaps = []string{
	"MPCapableFallbackACK", "MPCapableFallbackSYNACK", "MPCapableDataFallback", "MPFallbackTokenInit", "DssFallback",
	"MPJoinNoTokenFound", "MPJoinSynAckHMacFailure", "MPJoinAckHMacFailure", "MPJoinRejected", "DSSNotMatching", "DSSNoMatchTCP",
	"DSSCorruptionFallback", "DSSCorruptionReset", "DataCsumErr", "FallbackFailed", "MPFailTx", "MPFailRx", "InfiniteMapRx",
	"InfiniteMapTx", "MPRstRx", "MPRstTx", "MPFastcloseRx", "MPFastcloseTx",
}

// requireClean checks that the kernel in a namespace has nothing to complain about.
func (l *lab) requireClean(ns string, but ...string) {
	l.t.Helper()
	counted := l.mib(ns)
	for _, name := range mishaps {
		if n := counted[name]; n != 0 && !contains(but, name) {
			require.Fail(l.t, "the kernel counted "+name, "%d times; all: %v", n, nonzero(counted))
		}
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func nonzero(m map[string]int) string {
	var b strings.Builder
	for _, k := range sortedKeys(m) {
		if m[k] != 0 {
			fmt.Fprintf(&b, "%s=%d ", k, m[k])
		}
	}
	return b.String()
}

// The four matchups of a peer with and without Multipath TCP, in both roles and families: data goes both ways.
func TestNamespaceWire(t *testing.T) {
	plain := order{Stack: "net", Mode: mptcp.ModeTCP}
	for _, tc := range []struct {
		name           string
		ours           string
		server, client order
		carrier        extapi.Carrier // of ours
		fallback       extapi.FallbackReason
	}{
		{"our dialer, kernel listener", "c", kernelEnd, wireOrder, extapi.CarrierWire, extapi.FallbackNone},
		{"our dialer, plain listener", "c", plain, wireOrder, extapi.CarrierTCP, extapi.FallbackPeer},
		{"our listener, kernel dialer", "s", wireOrder, kernelEnd, extapi.CarrierWire, extapi.FallbackNone},
		{"our listener, plain dialer", "s", wireOrder, plain, extapi.CarrierTCP, extapi.FallbackPeer},
		{"our listener, our dialer", "s", wireOrder, wireOrder, extapi.CarrierWire, extapi.FallbackNone},
	} {
		for _, family := range []int{4, 6} {
			t.Run(fmt.Sprintf("%s, IPv%d", tc.name, family), func(t *testing.T) {
				l, captured := wireLab(t, tc.ours, []leg{{family: family}}, []leg{{family: family}})
				server := l.serve("s", tc.server)
				addr := serverIP(1)
				if family == 6 {
					addr = serverIP6(1)
				}
				o := tc.client
				o.Addr, o.Job = at(addr), job{Down: true, Up: true, Bytes: 8 * mib}
				client := l.dial(o)
				c, s := finish(t, 20*time.Second, client, server)
				ours := c
				if tc.ours == "s" {
					ours = s
				}
				t.Logf("down %.0f, up %.0f Mbit/s", c.Received.rate(), s.Received.rate())
				require.Equal(t, tc.carrier, ours.Info.Carrier)
				require.Equal(t, tc.fallback, ours.Info.Fallback)
				captured.judge()
				for _, ns := range []string{"c", "s"} {
					l.requireNoResets(ns)
					if tc.carrier == extapi.CarrierWire {
						l.requireClean(ns)
					}
				}
			})
		}
	}
}

// requireNoResets checks that the kernel in a namespace has sent no RST: the shield holds. Only a kernel that has a TCP of its own in
// use may send one for each segment that it has repeated: our ACK of the copy can come when its socket is gone.
func (l *lab) requireNoResets(ns string) {
	l.t.Helper()
	require.LessOrEqual(l.t, l.snmp(ns, "Tcp", "OutRsts"), l.snmp(ns, "Tcp", "RetransSegs"), "the kernel in %s sent RSTs", ns)
}

// snmp reads a counter of /proc/net/snmp.
func (l *lab) snmp(ns, group, name string) int {
	l.t.Helper()
	var names []string
	for line := range strings.Lines(l.do(ns, "cat /proc/net/snmp")) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), group+": ")
		if !ok {
			continue
		}
		if names == nil {
			names = strings.Fields(rest)
			continue
		}
		for i, v := range strings.Fields(rest) {
			if names[i] == name {
				n, err := strconv.Atoi(v)
				require.NoError(l.t, err)
				return n
			}
		}
	}
	require.Fail(l.t, "no counter "+group+" "+name)
	return 0
}
