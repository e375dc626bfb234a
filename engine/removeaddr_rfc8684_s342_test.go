package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

func removes(ids ...uint8) move {
	o := options.RemoveAddr{N: uint8(len(ids))}
	copy(o.IDs[:], ids)
	return option(o)
}

// "The receipt of REMOVE_ADDR SHOULD first trigger the sending of a TCP keepalive on the path, and if
// a response is received, the path SHOULD NOT be removed."
func TestRemoveAddrOfALivingPath(t *testing.T) {
	s, f, g := double(t, false)
	f.Sends(removes(1))
	g.Wants("asked first", "probe")
	f.Sends(removes(1))
	g.Wants("once")
	s.wait(500 * time.Millisecond)
	g.Sends(alive)
	s.wait(10 * time.Second)
	g.Wants("it answers: it stays")
	require.Equal(t, extapi.StateActive, s.state(g))
}

func TestRemoveAddrOfADeadPath(t *testing.T) {
	s, f, g := double(t, false)
	g.room = 0
	f.Sends(removes(1))
	g.clear()
	s.wait(5 * time.Second)
	g.Wants("no answer: reset as a courtesy", "abort 0")
	require.Equal(t, extapi.StateActive, s.state(f))
}

func TestRemoveAddrOfTheInitialAddress(t *testing.T) {
	s, f, g := double(t, false)
	g.Sends(removes(0))
	f.Wants("asked", "probe")
	s.wait(5 * time.Second)
	f.Wants("gone", "abort 0")
	require.Equal(t, extapi.StateActive, s.state(g))
}

// "If an Address ID is not known, the receiver will silently ignore the request."
func TestRemoveAddrUnknown(t *testing.T) {
	s, f := single(t, false)
	s.names()
	f.Sends(removes(77, 78))
	f.Wants("nothing")
	require.Empty(t, s.names())
}

func TestRemovedAddressIsNotDialled(t *testing.T) {
	s, f := single(t, true, func(c *Config) { c.JoinDelay = time.Second })
	s.c.SetLocalAddrs(s.now, twoAddrs)
	f.Sends(adds(5, "10.0.9.9"), removes(5))
	s.wait(time.Minute)
	for _, j := range s.joins {
		require.NotEqual(t, extapi.AddrID(5), j.RemoteID)
	}
}

// A withdrawn address is told on every subflow, since nobody acknowledges it; its id names another
// address only after that.
func TestOwnRemoveAddr(t *testing.T) {
	s, f, g := double(t, false)
	s.c.SetAnnounce(s.now, []netip.AddrPort{labAddr("10.0.7.7:4000")}, false)
	f.clear()
	g.clear()
	s.c.SetAnnounce(s.now, nil, false)
	f.Wants("withdrawn", "REMOVE_ADDR [1]")
	g.Wants("everywhere", "REMOVE_ADDR [1]")
	s.c.SetAnnounce(s.now, []netip.AddrPort{labAddr("10.0.8.8:4000")}, false)
	require.Contains(t, append(f.log, g.log...), "ADD_ADDR 2 10.0.8.8", "a fresh id while there are any")
}

// REMOVE_ADDR is not lost when all subflows are stale.
func TestOwnRemoveAddrOnAStaleSubflow(t *testing.T) {
	s, f := single(t, false)
	s.c.SetAnnounce(s.now, []netip.AddrPort{labAddr("10.0.7.7:4000")}, false)
	s.write("x")
	s.wait(time.Second)
	require.Equal(t, extapi.StateStale, s.state(f))
	f.clear()
	s.c.SetAnnounce(s.now, nil, false)
	f.Wants("better than not at all", "REMOVE_ADDR [1]")
}

var twoAddrs = []extapi.Candidate{
	{Local: labAddr("10.0.1.1:0"), Interface: "eth1", IfIndex: 1, Kind: extapi.KindEthernet},
	{Local: labAddr("10.0.2.1:0"), Interface: "eth2", IfIndex: 2, Kind: extapi.KindEthernet},
}

// An address that leaves this host takes its subflows along.
func TestLocalAddressVanishes(t *testing.T) {
	s, f := single(t, true)
	s.c.SetLocalAddrs(s.now, twoAddrs)
	g := s.add(FlowParams{Accepted: true, Local: labAddr("10.0.2.1:5000"), Remote: labAddr("10.0.1.2:80"), LocalID: 1})
	s.write("hello")
	f.clear()
	g.clear()
	s.c.SetLocalAddrs(s.now, twoAddrs[1:])
	require.Contains(t, f.log, "abort 0")
	require.Equal(t, "hello", string(append(f.data, g.data...)))
	require.Contains(t, g.log, "REMOVE_ADDR [0]")
	s.c.SetLocalAddrs(s.now, nil)
	require.Contains(t, g.log, "abort 0")
	require.Empty(t, s.c.flows)
}

// The loop over the subflows of a vanished address survives the connection's end.
func TestLastAddressVanishesWithoutPatience(t *testing.T) {
	s, f, g := double(t, true, func(c *Config) { c.NoPathTimeout = -1 })
	s.c.SetLocalAddrs(s.now, twoAddrs[:1])
	require.NoError(t, s.c.CloseFlow(s.now, f.id))
	require.False(t, g.ended)
	s.c.SetLocalAddrs(s.now, nil)
	require.True(t, s.c.Done())
	require.ErrorIs(t, s.c.Err(), ErrNoPath)
}

func TestRemoveLocalAddrKeepsTheLastSubflow(t *testing.T) {
	s, f, g := double(t, true)
	require.ErrorIs(t, s.c.RemoveLocalAddr(s.now, labAddr("10.0.1.1:4000")), ErrLastSubflow)
	require.NotEqual(t, f.ended, g.ended, "one of the two stays")
	require.ErrorIs(t, s.c.RemoveLocalAddr(s.now, labAddr("10.9.9.9:1")), ErrNoSubflow)
}
