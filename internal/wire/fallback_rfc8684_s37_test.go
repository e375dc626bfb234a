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
	require.Equal(t, "FallbackFailed 1, MPRstTx 1", s.us.endings())
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
	s.wait(2 * time.Second)
	require.Contains(t, f.again(21), "DATA 11+10, DSS map 10+0@11", "the same when it is sent again")
	f.sends(packet.ACK, "plain")
	s.wait(time.Second)
	require.Equal(t, "plain", s.us.in.String())
	f.wants("no options", "ACK")
	require.Equal(t, "MPCapableDataFallback 1, InfiniteMapTx 1", s.us.endings())
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
	require.Equal(t, "InfiniteMapRx 1", s.us.endings())
}

// A checksum that is wrong, with another subflow beside: it "must be immediately closed with a RST that includes an MP_FAIL
// option". "Failed data MUST NOT be DATA_ACKed and so will be retransmitted on other subflows".
func TestWrongChecksumOnAJoin(t *testing.T) {
	s := newScript(t, false)
	s.sums = true
	f := s.open()
	g := s.join()
	bad := summed(s.maps(5, 1, 7), "changed")
	bad.Checksum ^= 1
	g.sends(packet.ACK, "changed", bad)
	g.wants("closed", "RST, MP_FAIL 5, MP_TCPRST 6")
	f.out = nil
	f.sends(packet.ACK, "hello", summed(s.maps(0, 1, 5), "hello"))
	f.sends(packet.ACK, "correct", summed(s.maps(5, 6, 7), "correct"))
	s.wait(time.Second)
	require.Equal(t, "hellocorrect", s.us.in.String())
	require.Equal(t, "ACK, DSS ack 12", f.tell(f.out[len(f.out)-1]))
	require.Equal(t, extapi.FallbackNone, s.us.eng.Info().Fallback)
	require.Equal(t, "DSSCorruptionReset 1, DataCsumErr 1, MPFailTx 1, MPRstTx 1", s.us.endings())
}

// On the only subflow "it will send back an MP_FAIL option on the subflow-level ACK", and "the receiver of an MP_FAIL MUST also
// respond with an MP_FAIL in the reverse direction and entirely revert to a regular TCP session".
func TestWrongChecksumOnTheOnlySubflow(t *testing.T) {
	s := newScript(t, false)
	s.sums = true
	f := s.open()
	s.write(3)
	f.wants("data", "DATA 1+3, DSS map 0+3@1 ack 0")
	f.acks(s.ack(3))
	bad := summed(s.maps(0, 1, 7), "changed")
	bad.Checksum ^= 1
	bad.DataAck += 3
	f.sends(packet.ACK, "changed", bad)
	f.wants("its DATA_ACK does not cover what has failed; but that is delivered, and need not come again", "ACK, DSS ack 0, MP_FAIL 0", "ACK, DSS ack 7")
	f.acks(s.ack(3), options.MPFail{DSN: s.us.key.IDSN() + 4})
	s.write(4)
	f.wants("before the peer's infinite mapping ours does not come", "DATA 4+4, DSS map 3+4@4 ack 7")
	infinite := s.maps(7, 8, 0)
	f.sends(packet.ACK, "plain", infinite)
	s.wait(time.Millisecond)
	f.out = nil
	s.write(4)
	f.wants("both ways", "DATA 8+4, DSS map 7+0@8")
	require.Equal(t, "changedplain", s.us.in.String(), "as TCP delivers it")
	require.Equal(t, "DSSCorruptionFallback 1, DataCsumErr 1, InfiniteMapTx 1, InfiniteMapRx 1, MPFailTx 1, MPFailRx 1", s.us.endings())
}

// MP_FAIL of the peer.
func TestPeersFail(t *testing.T) {
	s := newScript(t, false)
	s.sums = true
	f := s.open()
	s.write(3)
	f.wants("data", "DATA 1+3, DSS map 0+3@1 ack 0")
	f.acks(options.MPFail{DSN: s.us.key.IDSN() + 1})
	f.wants("answered", "ACK, DSS ack 0, MP_FAIL 0")
	s.write(4)
	require.NotEmpty(t, f.out)
	require.Contains(t, f.tell(f.out[0]), "DATA 4+4, DSS map 3+0@4")
	require.Equal(t, "InfiniteMapTx 1, MPFailTx 1, MPFailRx 1", s.us.endings())
}

// "In the rare case that the data is not contiguous [...], the receiver MUST close the subflow with a RST with MP_FAIL": the
// connection is still multipath, and "The sender MAY attempt to create a new subflow belonging to the same connection".
func TestPeersFailOnAReset(t *testing.T) {
	s := newScript(t, false)
	s.sums = true
	f := s.open()
	s.write(3)
	f.wants("data", "DATA 1+3, DSS map 0+3@1 ack 0")
	f.resets(options.MPFail{DSN: s.us.key.IDSN() + 1})
	s.wait(time.Millisecond)
	require.Equal(t, extapi.FallbackNone, s.us.eng.Info().Fallback)
	require.False(t, s.us.eng.Done())
	f.deaf = true
	g := s.end(f.us, addrs[0])
	j := engine.NewJoinInitiator(s.keys(), 77, 1, false)
	g.sends(packet.SYN, "", j.Syn())
	var r received
	require.Len(t, g.out, 1)
	r.parse(g.out[0].Options)
	third, err := j.HandleSynAck(r.join)
	require.NoError(t, err)
	g.out = nil
	g.acks(third)
	require.Contains(t, g.again(4), "DATA 1+3, DSS map 0+3@1 ack 0", "again, on the new subflow")
	require.Equal(t, "MPFailRx 1", s.us.endings())
}

// "an ACK is received for data (not just for the SYN) without a DSS option": a server that has received neither the third message
// nor what followed it answers segments of an older connection over the same addresses, and can put nothing in.
func TestAcksOfTheSYNAloneTellNothing(t *testing.T) {
	s := newScript(t, true)
	s.w.dial()
	s.w.settle()
	p := s.list[0]
	p.sends(packet.SYN|packet.ACK, "", options.MPCapable{Version: 1, Flags: options.FlagH, HasSender: true, SenderKey: uint64(s.mine)})
	p.deaf = true
	s.write(1)
	s.us.eng.CloseWrite(s.w.now)
	for range 20 {
		s.wait(100 * time.Millisecond)
		p.acks()
	}
	require.Equal(t, extapi.FallbackNone, s.us.eng.Info().Fallback)
	p.sends(packet.FIN|packet.ACK, "")
	s.wait(10 * time.Second)
	require.NotEqual(t, extapi.FallbackNone, s.us.eng.Info().Fallback, "without the keys a FIN leaves after a fallback alone")
}
