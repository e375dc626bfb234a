package nettest

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	xnettest "golang.org/x/net/nettest"

	mptcp "github.com/mptcp-go/mptcp"
)

// insideEnv tells a test that it runs in a namespace of TestNamespaceWireConn's.
const insideEnv = "MPTCP_NETTEST_INSIDE"

// What every net.Conn does (golang.org/x/net/nettest), with real raw sockets below: this binary runs again in a namespace,
// for that test alone.
func TestNamespaceWireConn(t *testing.T) {
	l := newLab(t, "c")
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := l.command("c", exe, "-test.run=^TestConnOverRawSockets$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestConnOverRawSockets")
}

func TestConnOverRawSockets(t *testing.T) {
	if os.Getenv(insideEnv) == "" {
		t.Skip("TestNamespaceWireConn runs this one, in a network namespace")
	}
	tr := &mptcp.Transport{}
	defer tr.Close()
	cfg := mptcp.Config{Mode: mptcp.ModeWire, RequireMultipath: true}
	l, err := (&mptcp.ListenConfig{Config: cfg, Transport: tr}).Listen(context.Background(), "tcp", "127.0.0.1:7000")
	require.NoError(t, err)
	defer l.Close()
	d := &mptcp.Dialer{Config: cfg, Transport: tr}
	xnettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if c1, err = d.DialContext(ctx, "tcp", l.Addr().String()); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			c1.Close()
			return nil, nil, nil, err
		}
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}
