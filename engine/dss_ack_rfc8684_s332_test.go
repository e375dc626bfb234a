package engine

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

func TestDataAckFreesTheSendBuffer(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	f.Wants("mapped at once", "data 0+5")
	require.False(t, s.c.Drained())
	f.Sends(ack(3))
	require.Equal(t, int64(2), s.c.Info().SendBuffered)
	f.Sends(ack(5))
	require.True(t, s.c.Drained())
	require.Equal(t, uint64(5), s.c.Info().BytesSent)
	require.Zero(t, s.mem.held)
}

// "The Data ACK, as for the DSN, can be sent as the full 64-bit value or as the lower 32 bits."
func TestDataAckOf32Bits(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	f.Sends(says(options.DSS{HasAck: true, DataAck: uint64(uint32(s.local() + 4))}))
	require.Equal(t, int64(1), s.c.Info().SendBuffered)
}

func TestMappingOf32Bits(t *testing.T) {
	s, f := single(t, true)
	f.Sends(says(options.DSS{HasMap: true, DSN: uint64(uint32(s.remote())), SSN: 1, DataLen: 5}), payload("hello"))
	s.wantRead("hello")
}

// Numbers pass 2^32 and 2^64 without a seam.
func TestSequenceNumbersWrap(t *testing.T) {
	for _, first := range []uint64{0xfffffffe, 0xfffffffffffffffe} {
		s := newScript(t, true)
		s.c.snd.init(first, 1<<20, s.mem)
		s.c.peer.edge = first + 100
		s.c.rcv.begin(first, &s.c.cfg)
		f := s.first()
		s.write("abcdef")
		require.Equal(t, "abcdef", string(f.data))
		f.Sends(says(options.DSS{HasAck: true, DataAck: uint64(uint32(first + 6))}))
		require.True(t, s.c.Drained())
		f.Sends(says(options.DSS{HasMap: true, DSN: uint64(uint32(first)), SSN: 1, DataLen: 6}), payload("ghijkl"))
		s.wantRead("ghijkl")
		f.Sends(says(options.DSS{HasMap: true, DSN: uint64(uint32(first + 6)), SSN: 7, DataLen: 2}), payload("mn"))
		s.wantRead("mn")
	}
}

func TestOldAndRepeatedDataAcksAreHarmless(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	f.Sends(ack(5), ack(2), ack(5), ack(0))
	require.True(t, s.c.Drained())
	require.Equal(t, extapi.StateActive, s.c.flow(f.id).state)
}

// A DATA_ACK of what was never sent ends that subflow; the connection goes on, and nothing is lost.
func TestDataAckBeyondWhatWasSent(t *testing.T) {
	s, f, g := double(t, false)
	f.room = 0
	s.write("hello")
	g.Wants("the only one with room", "data 0+5")
	f.room = 1 << 20
	g.Sends(ack(6))
	g.Wants("that subflow is reset", "abort 1")
	f.Wants("what it carried is sent again at once, and its acknowledgement repeated", "ack 0", "data 0+5")
	f.Sends(ack(5))
	require.True(t, s.c.Drained())
	require.NoError(t, s.c.Err())
	require.Contains(t, s.names(), "subflow_closed")
}

func TestDataAckBeyondWhatWasSentOnTheOnlySubflow(t *testing.T) {
	s, f := single(t, false)
	s.write("hello")
	f.Sends(ack(1 << 40))
	f.Wants("reset", "data 0+5", "abort 1")
	require.False(t, s.c.Done(), "a join may still revive the connection")
	g := s.joined("10.0.2.1:5000")
	_ = g
	s.wait(time.Millisecond)
	g.Sends(ack(5))
	require.True(t, s.c.Drained())
}

// A window that comes with a wild DATA_ACK opens nothing.
func TestWindowOfAWildDataAck(t *testing.T) {
	s, f, g := double(t, false)
	g.Sends(ack(1<<40), func(f *scriptFlow) { s.c.HandleWindow(s.now, f.id, s.local()+1<<40, 1<<20) })
	f.Sends(func(f *scriptFlow) { s.c.HandleWindow(s.now, f.id, s.local()+1<<40, 1<<20) })
	require.Equal(t, s.local()+initialWindow, s.c.peer.edge)
}

// "An acknowledgement before the peer's key is known" cannot be: there is no IDSN to count from.
func TestNoDataAckBeforeTheKey(t *testing.T) {
	s := blankScript(t, true)
	f := s.add(FlowParams{Initial: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
	big := string(make([]byte, 40<<10))
	n, err := s.c.Write(0, []byte(big))
	require.NoError(t, err)
	require.Equal(t, len(big), n)
	require.Len(t, f.data, earlyLimit, "early data is bounded")
	require.False(t, f.last.Valid)
	s.wait(10 * time.Millisecond)
	f.clear()
	s.c.SetRemote(s.now, labKey(false))
	require.True(t, f.last.Valid, "now it is told where we stand")
	require.Len(t, f.data, len(big)-earlyLimit)
}
