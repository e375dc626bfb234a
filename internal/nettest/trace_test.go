package nettest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
)

// commandLine builds cmd/mptcp and returns its path.
func commandLine(t *testing.T) string {
	t.Helper()
	need(t, "go")
	bin := filepath.Join(t.TempDir(), "mptcp")
	out, err := exec.Command("go", "build", "-o", bin, "github.com/mptcp-go/mptcp/cmd/mptcp").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return bin
}

// `mptcp trace` against the kernel's server over two paths: tshark, which knows nothing of our code, finds every option in
// the file and nothing to complain about, checksums included.
func TestNamespaceTrace(t *testing.T) {
	needKernelMPTCP(t)
	need(t, "tshark")
	bin := commandLine(t)
	for _, family := range []int{4, 6} {
		t.Run(fmt.Sprintf("IPv%d", family), func(t *testing.T) {
			two := []leg{{family: family, mbit: 40}, {family: family, mbit: 40}} // slow enough for the join to find a transfer
			l := crossing(t, two, two)
			for _, ns := range []string{"c", "s"} {
				l.do(ns, "ip mptcp limits set subflow 4 add_addr_accepted 4")
			}
			server, other := serverIP(1), serverIP(2)
			if family == 6 {
				server, other = serverIP6(1), serverIP6(2)
			}
			l.do("s", fmt.Sprintf("ip mptcp endpoint add %v dev s2 signal", other))
			l.serve("s", order{Role: "web", Mode: mptcp.ModeKernel})
			file, copied := filepath.Join(t.TempDir(), "trace.pcap"), filepath.Join(t.TempDir(), "copy")
			const size = mib + 5
			cmd := l.command("c", bin, "trace", "-w", file, "-o", copied, fmt.Sprintf("http://%s/%d", at(server), size))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, "%s\n%s", out, stderr.String())
			got, err := os.ReadFile(copied)
			require.NoError(t, err)
			require.Len(t, got, size)
			require.Equal(t, -1, differs(0, got))

			text := string(out)
			for _, line := range []string{
				`(?m)^ +0\.\d{6}  path 1 is .* > `,
				`(?m)^ +0\.\d{6}  1 > SYN         seq 0 win \d+, MSS \d+, .*MP_CAPABLE v1`,
				`(?m) 1 < SYN,ACK     seq 0 ack 1 win \d+, .*MP_CAPABLE v1 flags=0x01 len=12$`,
				`(?m) 1 < .* ADD_ADDR id=\d+ addr=` + regexp.QuoteMeta(other.String()),
				`(?m) [2-9] > SYN .*MP_JOIN SYN id=`, `(?m) [2-9] < SYN,ACK .*MP_JOIN SYN/ACK`,
				`(?m) \* connection \d+: conn_established .*carrier=wire`, `(?m) \* connection \d+: subflow_established path=2`, `conn_closed\n`,
			} {
				require.Regexp(t, line, text)
			}
			segments := len(regexp.MustCompile(`(?m)^ +\d+\.\d{6}  \d+ [<>] `).FindAllString(text, -1))
			require.Contains(t, stderr.String(), fmt.Sprintf("%d segments,", segments))
			for _, counter := range []string{`tcp +SegsOut +\d+`, `mptcp +MPCapableSYNTX +1`, `mptcp +MPCapableSYNACKRX +1`, `mptcp +MPJoinSynAckRx +\d`, `mptcp +AddAddr +1`, `mptcp +EchoAddTx +1`} {
				require.Regexp(t, `(?m)^  `+counter+`$`, stderr.String())
			}

			pcap := &capture{l: l, ns: "c", file: file}
			pcap.cmd = exec.Command("true")
			require.NoError(t, pcap.cmd.Run()) // there is nothing to stop
			frames := strings.Split(strings.TrimSpace(pcap.tshark("-T", "fields", "-e", "tcp.srcport", "-e", "tcp.options.mptcp.subtype")), "\n")
			require.Len(t, frames, segments)
			seen := map[string]bool{}
			for _, f := range frames {
				from, subtypes, _ := strings.Cut(f, "\t")
				for _, s := range strings.Split(subtypes, ",") {
					seen[fmt.Sprint(from == fmt.Sprint(port), s)] = true
				}
			}
			for _, subtype := range []string{"0", "1", "2", "3"} { // MP_CAPABLE, MP_JOIN, DSS, ADD_ADDR
				require.True(t, seen["true"+subtype] && seen["false"+subtype], "subtype %s in both directions: %v", subtype, seen)
			}
			require.Empty(t, pcap.tshark("-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE",
				"-Y", "_ws.malformed || tcp.checksum.status!=1 || (ip && ip.checksum.status!=1)", "-T", "fields", "-e", "frame.number"))
			pcap.judge()
		})
	}
}
