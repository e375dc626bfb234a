package wire

import (
	"net/netip"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

func removed(ids ...uint8) options.RemoveAddr {
	o := options.RemoveAddr{N: uint8(len(ids))}
	copy(o.IDs[:], ids)
	return o
}

// "The receipt of REMOVE_ADDR SHOULD first trigger the sending of a TCP keepalive [RFC1122] on the path, and if a
// response is received, the path SHOULD NOT be removed" (RFC 8684 section 3.4.2).
func TestRemoveAddrOfAPathThatAnswers(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	f.acks(s.ack(0), removed(1))
	f.wants("not the path that it is about")
	g.wants("a keepalive", "PROBE, DSS ack 0")
	g.acks(s.ack(0))
	s.wait(10 * time.Second)
	g.wants("it lives, and \"it is the responsibility of the host that sent the REMOVE_ADDR to shut down the subflow\"")
	g.sends(packet.FIN|packet.ACK, "", s.ack(0))
	g.wants("which it does", "FIN, DSS ack 0")
	g.acks(s.ack(0))
	s.wait(10 * time.Second)
	g.wants("over")
}

// "The sending and receipt (if no keepalive response was received) of this message SHOULD trigger the sending of
// RSTs by both hosts on the affected subflow(s)".
func TestRemoveAddrOfAPathThatIsSilent(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	f.acks(s.ack(0), removed(9, 1))
	g.wants("a keepalive; id 9 is \"not known, the receiver will silently ignore the request\"", "PROBE, DSS ack 0")
	s.wait(5 * time.Second)
	g.wants("RST", "RST, MP_TCPRST 0")
	f.wants("our DATA_ACK again: the last one may have gone with the subflow", "ACK, DSS ack 0")
	s.write(10)
	f.wants("the connection goes on", "DATA 1+10, DSS map 0+10@1 ack 0")
}

// The peer answers a keepalive and drops it: an option that is said once waits for a segment that is looked at.
func TestKeepaliveTakesNoSignalAlong(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	flow := s.us.flows[0].Flow
	flow.Signal(s.w.now, removed(7))
	flow.Probe(s.w.now)
	s.us.turn()
	f.wants("both", "PROBE, DSS ack 0", "ACK, DSS ack 0, REMOVE_ADDR [7]")
}

// The removed address is not dialled any more.
func TestRemovedAddressOfThePeerIsNotDialled(t *testing.T) {
	s := newScript(t, true, func(h *host) { h.cfg.JoinDelay = time.Second })
	s.w.connect("10.0.1.1", "10.0.9.9", route{}).box = s.take
	s.us.addrs = s.us.addrs[:1]
	f := s.open()
	f.acks(s.ack(0), announced(5, "10.0.9.9", s))
	f.wants("echo", "ACK, DSS ack 0, ADD_ADDR echo 5 10.0.9.9")
	f.acks(s.ack(0), removed(5))
	s.wait(time.Minute)
	require.Len(t, s.list, 1)
	f.wants("nothing to say")
}

// "If, during the lifetime of an MPTCP connection, a previously announced address becomes invalid [...], the
// affected host SHOULD announce this situation": on the subflows that are left, with a RST on those that used it.
func TestOwnAddressVanishes(t *testing.T) {
	s := newScript(t, true)
	f := s.open()
	g := s.join()
	s.us.addrs = s.us.addrs[:1]
	s.us.eng.SetLocalAddrs(s.w.now, s.us.candidates())
	s.wait(time.Millisecond)
	g.wants("a courtesy to middleboxes", "RST, MP_TCPRST 0")
	f.wants("the id of the join", "ACK, DSS ack 0, REMOVE_ADDR [1]")
}

// "Even if an address is not in use by an MPTCP connection, if it has been previously announced, an implementation
// SHOULD announce its removal."
func TestAnnouncedAddressIsWithdrawn(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	s.us.eng.SetAnnounce(s.w.now, []netip.AddrPort{netip.MustParseAddrPort("10.0.7.7:80")}, false)
	s.wait(time.Millisecond)
	f.acks(s.ack(0), options.AddAddr{AddrID: 1, Addr: addr("10.0.7.7"), Echo: true})
	f.out, g.out = nil, nil
	s.us.eng.SetAnnounce(s.w.now, nil, false)
	s.wait(time.Millisecond)
	f.wants("withdrawn", "ACK, DSS ack 0, REMOVE_ADDR [1]")
	g.wants("on every subflow: nobody acknowledges it", "ACK, DSS ack 0, REMOVE_ADDR [1]")
}

// "A subflow that is still functioning MUST be closed with a FIN exchange as in regular TCP, rather than using this
// option."
func TestWorkingSubflowIsClosedWithAFIN(t *testing.T) {
	s := newScript(t, true)
	f := s.open()
	g := s.join()
	require.NoError(t, s.us.eng.CloseFlow(s.w.now, 2))
	s.wait(time.Millisecond)
	g.wants("FIN", "FIN, DSS ack 0")
	f.wants("no REMOVE_ADDR")
	g.sends(packet.FIN|packet.ACK, "", s.ack(0))
	g.wants("the last ACK", "ACK, DSS ack 0")
	f.wants("nor now: our DATA_ACK again", "ACK, DSS ack 0")
}
