package nettest

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// needKernelMPTCP skips on a kernel without it.
func needKernelMPTCP(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/net/mptcp/enabled")
	if err != nil || strings.TrimSpace(string(b)) != "1" {
		t.Skipf("this kernel has no Multipath TCP: %q, %v", b, err)
	}
}

// kernelLab is a lab whose kernels use both legs of the client.
func kernelLab(t *testing.T) *lab {
	l := crossing(t, []leg{{mbit: 50}, {mbit: 50}}, []leg{{}})
	for _, ns := range []string{"c", "s"} {
		l.do(ns, "ip mptcp limits set subflow 4 add_addr_accepted 4")
	}
	l.do("c", "ip mptcp endpoint add "+clientIP(2).String()+" dev c2 subflow")
	return l
}

// The kernel's own Multipath TCP is the other side, in both roles.
func TestNamespaceKernelMPTCP(t *testing.T) {
	needKernelMPTCP(t)
	both := job{Down: true, Up: true, For: time.Second}
	for _, tc := range []struct {
		name           string
		server, client order
		want           extapi.Carrier // at both ends
	}{
		{"our ModeAuto listener, kernel client", order{}, kernelEnd, extapi.CarrierKernel},
		{"our ModeKernel listener, kernel client", order{Mode: mptcp.ModeKernel}, kernelEnd, extapi.CarrierKernel},
		{"our ModeAuto listener, plain client", order{}, order{Stack: "net", Mode: mptcp.ModeTCP}, extapi.CarrierTCP},
		{"our ModeKernel dialer, kernel listener", kernelEnd, order{Mode: mptcp.ModeKernel}, extapi.CarrierKernel},
		{"our ModeKernel dialer, plain listener", order{Stack: "net", Mode: mptcp.ModeTCP}, order{Mode: mptcp.ModeKernel}, extapi.CarrierTCP},
		{"our ModeKernel dialer, our listener", order{}, order{Mode: mptcp.ModeKernel}, extapi.CarrierKernel},
		{"our ModeTCP dialer, our listener", order{}, order{Mode: mptcp.ModeTCP}, extapi.CarrierTCP},
		{"ModeAuto without discovery", order{}, order{Discovery: mptcp.DiscoverNone}, extapi.CarrierKernel},
		{"ModeStream, kernel listener", kernelEnd, order{Mode: mptcp.ModeStream}, extapi.CarrierTCP},
		{"ModeStream, our listener", order{}, order{Mode: mptcp.ModeStream}, extapi.CarrierStream},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := kernelLab(t)
			server := l.serve("s", tc.server)
			tc.client.Addr, tc.client.Job = at(serverIP(1)), both
			if tc.server.Stack == "net" && tc.client.Mode == mptcp.ModeStream {
				// Its preface would be taken for a job: the server's report of that is no failure of ours.
				server = nil
			}
			client := l.dial(tc.client)
			require.Equal(t, tc.want, client.wait(time.Second, "connected").Info.Carrier)
			if server == nil {
				return
			}
			c, s := finish(t, 20*time.Second, client, server)
			require.Equal(t, tc.want, c.Info.Carrier)
			require.Equal(t, tc.want, s.Info.Carrier)
			t.Logf("down %.1f, up %.1f Mbit/s", c.Received.rate(), s.Received.rate())
			if _, two := shares(l); tc.want == extapi.CarrierKernel {
				require.Greater(t, two, uint64(mib), "the kernel used its second path")
			}
		})
	}
}

// Discovery against a listener of the kernel's: multipath all the same, through the kernel.
func TestNamespaceDiscoveryMeetsKernelMPTCP(t *testing.T) {
	needKernelMPTCP(t)
	l := kernelLab(t)
	l.serve("s", order{Role: "greeter", Stack: "net"})
	client := l.start("c", order{Role: "guest", Addr: at(serverIP(1)), URLs: []string{"1", "2", "3"}})
	client.wait(20*time.Second, "done")
	for i, f := range fetched(client) {
		t.Logf("dial %d: %v in %v", i+1, f.Carrier, f.Took)
		require.Equal(t, extapi.CarrierKernel, f.Carrier)
		require.Less(t, f.Took, time.Second)
	}
}

// fetched are the outcomes that a program has reported.
func fetched(p *program) (list []fetch) {
	all, _, _ := p.look()
	for _, r := range all {
		if r.Kind == "fetched" {
			list = append(list, r.Fetch)
		}
	}
	return list
}
