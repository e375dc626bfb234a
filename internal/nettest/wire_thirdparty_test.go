package nettest

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// mptcpized runs a program on the kernel's Multipath TCP that knows only TCP.
var mptcpized = []string{"mptcpize", "run"}

// background runs a command in a namespace until the test ends.
func (l *lab) background(ns string, args ...string) {
	l.t.Helper()
	cmd := l.command(ns, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(l.t, cmd.Start())
	l.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(3*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		_ = cmd.Wait() // a signal ends it, which is no failure
		if l.t.Failed() {
			l.t.Logf("%v: %s", args, said.String())
		}
	})
}

// listens waits until somebody listens at a TCP port of a namespace.
func (l *lab) listens(ns string, port int) {
	l.t.Helper()
	l.eventually(5*time.Second, fmt.Sprintf("port %d of %s", port, ns), func() bool {
		return strings.Contains(l.do(ns, "ss -Hltn"), fmt.Sprintf(":%d ", port))
	})
}

// iperfed is what of `iperf3 --json` is looked at.
type iperfed struct {
	Error string
	End   struct {
		Received struct {
			Rate float64 `json:"bits_per_second"`
		} `json:"sum_received"`
	}
}

// iperf3, made to use the kernel's Multipath TCP, on one side; on the other one iperf3 over plain TCP behind our forwarder,
// which takes or opens the Multipath TCP connections in user space. Both paths of the client carry data, both ways.
func TestNamespaceWireMptcpizedIperf(t *testing.T) {
	need(t, "iperf3", "mptcpize", "ss")
	needKernelMPTCP(t)
	bin := commandLine(t)
	const iperf, loopback = 5201, "127.0.0.1"
	narrow := leg{mbit: 50}
	for _, tc := range []struct {
		name   string
		theirs string // the host with the kernel's Multipath TCP
		start  func(l *lab) (client []string)
		joins  string // the kernel's counter of them
	}{
		{"client, our listener", "c", func(l *lab) []string {
			l.do("c", "ip mptcp endpoint add "+clientIP(2).String()+" dev c2 subflow")
			l.background("s", "iperf3", "-s", "-B", loopback)
			l.listens("s", iperf)
			l.background("s", bin, "forward", "-reverse", "-mode", "wire", "-v", "-server-speaks-first", "-listen", at(serverIP(1)), "-to", fmt.Sprintf("%s:%d", loopback, iperf))
			l.listens("s", port)
			return append(mptcpized, "iperf3", "-c", serverIP(1).String(), "-p", fmt.Sprint(port))
		}, "MPJoinSynAckRx"},
		{"server, our dialer", "s", func(l *lab) []string {
			l.background("s", append(mptcpized, "iperf3", "-s", "-p", fmt.Sprint(port))...)
			l.listens("s", port)
			l.background("c", bin, "forward", "-mode", "wire", "-require", "-listen", fmt.Sprintf("%s:%d", loopback, iperf), "-to", at(serverIP(1)))
			l.listens("c", iperf)
			return []string{"iperf3", "-c", loopback, "-p", fmt.Sprint(iperf)}
		}, "MPJoinAckRx"},
	} {
		for _, way := range []string{"upload", "download"} {
			t.Run(tc.name+", "+way, func(t *testing.T) {
				l := crossing(t, []leg{narrow, narrow}, []leg{{}})
				for _, ns := range []string{"c", "s"} {
					l.do(ns, "ip mptcp limits set subflow 4 add_addr_accepted 4")
				}
				args := append(tc.start(l), "--json", "-t", "2")
				if way == "download" {
					args = append(args, "-R")
				}
				out, err := l.command("c", append([]string{"timeout", "20"}, args...)...).CombinedOutput()
				require.NoError(t, err, "%s", out)
				var got iperfed
				require.NoError(t, json.Unmarshal(out, &got), "%s", out)
				require.Empty(t, got.Error)
				t.Logf("%.1f Mbit/s over 2 x 50, as the receiver saw it", got.End.Received.Rate/1e6)
				require.Greater(t, got.End.Received.Rate, 10e6, "%s", out) // on a busy machine; what it reaches is for benchmarks
				counted := l.mib(tc.theirs)
				require.Positive(t, counted[tc.joins], nonzero(counted))
				for _, iface := range []string{"c1", "c2"} {
					require.Greater(t, l.carried("c", iface), uint64(128*kib), iface)
				}
				// When its time is over iperf3 closes with data unread: MP_FASTCLOSE says so, one way or the other.
				l.requireClean(tc.theirs, "MPFastcloseRx", "MPFastcloseTx", "MPRstRx", "MPRstTx")
			})
		}
	}
}

// Our HTTP client asks nginx, which the kernel's Multipath TCP serves.
func TestNamespaceWireMptcpizedNginx(t *testing.T) {
	need(t, "nginx", "mptcpize", "ss")
	needKernelMPTCP(t)
	cert, key := certificate(t)
	const size = 8*mib + 5
	for _, tc := range []struct{ scheme, proto, port string }{{"http", "HTTP/1.1", "7080"}, {"https", "HTTP/1.1", "7443"}, {"https", "HTTP/2.0", "7444"}} {
		t.Run(tc.scheme+", "+tc.proto, func(t *testing.T) {
			l := crossing(t, []leg{{mbit: 80}, {mbit: 80}}, []leg{{}})
			l.do("s", "ip mptcp limits set subflow 4")
			sum, _ := l.nginx(cert, key, size, mptcpized...)
			url := fmt.Sprintf("%s://%s/file", tc.scheme, net.JoinHostPort(webAddr.String(), tc.port))
			client := l.start("c", order{Role: "fetcher", Mode: mptcp.ModeWire, Cert: cert, URLs: []string{url, url}})
			client.wait(20*time.Second, "done")
			list := fetched(client)
			require.Len(t, list, 2)
			for _, f := range list {
				t.Logf("%s, %d bytes in %v", f.Proto, f.Bytes, f.Took)
				require.Equal(t, 200, f.Status)
				require.Equal(t, tc.proto, f.Proto)
				require.EqualValues(t, size, f.Bytes)
				require.Equal(t, sum, f.SHA256)
				require.Equal(t, extapi.CarrierWire, f.Carrier)
			}
			counted := l.mib("s")
			require.Equal(t, 2, counted["MPCapableACKRX"], nonzero(counted))
			require.Equal(t, 2, counted["MPJoinAckRx"], nonzero(counted))
			require.Greater(t, l.carried("c", "c2"), uint64(128*kib))
			l.requireClean("s")
		})
	}
}
