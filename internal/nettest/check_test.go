package nettest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/internal/netlab"
	"github.com/mptcp-go/mptcp/internal/onpath"
)

// checked is the JSON of `mptcp check`.
type checked struct {
	Paths []struct {
		Interface string
		Local     netip.Addr
		Verdict   string
		Findings  []struct{ Check, Status, Says, Do string }
	}
}

// status is a finding of the first path.
func (c checked) status(name string) (status, says string) {
	for _, f := range c.Paths[0].Findings {
		if f.Check == name {
			return f.Status, f.Says
		}
	}
	return "", ""
}

// check runs `mptcp check` in the client's namespace; ok is its exit code.
func (l *lab) check(bin string, args ...string) (c checked, ok bool) {
	l.t.Helper()
	cmd := l.command("c", append([]string{bin, "check", "-json", "-timeout", "5s"}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		require.Equal(l.t, 1, exit.ExitCode(), "%s", exit.Stderr)
	} else {
		require.NoError(l.t, err)
	}
	require.NoError(l.t, json.Unmarshal(out, &c), "%s", out)
	require.NotEmpty(l.t, c.Paths)
	return c, err == nil
}

// Servers of every kind over two clean paths in both families. The kernel's server has nothing to complain about.
func TestNamespaceCheck(t *testing.T) {
	needKernelMPTCP(t)
	bin := commandLine(t)
	for _, tc := range []struct {
		name    string
		server  order
		verdict string
		status  map[string]string
	}{
		{"kernel", order{Role: "web", Mode: mptcp.ModeKernel}, "MPTCP works", nil},
		{"ours", order{Role: "web", Mode: mptcp.ModeWire}, "MPTCP works", nil},
		{"plain", order{Role: "web", Mode: mptcp.ModeTCP}, "plain TCP only", map[string]string{"MP_CAPABLE in SYN": "failed"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			both := leg{family: 46}
			l := crossing(t, []leg{both, both}, []leg{both})
			l.do("s", "ip mptcp limits set subflow 4")
			l.serve("s", tc.server)
			for _, addr := range []netip.Addr{serverIP(1), serverIP6(1)} {
				got, ok := l.check(bin, "-send", "http", at(addr))
				require.Equal(t, tc.status == nil, ok, "%+v", got)
				require.Len(t, got.Paths, 2)
				for i, p := range got.Paths {
					require.Equal(t, fmt.Sprintf("c%d", i+1), p.Interface)
					require.Equal(t, addr.Is4(), p.Local.Is4())
					require.Equal(t, tc.verdict, p.Verdict, "%+v", p)
					for _, f := range p.Findings {
						want := "ok"
						if s, ok := tc.status[f.Check]; ok {
							want = s
						}
						require.Equal(t, want, f.Status, "%+v", f)
					}
				}
			}
			if tc.server.Mode == mptcp.ModeKernel {
				l.requireClean("s")
			}
			l.requireNoResets("c")
		})
	}
}

// The kernel's limit of subflows is told from a box, and a request that nobody sends from a failure.
func TestNamespaceCheckLimits(t *testing.T) {
	needKernelMPTCP(t)
	bin := commandLine(t)
	l := crossing(t, []leg{{}}, []leg{{}})
	l.do("s", "ip mptcp limits set subflow 0")
	l.serve("s", order{Role: "web", Mode: mptcp.ModeKernel})
	got, ok := l.check(bin, "-send", "http", at(serverIP(1)))
	require.True(t, ok)
	status, says := got.status("MP_JOIN")
	require.Equal(t, "note", status)
	require.Contains(t, says, "takes no further subflow (MP_TCPRST reason 3)")

	got, ok = l.check(bin, at(serverIP(1)))
	require.True(t, ok)
	status, says = got.status("data with DSS")
	require.Equal(t, "ok", status)
	require.Contains(t, says, "the end of the connection was acknowledged")
	status, _ = got.status("MP_JOIN")
	require.Equal(t, "untested", status)

	// A packet filter on the way.
	l.do("r", "nft add rule inet lab pass tcp option mptcp exists tcp flags & syn == syn drop")
	got, ok = l.check(bin, "-send", "http", at(serverIP(1)))
	require.False(t, ok)
	status, says = got.status("MP_CAPABLE in SYN")
	require.Equal(t, "failed", status)
	require.Contains(t, says, "2 SYNs with MP_CAPABLE got lost")
}

// Boxes between us and the kernel's server.
func TestNamespaceCheckBoxes(t *testing.T) {
	needKernelMPTCP(t)
	bin := commandLine(t)
	for _, tc := range []struct{ box, check, status, says, verdict string }{
		{"renumber", "MP_JOIN", "ok", "", "MPTCP works"},
		{"strip=syn", "MP_CAPABLE in SYN", "failed", "a box on the way takes MP_CAPABLE off", "plain TCP only"},
		{"strip=synack", "MP_CAPABLE in SYN/ACK", "failed", "as only one that speaks MPTCP does", "plain TCP only"},
		{"forward:strip=nosyn", "data with DSS", "failed", "without DATA_ACK", "connections begin as MPTCP and fall back to plain TCP"},
		{"drop-join", "MP_JOIN", "failed", "SYNs with MP_JOIN got lost", "MPTCP works, not all of it"},
		{"strip-add-addr", "ADD_ADDR", "failed", "not echoed", "MPTCP works, not all of it"},
		{"alg=mptcp-check/somebody-else", "checksummed payload", "failed", "our payload changes", "MPTCP works, not all of it"},
		{"no-holes", "sequence numbers", "note", "nothing tells of data behind a gap", "MPTCP works"},
		{"early-ack", "who answers", "failed", "a proxy acknowledges data", "MPTCP works, not all of it"},
	} {
		t.Run(tc.box, func(t *testing.T) {
			l := newLab(t, "c", "s")
			l.do("s", "ip mptcp limits set subflow 4")
			element, err := onpath.Named(tc.box, nil)
			require.NoError(t, err)
			path, err := netlab.Start(netlab.Config{
				Near:     netlab.End{Namespace: l.prefix + "c", Addrs: []netip.Prefix{netip.MustParsePrefix("10.99.0.1/24")}},
				Far:      netlab.End{Namespace: l.prefix + "s", Addrs: []netip.Prefix{netip.MustParsePrefix("10.99.0.2/24")}},
				Elements: []onpath.Element{element},
			})
			require.NoError(t, err)
			t.Cleanup(func() { _ = path.Close() })
			l.serve("s", order{Role: "web", Mode: mptcp.ModeKernel})
			got, _ := l.check(bin, "-send", "http", at(netip.MustParseAddr("10.99.0.2")))
			require.Len(t, got.Paths, 1)
			status, says := got.status(tc.check)
			require.Equal(t, tc.status, status, "%+v", got)
			require.Contains(t, says, tc.says)
			require.Equal(t, tc.verdict, got.Paths[0].Verdict, "%+v", got)
		})
	}
}
