//go:build linux && !mptcp_portable

package netmon

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// inside tells the test binary that it runs in the namespace that its parent made.
const inside = "NETMON_INSIDE_NAMESPACE"

func ip(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	require.NoError(t, err, "ip %v: %s", args, out)
}

// The kernel's own messages, in a network namespace of this test's.
func TestInNamespace(t *testing.T) {
	if os.Getenv(inside) != "" {
		followTheKernel(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("making a network namespace needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("making a network namespace needs ip(8): " + err.Error())
	}
	ns := fmt.Sprintf("netmon-%d", os.Getpid())
	if out, err := exec.Command("ip", "netns", "add", ns).CombinedOutput(); err != nil {
		t.Skipf("no network namespace can be made here: %v: %s", err, out)
	}
	t.Cleanup(func() { ip(t, "netns", "del", ns) })
	cmd := exec.CommandContext(t.Context(), "ip", "netns", "exec", ns, os.Args[0], "-test.run=^TestInNamespace$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), inside+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// find returns the entry of an address, or false.
func find(w *Watcher, addr string) (Addr, bool) {
	all := w.Addrs()
	i := slices.IndexFunc(all, func(a Addr) bool { return a.Local.Addr() == netip.MustParseAddr(addr) })
	if i < 0 {
		return Addr{}, false
	}
	return all[i], true
}

func followTheKernel(t *testing.T) {
	ip(t, "link", "set", "lo", "up")
	ip(t, "link", "add", "left", "type", "veth", "peer", "name", "right")
	ip(t, "link", "set", "left", "up")
	ip(t, "link", "set", "right", "up")
	left, err := net.InterfaceByName("left")
	require.NoError(t, err)

	w := New(Options{})
	defer w.Close()
	require.NoError(t, w.Mode())
	require.Empty(t, w.Snapshot())
	ticks := w.Changes()
	until := func(why string, cond func() bool) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for !cond() {
			select {
			case <-ticks:
			case <-deadline:
				require.Fail(t, "never: "+why, "%+v", w.Addrs())
			}
		}
	}
	listed := func(addr string) func() bool {
		return func() bool { _, ok := find(w, addr); return ok }
	}
	gone := func(addr string) func() bool {
		return func() bool { _, ok := find(w, addr); return !ok }
	}

	ip(t, "addr", "add", "10.9.0.1/24", "dev", "left")
	until("an address comes", listed("10.9.0.1"))
	a, _ := find(w, "10.9.0.1")
	require.Equal(t, Addr{Candidate: extapi.Candidate{
		Local: netip.MustParseAddrPort("10.9.0.1:0"), Interface: "left", IfIndex: left.Index, Kind: extapi.KindEthernet,
	}}, a)
	require.True(t, Announceable(a))
	require.True(t, w.HasRoute(left.Index, netip.MustParseAddr("10.9.0.77")))
	require.False(t, w.HasRoute(left.Index, netip.MustParseAddr("192.0.2.1")))

	ip(t, "route", "add", "default", "via", "10.9.0.2")
	until("a default route comes", func() bool { a, _ := find(w, "10.9.0.1"); return a.DefaultRoute && a.WayOut })
	require.True(t, w.HasRoute(left.Index, netip.MustParseAddr("192.0.2.1")))

	ip(t, "addr", "add", "2001:db8:9::1/64", "dev", "left")
	until("an IPv6 address passes duplicate address detection", listed("2001:db8:9::1"))

	ip(t, "link", "add", "switch", "type", "bridge")
	ip(t, "addr", "add", "172.31.0.1/24", "dev", "switch")
	ip(t, "link", "set", "right", "master", "switch")
	ip(t, "link", "set", "switch", "up")
	until("a bridge comes", listed("172.31.0.1"))
	b, _ := find(w, "172.31.0.1")
	require.True(t, b.Bridge)
	require.False(t, Announceable(b))

	ip(t, "addr", "del", "10.9.0.1/24", "dev", "left")
	until("an address goes", gone("10.9.0.1"))
	ip(t, "link", "set", "left", "down")
	until("a link goes", gone("2001:db8:9::1"))
	until("its other end, too", gone("172.31.0.1"))

	require.Equal(t, w.Snapshot(), w.Snapshot())
	require.NoError(t, w.Close())
	for range ticks { // ends, since the channel is closed
	}
}

// A socket that fails is replaced, and what may have happened meanwhile is read.
func TestRtnetlinkReopens(t *testing.T) {
	src, err := openEvents(Options{})
	if err != nil {
		t.Skipf("no rtnetlink here: %v", err)
	}
	r := src.(*rtnetlink)
	r.conn.Close()
	require.NoError(t, r.wait(), "state unknown: read anew")
	r.settle(time.Millisecond)
	_, err = r.read()
	require.NoError(t, err)
	r.close()
	r.close()
	require.ErrorIs(t, r.wait(), errClosed)
	r.settle(time.Hour)
}

func TestRtnetlinkCloseEndsWait(t *testing.T) {
	src, err := openEvents(Options{})
	if err != nil {
		t.Skipf("no rtnetlink here: %v", err)
	}
	ended := make(chan error)
	go func() {
		for {
			if err := src.wait(); err != nil {
				ended <- err
				return
			}
		}
	}()
	time.Sleep(10 * time.Millisecond)
	src.close()
	require.ErrorIs(t, <-ended, errClosed)
}
