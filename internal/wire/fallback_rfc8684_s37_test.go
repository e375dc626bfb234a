package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// "If, however, an ACK is received for data (not just for the SYN) without a DSS option containing a Data ACK, the sender
// determines that the path is not MPTCP capable. In the case of this occurring on an additional subflow [...], the host MUST
// close the subflow with a RST, which SHOULD contain an MP_TCPRST option [...] with a "Middlebox interference" reason code"
// (RFC 8684 section 3.7).
func TestStrippedAcksOnAJoin(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	f.acks(s.ack(0), options.MPPrio{Backup: true}) // so that data leaves on the other
	s.write(10)
	g.wants("data", "DATA 1+10, DSS map 0+10@1 ack 0")
	g.acks()
	g.wants("closed", "RST, MP_TCPRST 6")
	require.Contains(t, f.again(11), "DATA 1+10, DSS map 0+10@1 ack 0", "what it carried goes on at once")
}

// "In the case of such an ACK being received on the first subflow [...], before any additional subflows are added, the
// implementation MUST drop out of MPTCP mode and fall back to regular TCP. The sender will send one final Data Sequence Mapping,
// with the Data-Level Length value of 0 indicating an infinite mapping [...], and then revert to sending data on the single
// subflow without any MPTCP options."
func TestStrippedAcksOnTheFirstSubflow(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	s.write(10)
	f.wants("data", "DATA 1+10, DSS map 0+10@1 ack 0")
	f.acks()
	s.write(10)
	s.write(10)
	f.wants("one final mapping", "DATA 11+10, DSS map 10+0@11", "DATA 21+10")
	f.sends(packet.ACK, "plain")
	s.wait(time.Second)
	require.Equal(t, "plain", s.us.in.String())
	f.wants("no options", "ACK")
}

// "The receiver SHOULD stop generating Data ACKs after it receives an infinite mapping", and "Once MPTCP falls back to regular TCP,
// it MUST NOT revert to MPTCP later in the connection".
func TestNoDataAckAfterAnInfiniteMapping(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	f.sends(packet.ACK, "plain", s.maps(0, 1, 0))
	s.wait(time.Second)
	f.wants("TCP's", "ACK")
	f.sends(packet.ACK, "more", s.maps(5, 6, 4))
	s.wait(time.Second)
	f.wants("nor later", "ACK")
	require.Equal(t, "plainmore", s.us.in.String())
	require.Equal(t, extapi.FallbackInfiniteMap, s.us.eng.Info().Fallback)
	g := s.end(f.us, addrs[0])
	g.sends(packet.SYN, "", engine.NewJoinInitiator(s.keys(), 77, 1, false).Syn())
	g.wants("no subflow either", "RST, MP_TCPRST 3")
}
