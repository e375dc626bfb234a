package engine

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// adds is an ADD_ADDR of the peer with the right HMAC.
func adds(id uint8, addr string) move {
	return func(f *scriptFlow) {
		o := options.AddAddr{AddrID: id, Addr: netip.MustParseAddr(addr)}
		o.HMAC = f.s.c.keys.AddAddrHMAC(false, o)
		option(o)(f)
	}
}

func TestAddAddrIsEchoedAndJoined(t *testing.T) {
	s, f := single(t, true)
	s.c.SetLocalAddrs(s.now, twoAddrs)
	f.Sends(adds(5, "10.0.9.9"))
	f.Wants("the same option back, without the HMAC", "ADD_ADDR echo 5 10.0.9.9")
	s.wait(time.Second)
	require.NotEmpty(t, s.joins)
	found := false
	for _, j := range s.joins {
		found = found || j.Path.Remote == labAddr("10.0.9.9:80") && j.RemoteID == 5
	}
	require.True(t, found, "the announced address, on the port that is in use")
	require.Contains(t, s.names(), "addr_announced")
}

// Nothing follows a FIN: the answer takes another subflow.
func TestAddAddrOnAClosingSubflow(t *testing.T) {
	s, f, g := double(t, true)
	require.NoError(t, s.c.CloseFlow(s.now, g.id))
	g.Sends(adds(5, "10.0.9.9"))
	f.Wants("echo", "ADD_ADDR echo 5 10.0.9.9")
}

// "If a host receives an ADD_ADDR option for which it cannot validate the HMAC, it SHOULD silently ignore the option."
func TestAddAddrWithAWrongHMAC(t *testing.T) {
	s, f := single(t, true)
	o := options.AddAddr{AddrID: 5, Addr: netip.MustParseAddr("10.0.9.9")}
	o.HMAC = s.c.keys.AddAddrHMAC(true, o) // as if it were our own, reflected
	f.Sends(option(o))
	f.Wants("no echo")
	names := s.names()
	require.Contains(t, names, "protocol_violation")
	require.NotContains(t, names, "addr_announced")
	s.wait(time.Second)
	require.Empty(t, s.joins)
}

func TestAddAddrOfNowhere(t *testing.T) {
	for _, a := range []string{"224.0.0.1", "0.0.0.0", "127.0.0.1", "::1", "ff02::1", "169.254.1.1", "255.255.255.255"} {
		s, f := single(t, true)
		s.c.SetLocalAddrs(s.now, twoAddrs)
		s.wait(time.Second)
		s.joins = nil
		f.Sends(adds(5, a))
		s.wait(time.Second)
		for _, j := range s.joins {
			require.NotEqual(t, netip.MustParseAddr(a), j.Path.Remote.Addr())
		}
	}
}

func TestAddAddrFlood(t *testing.T) {
	s, f := single(t, true)
	for i := range 10000 {
		f.Sends(adds(uint8(i), netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}).String()))
	}
	require.LessOrEqual(t, len(f.log), maxAddsPerMinute, "answers are bounded")
	require.LessOrEqual(t, len(s.c.addrs.announced), maxAnnounced)
	s.wait(50 * time.Second)
	require.LessOrEqual(t, len(s.joins), announcedDials, "and dials are")
}

// Ours is repeated until it is echoed, and not for ever.
func TestOwnAddAddr(t *testing.T) {
	s, f := single(t, false)
	s.c.SetAnnounce(s.now, []netip.AddrPort{labAddr("10.0.7.7:4000")}, false)
	f.Wants("announced", "ADD_ADDR 1 10.0.7.7")
	s.wait(2 * time.Minute)
	f.Wants("repeated", "ADD_ADDR 1 10.0.7.7", "ADD_ADDR 1 10.0.7.7")

	s, f = single(t, false)
	s.c.SetAnnounce(s.now, []netip.AddrPort{labAddr("10.0.7.7:4000")}, false)
	f.clear()
	f.Sends(option(options.AddAddr{AddrID: 1, Addr: netip.MustParseAddr("10.0.7.7"), Echo: true}))
	s.wait(2 * time.Minute)
	f.Wants("echoed")
}

// Nothing is announced before the peer has proved that it has the keys, and nothing without a subflow
// is lost.
func TestOwnAddAddrWaits(t *testing.T) {
	s := newScript(t, false)
	f := s.add(FlowParams{Initial: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
	s.c.SetAnnounce(s.now, []netip.AddrPort{labAddr("10.0.7.7:4000")}, false)
	require.NotContains(t, f.log, "ADD_ADDR 1 10.0.7.7")
	s.c.HandleEstablished(s.now, f.id)
	require.Contains(t, f.log, "ADD_ADDR 1 10.0.7.7")

	f.ends(errTest)
	s.c.SetAnnounce(s.now, []netip.AddrPort{labAddr("10.0.7.7:4000"), labAddr("10.0.8.8:4000")}, false)
	g := s.add(FlowParams{Accepted: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.2.1:5000")})
	require.Contains(t, g.log, "ADD_ADDR 2 10.0.8.8")
}

// What the program announces on a connection and what its listener announces stand beside each other.
func TestOwnAddAddrFromTwoSources(t *testing.T) {
	s, f := single(t, false)
	listener := []netip.AddrPort{labAddr("10.0.7.7:4000")}
	s.c.SetAnnounce(s.now, listener, false)
	require.NoError(t, s.c.AddLocalAddr(s.now, labAddr("10.0.9.9:4000")))
	f.Wants("both", "ADD_ADDR 1 10.0.7.7", "ADD_ADDR 2 10.0.9.9")
	s.c.SetAnnounce(s.now, listener, false)
	f.Wants("neither takes the other back")
	require.NoError(t, s.c.RemoveLocalAddr(s.now, labAddr("10.0.9.9:4000")))
	f.Wants("only the program's", "REMOVE_ADDR [2]")
}

// Without a port the peer takes that "in use by the subflow on which the ADD_ADDR signal was sent": a dialer's subflows have different
// ones.
func TestOwnAddAddrSaysAPortThatItsSubflowHasNot(t *testing.T) {
	s := newScript(t, true)
	f := s.add(FlowParams{Initial: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
	s.c.HandleEstablished(s.now, f.id)
	require.NoError(t, s.c.AddLocalAddr(s.now, labAddr("10.0.7.7:4000")))
	require.Contains(t, f.log, "ADD_ADDR 1 10.0.7.7")
	g := s.add(FlowParams{Local: labAddr("10.0.2.1:5000"), Remote: labAddr("10.0.1.2:80")})
	f.ends(errTest)
	for _, port := range []string{"4000", "5000"} {
		require.NoError(t, s.c.AddLocalAddr(s.now, labAddr("10.0.8.8:"+port)))
		require.Contains(t, strings.Join(g.log, ", "), "10.0.8.8:"+port)
	}
}
