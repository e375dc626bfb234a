package wire

import (
	"net/netip"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// "receipt of this packet MUST trigger a regular TCP ACK in response, and the packet MUST be retransmitted if this ACK is
// not received. [...] It is not permissible to send data while in the PRE_ESTABLISHED state" (RFC 8684 section 3.2).
func TestThirdMessageOfAJoinIsRepeated(t *testing.T) {
	s := newScript(t, true)
	f := s.open()
	g := s.second()
	g.answers()
	f.window = 0 // the first subflow takes nothing
	f.acks(s.ack(0))
	s.write(10)
	s.wait(1500 * time.Millisecond) // 0.25 + 0.5 + 1 s
	g.wants("the fourth message does not come", "ACK, MP_JOIN ACK", "ACK, MP_JOIN ACK")
	s.wait(2 * time.Second)
	g.wants("nor now", "ACK, MP_JOIN ACK")
	f.window = 60000
	g.acks(s.ack(0))
	g.wants("it came: data may leave", "DATA 1+10, DSS map 0+10@1 ack 0")
	g.acks(s.ack(10))
	s.wait(time.Minute)
	g.wants("nothing")
}

// The peer's third message is answered as often as it comes.
func TestThirdMessageOfAJoinIsAnsweredEachTime(t *testing.T) {
	s := newScript(t, false)
	s.open()
	g := s.end(s.list[0].us, addrs[0])
	j := engine.NewJoinInitiator(s.keys(), 77, 1, false)
	g.sends(packet.SYN, "", j.Syn())
	var r received
	r.parse(g.out[0].Options)
	third, err := j.HandleSynAck(r.join)
	require.NoError(t, err)
	g.wants("second", "SYN/ACK, MP_JOIN SYN/ACK")
	for range 3 {
		g.acks(third)
		g.wants("at once", "ACK, DSS ack 0")
	}
}

// "If the SYN/ACK as received at Host A does not have an MP_JOIN option, Host A MUST close the subflow with a TCP RST": with
// "the reason code for an "MPTCP-specific error"". A wrong HMAC is no better.
func TestAnswerToAJoinIsWrong(t *testing.T) {
	for _, what := range []string{"none", "HMAC", "MP_CAPABLE"} {
		s := newScript(t, true)
		f := s.open()
		g := s.second()
		j := engine.NewJoinResponder(s.keys(), 77, 0, false)
		synack, err := j.HandleSyn(Open(&g.out[0]).Join)
		require.NoError(t, err)
		g.out = nil
		switch what {
		case "none":
			g.sends(packet.SYN|packet.ACK, "")
		case "HMAC":
			synack.HMAC[0] ^= 1
			g.sends(packet.SYN|packet.ACK, "", synack)
		case "MP_CAPABLE":
			g.sends(packet.SYN|packet.ACK, "", options.MPCapable{Version: 1, Flags: options.FlagH, HasSender: true, SenderKey: 9})
		}
		require.NotEmpty(t, g.out, what)
		require.Equal(t, "RST, MP_TCPRST 1", g.tell(g.out[len(g.out)-1]), what)
		s.write(10)
		f.wants("the connection goes on", "DATA 1+10, DSS map 0+10@1 ack 0")
		f.acks(s.ack(10))
		s.wait(time.Minute)
		require.Len(t, s.list, 2, "and does not try that again")
	}
}

// "If Host B does not receive the expected HMAC or the MP_JOIN option is missing from the ACK, it MUST close the subflow
// with a TCP RST."
func TestThirdMessageOfAJoinIsWrong(t *testing.T) {
	for _, what := range []string{"none", "HMAC", "data without one"} {
		s := newScript(t, false)
		f := s.open()
		g := s.end(f.us, addrs[0])
		j := engine.NewJoinInitiator(s.keys(), 77, 1, false)
		g.sends(packet.SYN, "", j.Syn())
		var r received
		r.parse(g.out[0].Options)
		third, err := j.HandleSynAck(r.join)
		require.NoError(t, err)
		g.out = nil
		switch what {
		case "none":
			g.acks()
		case "HMAC":
			third.HMAC[19] ^= 1
			g.acks(third)
		case "data without one":
			g.sends(packet.ACK, "x", s.maps(0, 1, 1))
		}
		g.wants(what, "RST, MP_TCPRST 1")
		require.Len(t, s.us.eng.Subflows(s.w.now), 1)
		f.wants("nothing")
	}
}

// "If the token received at Host B is unknown or local policy prohibits the acceptance of the new subflow, the recipient
// MUST respond with a TCP RST for the subflow." The token finds the connection, whatever the addresses and ports.
func TestJoinIsFoundByItsToken(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.end(f.us, addrs[0])
	other := s.keys()
	other.Remote++
	g.sends(packet.SYN, "", engine.NewJoinInitiator(other, 77, 1, false).Syn())
	g.wants("unknown", "RST, MP_TCPRST 1")
	s.join() // from another address and port
	require.Len(t, s.us.eng.Subflows(s.w.now), 2)
}

// The ACK that the third message triggers leaves before any data that waits for the subflow: Linux resets a join whose first
// segment to arrive is data, but not the first.
func TestTheFourthMessageLeavesBeforeData(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	s.write(200_000)
	f.acks(options.MPPrio{Backup: true}) // so that the rest waits for another
	g := s.end(f.us, netip.MustParseAddrPort("10.0.2.1:5000"))
	j := engine.NewJoinInitiator(s.keys(), 77, 1, false)
	g.sends(packet.SYN, "", j.Syn())
	require.Len(t, g.out, 1)
	var r received
	r.parse(g.out[0].Options)
	third, err := j.HandleSynAck(r.join)
	require.NoError(t, err)
	g.out = nil
	g.acks(third)
	require.Greater(t, len(g.out), 1)
	require.Equal(t, "ACK, DSS ack 0", g.tell(g.out[0]))
	require.Equal(t, "DATA", kind(g.out[1]))
}
