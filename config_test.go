package mptcp

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/scheduler"
)

func TestZeroConfigResolvesToDefaults(t *testing.T) {
	var c Config
	s := c.resolve()
	require.Equal(t, 200*time.Millisecond, s.PrefaceTimeout)
	require.Equal(t, 10*time.Second, s.HandshakeTimeout)
	require.Equal(t, 5*time.Second, s.JoinTimeout)
	require.Equal(t, 60*time.Second, s.NoPathTimeout)
	require.Equal(t, 60*time.Second, s.CloseTimeout)
	require.Equal(t, 6<<20, s.SendBuffer)
	require.Equal(t, 6<<20, s.RecvBuffer)
	require.Equal(t, scheduler.MinRTT.Name(), s.Scheduler.Name())
	require.NotNil(t, s.Logger)
	require.Equal(t, Config{}, c, "the package never writes to a Config")
}

func TestSendBufferIsNeverBelowRecvBuffer(t *testing.T) {
	s := (&Config{SendBuffer: 128 << 10, RecvBuffer: 1 << 20}).resolve()
	require.Equal(t, 1<<20, s.SendBuffer, "RFC 8684 section 3.3.5")
	s = (&Config{SendBuffer: 2 << 20, RecvBuffer: 1 << 20}).resolve()
	require.Equal(t, 2<<20, s.SendBuffer)
	s = (&Config{RecvBuffer: 1}).resolve()
	require.Equal(t, minBuffer, s.RecvBuffer)
}

func TestNegativeDurationsKeepTheirMeaning(t *testing.T) {
	s := (&Config{NoPathTimeout: -1, IdlePathTimeout: -1, CloseTimeout: -1}).resolve()
	require.Negative(t, s.NoPathTimeout)
	require.Negative(t, s.IdlePathTimeout)
	require.Zero(t, s.CloseTimeout)
}

func TestCloneSharesNothing(t *testing.T) {
	cost := 1
	c := &Config{
		Peers: []string{"a"}, Secret: []byte("s"),
		Paths: extapi.PathPolicy{Rules: []extapi.PathRule{{PathMatch: extapi.PathMatch{MaxCost: &cost}}}},
	}
	d := c.Clone()
	require.Equal(t, c, d)
	d.Peers[0], d.Secret[0], *d.Paths.Rules[0].MaxCost = "b", 'x', 2
	require.Equal(t, "a", c.Peers[0])
	require.Equal(t, byte('s'), c.Secret[0])
	require.Equal(t, 1, cost)
	require.Nil(t, (*Config)(nil).Clone())
}

func TestContextOverridesConfig(t *testing.T) {
	ctx := WithScheduler(WithPathPolicy(t.Context(), extapi.Only("eth1")), scheduler.RoundRobin)
	s := (&Config{Paths: extapi.Only("eth0")}).resolve()
	s.override(ctx)
	require.Equal(t, extapi.Only("eth1"), s.Paths)
	require.Equal(t, scheduler.RoundRobin.Name(), s.Scheduler.Name())
	s = (&Config{}).resolve()
	s.override(WithScheduler(t.Context(), nil))
	require.NotNil(t, s.Scheduler)
}

func TestOpErrorsHaveOneWrapping(t *testing.T) {
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	require.NoError(t, opError("read", local, local, nil))
	require.Equal(t, io.EOF, opError("read", local, local, io.EOF), "readers compare it")

	inner := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	err := opError("read", local, local, inner)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "mptcp", op.Net)
	require.NotContains(t, err.Error(), "tcp 127.0.0.1:1->127.0.0.1:1: read tcp")
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.Equal(t, err, opError("read", local, local, err))
}

func TestDialErrorsShowEveryPath(t *testing.T) {
	a := &PathError{Op: "dial", Remote: netip.MustParseAddrPort("192.0.2.1:80"), Err: syscall.ECONNREFUSED}
	b := &PathError{Op: "dial", Local: netip.MustParseAddrPort("192.0.2.9:5"), Remote: netip.MustParseAddrPort("192.0.2.2:80"), Err: os.ErrDeadlineExceeded}
	err := opError("dial", nil, dialledAddr{"tcp", "example.com:80"}, joinPaths([]error{a, b}))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var p *PathError
	require.ErrorAs(t, err, &p)
	require.Equal(t, a, p)
	require.Equal(t, "dial mptcp example.com:80: dial 192.0.2.1:80: connection refused; dial 192.0.2.9:5->192.0.2.2:80: i/o timeout", err.Error())
	require.False(t, isTimeout(err), "one path was refused")
	var ne net.Error
	require.ErrorAs(t, opError("dial", nil, nil, b), &ne)
	require.True(t, ne.Timeout())
	require.Equal(t, error(a), joinPaths([]error{a}))
	require.NoError(t, joinPaths(nil))
}

func TestResetErrorIsConnectionReset(t *testing.T) {
	err := error(&ResetError{Reason: ResetProhibited, Remote: true})
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.NotErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestMemoryBudget(t *testing.T) {
	b := newBudget(100)
	require.True(t, b.Grab(60))
	require.False(t, b.Grab(41))
	require.True(t, b.Grab(40))
	b.Free(100)
	require.True(t, b.Grab(100))
	require.Positive(t, newBudget(0).limit)
}

func TestUnknownNetworks(t *testing.T) {
	for name, want := range map[string]target{
		"tcp": {network: "tcp"}, "tcp4": {network: "tcp4"}, "tcp6": {network: "tcp6"},
		"mptcp": {network: "tcp", require: true}, "mptcp4": {network: "tcp4", require: true}, "mptcp6": {network: "tcp6", require: true},
	} {
		n, req, err := parseNetwork(name)
		require.NoError(t, err)
		require.Equal(t, want, target{network: n, require: req})
	}
	for _, name := range []string{"", "mp", "udp", "unix", "mpudp", "tcp5"} {
		_, _, err := parseNetwork(name)
		var unknown net.UnknownNetworkError
		require.ErrorAs(t, err, &unknown, name)
	}
}

func TestHostsThatNeedNoLookup(t *testing.T) {
	v4, v6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	for _, c := range []struct {
		network, host string
		want          []netip.Addr
	}{
		{"tcp", "", []netip.Addr{v4}},
		{"tcp6", "", []netip.Addr{v6}},
		{"tcp", "0.0.0.0", []netip.Addr{v4}},
		{"tcp", "::", []netip.Addr{v6, v4}},
		{"tcp4", "::", []netip.Addr{v4}},
		{"tcp", "::ffff:127.0.0.1", []netip.Addr{v4}},
		{"tcp", "fe80::1%eth0", []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}},
	} {
		a := target{network: c.network, host: c.host}
		got, err := a.resolve(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%s %q", c.network, c.host)
	}
	_, err := target{network: "tcp6", host: "127.0.0.1"}.resolve(t.Context(), nil)
	var ae *net.AddrError
	require.ErrorAs(t, err, &ae)
}

func TestLookupKeepsOrderAndFamily(t *testing.T) {
	lookup := func(_ context.Context, network, host string) ([]netip.Addr, error) {
		require.Equal(t, "ip6", network)
		require.Equal(t, "example.com", host)
		return []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::2")}, nil
	}
	got, err := target{network: "tcp6", host: "example.com"}.resolve(t.Context(), lookup)
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")}, got)
}
