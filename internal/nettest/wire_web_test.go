package nettest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// net/http over the wire carrier, between our ends and from a stream client, to one kind of listener.
func TestNamespaceWireWeb(t *testing.T) {
	cert, key := certificate(t)
	wire := order{Role: "web", Mode: mptcp.ModeWire}
	secure := order{Role: "web", Mode: mptcp.ModeWire, Cert: cert, Key: key}
	for _, tc := range []struct {
		name, scheme, proto string
		server              order
		mode                mptcp.Mode
		carrier             extapi.Carrier
	}{
		{"HTTP/1.1", "http", "HTTP/1.1", wire, mptcp.ModeWire, extapi.CarrierWire},
		{"HTTP/2 over TLS", "https", "HTTP/2.0", secure, mptcp.ModeWire, extapi.CarrierWire},
		{"stream client", "http", "HTTP/1.1", wire, mptcp.ModeStream, extapi.CarrierStream},
		{"plain client", "http", "HTTP/1.1", wire, mptcp.ModeTCP, extapi.CarrierTCP},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := webLab(t)
			l.serve("s", tc.server)
			const size = 2*mib + 5
			url := fmt.Sprintf("%s://%s/%d", tc.scheme, at(webAddr), size)
			client := l.start("c", order{Role: "fetcher", Mode: tc.mode, Cert: tc.server.Cert, URLs: []string{url, url}})
			client.wait(20*time.Second, "done")
			list := fetched(client)
			require.Len(t, list, 2)
			for _, f := range list {
				require.Equal(t, tc.proto, f.Proto)
				require.EqualValues(t, size, f.Bytes)
				require.Equal(t, patternSum(size), f.SHA256)
				require.Equal(t, tc.carrier, f.Carrier)
			}
		})
	}
}

// The kernel's MPTCP in curl asks our listener.
func TestNamespaceWireMptcpizedCurl(t *testing.T) {
	need(t, "curl", "mptcpize")
	needKernelMPTCP(t)
	cert, key := certificate(t)
	for _, scheme := range []string{"http", "https"} {
		for _, family := range []int{4, 6} {
			t.Run(fmt.Sprintf("%s, IPv%d", scheme, family), func(t *testing.T) {
				l := crossing(t, []leg{{family: family}}, []leg{{family: family}})
				server := order{Role: "web", Mode: mptcp.ModeWire}
				if scheme == "https" {
					server.Cert, server.Key = cert, key
				}
				l.serve("s", server)
				const size = 3*mib + 17
				out := filepath.Join(t.TempDir(), "out")
				b, err := l.command("c", "mptcpize", "run", "curl", "-sS", "--fail", "--max-time", "10", "--cacert", cert, "-o", out,
					"-w", "%header{x-carrier}", fmt.Sprintf("%s://%s/%d", scheme, at(serverAddr(family, 1)), size)).CombinedOutput()
				require.NoError(t, err, "%s", b)
				require.True(t, strings.HasSuffix(string(b), "wire"), "%s", b)
				got, err := os.ReadFile(out)
				require.NoError(t, err)
				require.Len(t, got, size)
				require.Equal(t, -1, differs(0, got))
				counted := l.mib("c")
				require.Equal(t, 1, counted["MPCapableSYNACKRX"], nonzero(counted))
				l.requireClean("c")
				l.requireNoResets("s")
			})
		}
	}
}

// A user without CAP_NET_RAW is told what is missing and how to get it.
func TestNamespaceWireWithoutPrivilege(t *testing.T) {
	need(t, "setpriv")
	text, err := json.Marshal(order{Role: "client", Mode: mptcp.ModeWire, Addr: "127.0.0.1:1"})
	require.NoError(t, err)
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", exe, "-test.run=^$")
	cmd.Env = append(os.Environ(), orderEnv+"="+string(text))
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	require.NoError(t, cmd.Start())
	late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	var r report
	require.NoError(t, json.NewDecoder(out).Decode(&r), "%s", stderr.Bytes())
	stdin.Close()
	require.NoError(t, cmd.Wait())
	require.Equal(t, "failed", r.Kind)
	require.Contains(t, r.Err, "raw sockets not permitted")
	require.Contains(t, r.Err, "setcap cap_net_raw+ep")
}
