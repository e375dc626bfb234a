package wire

import (
	"net/netip"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

func announced(id uint8, a string, s *script) options.AddAddr {
	o := options.AddAddr{AddrID: id, Addr: addr(a)}
	o.HMAC = s.keys().AddAddrHMAC(true, o)
	return o
}

// "A receiver receiving a fresh ADD_ADDR option (where E=0) will send the same option back to the sender, but not
// including the HMAC, and with E=1 [...]. The lack of this type of echo can be used by the initial ADD_ADDR sender
// to indicate that the ADD_ADDR needs to be retransmitted" (RFC 8684 section 3.4.1).
func TestOwnAddAddrIsRepeatedUntilItsEcho(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	a := netip.MustParseAddrPort("10.0.7.7:80")
	s.us.eng.SetAnnounce(s.w.now, []netip.AddrPort{a}, false)
	s.wait(time.Millisecond)
	f.wants("announced", "ACK, DSS ack 0, ADD_ADDR 1 10.0.7.7")
	s.wait(time.Second)
	f.wants("not echoed", "ACK, DSS ack 0, ADD_ADDR 1 10.0.7.7")
	f.acks(s.ack(0), options.AddAddr{AddrID: 2, Addr: a.Addr(), Echo: true})
	f.acks(s.ack(0), options.AddAddr{AddrID: 1, Addr: addr("10.0.7.8"), Echo: true})
	s.wait(time.Minute)
	f.wants("those were echoes of something else", "ACK, DSS ack 0, ADD_ADDR 1 10.0.7.7")

	s = newScript(t, false)
	f = s.open()
	s.us.eng.SetAnnounce(s.w.now, []netip.AddrPort{a}, false)
	s.wait(time.Millisecond)
	f.wants("announced", "ACK, DSS ack 0, ADD_ADDR 1 10.0.7.7")
	f.acks(s.ack(0), options.AddAddr{AddrID: 1, Addr: a.Addr(), Echo: true})
	s.wait(time.Minute)
	f.wants("the peer has it")
	s.us.eng.SetAnnounce(s.w.now, []netip.AddrPort{a, netip.MustParseAddrPort("10.0.7.7:81")}, false)
	s.wait(time.Millisecond)
	f.wants("another port is said aloud", "ACK, DSS ack 0, ADD_ADDR 2 10.0.7.7:81")
}

// An announced address is echoed, each time it comes, and joined on the port that is in use; the id of the join is ours.
func TestAddAddrOfThePeer(t *testing.T) {
	s := newScript(t, true)
	s.w.connect("10.0.1.1", "10.0.9.9", route{}).box = s.take
	s.us.addrs = s.us.addrs[:1]
	f := s.open()
	wrong := announced(5, "10.0.9.9", s)
	wrong.HMAC++
	f.acks(s.ack(0), wrong)
	s.wait(time.Minute)
	f.wants("\"it SHOULD silently ignore the option\"")
	require.Len(t, s.list, 1, "no join")
	f.acks(s.ack(0), announced(5, "10.0.9.9", s))
	f.wants("echo", "ACK, DSS ack 0, ADD_ADDR echo 5 10.0.9.9")
	f.acks(s.ack(0), announced(5, "10.0.9.9", s))
	f.wants("again: the echo was lost", "ACK, DSS ack 0, ADD_ADDR echo 5 10.0.9.9")
	s.wait(50 * time.Millisecond)
	require.Len(t, s.list, 2)
	g := s.list[1]
	require.Equal(t, netip.MustParseAddrPort("10.0.9.9:80"), g.peer)
	g.wants("id 0: it leaves from the address of the first subflow", "SYN, MP_JOIN SYN id=0")
}

// "A host that receives an ADD_ADDR but finds that a connection set up to that IP address and port number is
// unsuccessful SHOULD NOT perform further connection attempts to this address/port combination for this connection.
// [...] refresh": a new ADD_ADDR allows one more.
func TestRefusedAddressIsDialledAfterANewAddAddr(t *testing.T) {
	s := newScript(t, true)
	s.w.connect("10.0.1.1", "10.0.9.9", route{}).box = s.take
	s.us.addrs = s.us.addrs[:1]
	f := s.open()
	f.acks(s.ack(0), announced(5, "10.0.9.9", s))
	s.wait(50 * time.Millisecond)
	require.Len(t, s.list, 2)
	s.list[1].resets()
	s.wait(time.Hour)
	require.Len(t, s.list, 2, "refused")
	f.acks(s.ack(0), announced(5, "10.0.9.9", s))
	s.wait(50 * time.Millisecond)
	require.Len(t, s.list, 3, "announced anew")
}

// "If the port number is different, the receiving host SHOULD try to set up a new subflow to this new address/port
// combination": where the policy lets the peer name ports.
func TestAddAddrWithAnotherPort(t *testing.T) {
	s := newScript(t, true, func(h *host) { h.cfg.Policy.AnyAnnouncedPort = true })
	s.w.connect("10.0.1.1", "10.0.9.9", route{}).box = s.take
	s.us.addrs = s.us.addrs[:1]
	f := s.open()
	f.acks(s.ack(0), announced(5, "10.0.9.9", s))
	s.wait(50 * time.Millisecond)
	s.list[1].resets()
	o := options.AddAddr{AddrID: 5, Addr: addr("10.0.9.9"), HasPort: true, Port: 8080}
	o.HMAC = s.keys().AddAddrHMAC(true, o)
	f.acks(s.ack(0), o)
	s.wait(50 * time.Millisecond)
	require.Len(t, s.list, 3)
	require.Equal(t, netip.MustParseAddrPort("10.0.9.9:8080"), s.list[2].peer)
}
