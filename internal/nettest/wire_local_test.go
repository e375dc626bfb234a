package nettest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// Two links with the same link-local addresses: the zone says which one is meant, in both roles, and is part of the
// connection's addresses.
func TestNamespaceWireLinkLocal(t *testing.T) {
	needKernelMPTCP(t)
	one := order{Mode: mptcp.ModeWire, Addr: fmt.Sprintf("[fe80::2%%s2]:%d", port)}
	for _, tc := range append(slices.Clone(matchups), []matchup{
		{"our listener at one address, kernel dialer", one, kernelEnd},
		{"our listener at one address, our dialer", one, wireOrder},
	}...) {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, "c", "s")
			for i := 1; i <= 2; i++ {
				l.do("c", fmt.Sprintf("ip link add name c%d type veth peer name s%d netns %ss", i, i, l.prefix))
				for ns, host := range map[string]int{"c": 1, "s": 2} {
					l.do(ns, fmt.Sprintf("ip link set %s%d addrgenmode none up", ns, i))
					l.do(ns, fmt.Sprintf("ip addr add fe80::%d/64 dev %s%d nodad", host, ns, i))
				}
			}
			server := l.serve("s", tc.server)
			if tc.server.Addr != "" { // the same address on the other link is not ours: the kernel has it
				theirs := l.serve("s", order{Stack: "net", Addr: fmt.Sprintf("[fe80::2%%s1]:%d", port)})
				other := l.dial(kernelEnd.with(fmt.Sprintf("[fe80::2%%c1]:%d", port), job{Down: true, Up: true, Bytes: 100 * kib}))
				finish(t, 10*time.Second, other, theirs)
				l.requireNoResets("s")
			}
			client := l.dial(tc.client.with(fmt.Sprintf("[fe80::2%%c2]:%d", port), job{Down: true, Up: true, Bytes: 4 * mib}))
			c, s := finish(t, 20*time.Second, client, server)
			if tc.client.Stack == "" { // the kernel's MPTCP does not tell the zone
				require.Contains(t, c.Local, "[fe80::1%c2]:")
				require.Equal(t, "[fe80::2%c2]:7000", c.Remote)
			}
			if tc.server.Stack == "" {
				require.Equal(t, "[fe80::2%s2]:7000", s.Local)
				require.Contains(t, s.Remote, "[fe80::1%s2]:")
			}
			for _, r := range []report{c, s} {
				if r.Info.Carrier == extapi.CarrierWire {
					require.Equal(t, extapi.FallbackNone, r.Info.Fallback)
				}
			}
			require.Greater(t, l.carried("c", "c2"), uint64(4*mib))
			require.Less(t, l.carried("c", "c1"), uint64(mib))
		})
	}
}

// A host without policy routing: what comes from the second address leaves through its interface all the same.
func TestNamespaceWireWithoutPolicyRouting(t *testing.T) {
	l, _ := wireLab(t, "c", []leg{{mbit: 40}, {mbit: 40}}, []leg{{}})
	for i := 1; i <= 2; i++ {
		l.do("c", fmt.Sprintf("ip rule del from %v", clientIP(i)))
	}
	server := l.serve("s", wireOrder)
	client := l.dial(wireOrder.with(at(serverIP(1)), upload(2*time.Second)))
	_, s := finish(t, 20*time.Second, client, server)
	t.Logf("%.1f Mbit/s over 2 x 40", s.Received.rate())
	for i := 1; i <= 2; i++ {
		require.Greater(t, l.counters("c", fmt.Sprintf("c%d", i)).Tx.Bytes, uint64(mib), "c%d", i)
	}
}
