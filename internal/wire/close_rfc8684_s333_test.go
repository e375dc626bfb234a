package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// fin is a DATA_FIN of the peer's, after n bytes, which acknowledges all that we may have sent up to ack.
func (s *script) fin(n, ack uint64) options.DSS {
	d := s.maps(n, 0, 1)
	d.DataFIN, d.DataAck = true, s.us.key.IDSN()+1+ack
	return d
}

// "when the DATA_FIN is not attached to a TCP segment containing data, the DSS MUST have a subflow sequence number of 0, a
// Data-Level Length of 1, and the data sequence number that corresponds with the DATA_FIN itself. [...] Once a DATA_FIN has been
// acknowledged, all remaining subflows MUST be closed with standard FIN exchanges. Both hosts SHOULD send FINs on all subflows"
// (RFC 8684 section 3.3.3).
func TestCloseOfAConnection(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	s.us.eng.Close(s.w.now)
	s.w.settle()
	f.wants("DATA_FIN alone", "ACK, DSS map 0+1@0 DATA_FIN ack 0")
	f.acks(s.ack(1))
	s.wait(50 * time.Millisecond)
	f.wants("half closed: no FIN")
	g.wants("nowhere")
	g.acks(s.fin(0, 1))
	require.NotEmpty(t, g.out)
	require.Equal(t, "FIN, DSS ack 1", f.tell(f.out[len(f.out)-1]))
	require.Equal(t, "FIN, DSS ack 1", g.tell(g.out[len(g.out)-1]))
	for _, p := range []*peerEnd{f, g} {
		p.out = nil
		p.sends(packet.FIN|packet.ACK, "", s.ack(1))
		p.wants("its last ACK", "ACK, DSS ack 1")
	}
	require.True(t, s.us.eng.Done())
	require.NoError(t, s.us.eng.Err())
}
