package mptcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire"
)

var (
	swallowed = wire.Result{Fallback: extapi.FallbackBlackhole}
	multipath = wire.Result{Fallback: extapi.FallbackNone}
)

// A destination is left alone for an hour, then for two when it has not got better, up to 64.
func TestBlackholeDoubles(t *testing.T) {
	var b blackholes
	a := netip.MustParseAddr("198.51.100.7")
	now := time.Unix(1e9, 0)
	require.False(t, b.has(a, now))
	for _, hours := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 64, 64} {
		b.learn(a, swallowed, now)
		end := now.Add(hours * time.Hour)
		require.Equal(t, []Blackhole{{a, end}}, b.list(now))
		require.True(t, b.has(a, end.Add(-1)))
		require.False(t, b.has(a, end), "then it is tried again")
		require.Empty(t, b.list(end))
		now = end
	}
	require.False(t, b.has(netip.MustParseAddr("198.51.100.8"), now), "other destinations are none")
}

// What says nothing of the path changes nothing; one connection that is multipath ends it.
func TestBlackholeLearns(t *testing.T) {
	var b blackholes
	a := netip.MustParseAddr("2001:db8::7")
	now := time.Unix(1e9, 0)
	b.learn(a, wire.Result{Fallback: extapi.FallbackPeer}, now)
	require.Empty(t, b.list(now), "a peer without Multipath TCP is no blackhole")
	b.learn(a, swallowed, now)
	b.learn(a, swallowed, now.Add(time.Minute)) // a dial that had begun before
	b.learn(a, wire.Result{Fallback: extapi.FallbackPeer}, now.Add(time.Minute))
	require.Equal(t, []Blackhole{{a, now.Add(time.Hour)}}, b.list(now.Add(time.Minute)))
	b.learn(a, multipath, now.Add(2*time.Minute))
	require.Empty(t, b.list(now.Add(2*time.Minute)))
	b.learn(a, swallowed, now.Add(3*time.Minute))
	require.Equal(t, now.Add(time.Hour+3*time.Minute), b.list(now.Add(3 * time.Minute))[0].Until, "and begins anew")
}

// The memory is bounded: the one that is due first makes room. The list is in order.
func TestBlackholesAreBounded(t *testing.T) {
	var b blackholes
	now := time.Unix(1e9, 0)
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
	const more = 10
	for i := range maxBlackholes + more {
		b.learn(address(i), swallowed, now.Add(time.Duration(i)*time.Second))
	}
	list := b.list(now)
	require.Len(t, list, maxBlackholes)
	for i, h := range list {
		require.Equal(t, address(i+more), h.Remote)
	}
}

// They are forgotten when the program says so, and when this host is in another network.
func TestBlackholesAreForgotten(t *testing.T) {
	tr := newTransport(t)
	require.Empty(t, tr.Blackholes())
	tr.ForgetBlackholes() // before the first use
	s := tr.use()
	a := netip.MustParseAddr("203.0.113.9")
	fall := func() {
		s.blackholes.learn(a, swallowed, time.Now())
		require.Len(t, tr.Blackholes(), 1)
		require.Equal(t, a, tr.Blackholes()[0].Remote)
	}
	fall()
	tr.ForgetBlackholes()
	require.Empty(t, tr.Blackholes())

	fall()
	net := &movingNetwork{Network: s.net}
	s.net = net
	book := newAddrBook(s, nil)
	for _, step := range []struct {
		addr   string
		forget bool
	}{{"10.0.0.1:0", true}, {"10.0.0.2:0", false}, {"10.9.0.2:0", true}} {
		net.addrs = []extapi.Candidate{{Interface: "eth0", IfIndex: 1, Local: netip.MustParseAddrPort(step.addr)}}
		fall()
		book.refresh()
		if step.forget {
			require.Empty(t, tr.Blackholes(), step.addr)
		} else {
			require.Len(t, tr.Blackholes(), 1, "the same network: %s", step.addr)
		}
	}
}

// movingNetwork has the addresses that the test gives it.
type movingNetwork struct {
	Network
	addrs []extapi.Candidate
}

func (n *movingNetwork) Addrs() ([]extapi.Candidate, error) { return n.addrs, nil }
