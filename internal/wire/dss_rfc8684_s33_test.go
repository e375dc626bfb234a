package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// "A sender MUST include a DSS option with Data Sequence Mapping in every segment until one of the sent segments has been
// acknowledged with a DSS option containing a Data ACK" (RFC 8684 section 3.7): every one has it, before and after, with
// numbers of 64 bits (the script looks at that).
func TestEverySegmentHasItsMapping(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	s.write(3 * 1440)
	f.wants("one mapping, in each of its segments",
		"DATA 1+1432, DSS map 0+4320@1 ack 0", "DATA 1433+1432, DSS map 0+4320@1 ack 0",
		"DATA 2865+1432, DSS map 0+4320@1 ack 0", "DATA 4297+24, DSS map 0+4320@1 ack 0")
	f.acks(s.ack(4320))
	s.write(10)
	f.wants("and so it goes on", "DATA 4321+10, DSS map 4320+10@4321 ack 0")
}

// "A sender MUST NOT change this mapping after it has been declared" (section 3.3.1): what is sent again, and what was
// written in the meantime, does not move its boundaries.
func TestMappingIsFrozen(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	s.write(100)
	f.wants("declared", "DATA 1+100, DSS map 0+100@1 ack 0")
	s.write(50)
	f.wants("declared", "DATA 101+50, DSS map 100+50@101 ack 0")
	f.got = 1 // both are lost
	s.write(7)
	f.wants("new data has a mapping of its own", "DATA 151+7, DSS map 150+7@151 ack 0")
	s.wait(time.Second)
	again := f.again(158)
	require.NotEmpty(t, again)
	for _, x := range again {
		require.Contains(t, []string{
			"DATA 1+100, DSS map 0+100@1 ack 0", "DATA 101+50, DSS map 100+50@101 ack 0", "DATA 151+7, DSS map 150+7@151 ack 0",
		}, x, "neither cut nor merged")
	}
}

// "even if a mapping does not exist from the subflow space to the data-level space, the data SHOULD still be ACKed at the
// subflow", and "Implementations MAY hold onto such unmapped data for a short while": the mapping comes with the next segment.
func TestUnmappedDataIsAcknowledgedAtTheSubflow(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	f.sends(packet.ACK, "hel", s.ack(0))
	f.wants("TCP has it, MPTCP has not", "ACK, DSS ack 0")
	require.Empty(t, s.us.in.String())
	f.sends(packet.ACK, "lo", s.maps(0, 1, 5))
	s.wait(time.Millisecond)
	require.Equal(t, "hello", s.us.in.String())
	require.NotEmpty(t, f.out)
	require.Equal(t, "ACK, DSS ack 5", f.tell(f.out[len(f.out)-1]))
	f.out = nil
}

// "If a mapping for that subflow-level sequence space does not arrive within a receive window of data, that subflow SHOULD be
// treated as broken, closed with a RST, and any unmapped data silently discarded."
func TestUnmappedDataBreaksASubflow(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	g.sends(packet.ACK, "never", s.ack(0))
	s.wait(time.Second)
	require.NotEmpty(t, g.out)
	require.Equal(t, "RST, MP_TCPRST 6", g.tell(g.out[len(g.out)-1]), "middlebox interference")
	require.Len(t, s.us.eng.Subflows(s.w.now), 1)
	f.out = nil
	f.sends(packet.ACK, "fine", s.maps(0, 1, 4))
	require.Equal(t, "fine", s.us.in.String())
}

// "an implementation MUST be able to receive and process both 64-bit and 32-bit sequence number values", "either in this
// situation" for Data ACKs; ours stay at 64 bits.
func TestNumbersOf32Bits(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	short := s.maps(0, 1, 5)
	short.DSN64, short.Ack64 = false, false
	short.DSN, short.DataAck = uint64(uint32(short.DSN)), uint64(uint32(short.DataAck))
	f.sends(packet.ACK, "hello", short)
	s.wait(time.Second)
	require.Equal(t, "hello", s.us.in.String())
	f.wants("64 bits", "ACK, DSS ack 5")
	s.write(10)
	f.wants("data", "DATA 1+10, DSS map 0+10@1 ack 5")
	a := s.ack(10)
	a.Ack64, a.DataAck = false, uint64(uint32(a.DataAck))
	f.acks(a)
	require.Zero(t, s.us.eng.Unacknowledged())
}

// "If a checksum is present but its use had not been negotiated in the MP_CAPABLE handshake, the receiver MUST close the
// subflow with a RST", and so if it is missing: "this RST SHOULD be accompanied by an MP_TCPRST option (Section 3.6) with the
// reason code for an "MPTCP-specific error"" (section 3.3).
func TestChecksumThatWasNotAgreed(t *testing.T) {
	for _, agreed := range []bool{false, true} {
		s := newScript(t, false)
		s.sums = agreed
		f := s.open()
		g := s.join()
		d := s.maps(0, 1, 5)
		if !agreed {
			d = summed(d, "hello")
		}
		g.sends(packet.ACK, "hello", d)
		require.NotEmpty(t, g.out)
		require.Equal(t, "RST, MP_TCPRST 1", g.tell(g.out[len(g.out)-1]), "agreed: %v", agreed)
		require.Empty(t, s.us.in.String())
		if d = s.maps(0, 1, 5); agreed {
			d = summed(d, "hello")
		}
		f.sends(packet.ACK, "hello", d)
		require.Equal(t, "hello", s.us.in.String(), "the other subflow goes on")
		f.out = nil
	}
}

// "The sender MUST also remember the receive windows advertised by each subflow. The allowed window for subflow i is (ack_i, ack_i +
// rcv_wnd_i)" (section 3.3.5): a subflow takes no more, however much the connection's window would allow.
func TestWindowOfASubflowBindsIt(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	f.window, g.window = 3000, 60000
	f.acks(s.ack(0))
	g.acks(s.ack(0))
	s.write(40000)
	s.wait(10 * time.Millisecond)
	require.Positive(t, len(f.out)+len(g.out))
	require.Greater(t, f.got, uint32(1), "both are used")
	require.LessOrEqual(t, f.got, uint32(1+3000))
	require.Greater(t, g.got, uint32(1+3000), "which the other one's window does not bind")
	f.window = 2000
	f.acks(s.ack(0)) // the window's right edge moves on to what was taken and 2000 more
	before := f.got
	s.write(40000)
	s.wait(10 * time.Millisecond)
	require.LessOrEqual(t, f.got, before+2000)
	f.out, g.out = nil, nil
}

// "an implementation MUST NOT use the RCV.WND field of a TCP segment at the connection level if it does not also carry a DSS
// option with a Data ACK field" (section 3.3.2).
func TestWindowCountsOnlyWithADataAck(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	s.write(80000)
	for i := range 100 { // TCP's window slides on with what it has, and nothing says DATA_ACK
		f.acks(options.AddAddr{AddrID: 9, Addr: addr("10.9.9.9"), Echo: true})
		m := s.maps(uint64(i), uint32(i+1), 1)
		m.HasAck, m.Ack64 = false, false
		f.sends(packet.ACK, "x", m)
		s.wait(time.Millisecond)
	}
	require.EqualValues(t, 64<<10+1, f.got, "what every peer takes at first; the subflow would take more")
	f.acks(s.ack(64 << 10))
	s.wait(time.Millisecond)
	require.EqualValues(t, 80001, f.got)
}

// "An MPTCP sender MUST NOT free data from the send buffer until it has been acknowledged by both a Data ACK received on any
// subflow and at the subflow level by all subflows on which the data was sent" (section 3.3.2). "a host MUST still retransmit the
// original data on the original subflow" (section 3.3.6).
func TestDataStaysForItsSubflow(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	s.write(100)
	carrier, other := f, g
	if len(f.out) == 0 {
		carrier, other = g, f
	}
	carrier.wants("sent", "DATA 1+100, DSS map 0+100@1 ack 0")
	carrier.got = 1 // and lost
	s.wait(time.Second)
	var moved []string
	for _, seg := range other.out {
		moved = append(moved, other.tell(seg))
	}
	require.Contains(t, moved, "DATA 1+100, DSS map 0+100@1 ack 0", "reinjected")
	carrier.got = 1
	carrier.out, other.out = nil, nil
	other.acks(s.ack(100))
	require.Zero(t, s.us.eng.Unacknowledged(), "the connection has it")
	s.wait(3 * time.Second)
	payload := carrier.out[0].Payload
	again := carrier.again(101)
	require.NotEmpty(t, again)
	for _, x := range again {
		require.Equal(t, "DATA 1+100, DSS map 0+100@1 ack 0", x)
	}
	require.Equal(t, pattern(100), payload, "and the same bytes")
}

// "an implementation SHOULD treat the first data that is received at a subflow for the data sequence space as the data that
// should be delivered to the application, and any subsequent data for that sequence space SHOULD be ignored" (section 3.3.1).
func TestFirstDataIsDelivered(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	f.sends(packet.ACK, "abcd", s.maps(0, 1, 4))
	g.sends(packet.ACK, "XXXXef", s.maps(0, 1, 6))
	require.Equal(t, "abcdef", s.us.in.String())
	require.Equal(t, extapi.FallbackNone, s.us.eng.Info().Fallback)
}
