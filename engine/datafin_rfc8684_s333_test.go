package engine

import (
	"io"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// "A DATA_FIN occupies 1 octet (the final octet) of the connection-level sequence space."
func TestDataFINAlone(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	f.Sends(ack(5))
	s.c.CloseWrite(s.now)
	f.Wants("DATA_FIN after the data", "data 0+5", "fin 5")
	require.False(t, s.c.Drained())
	f.Sends(ack(6))
	require.True(t, s.c.Drained())
	require.Equal(t, uint64(5), s.c.Info().BytesSent, "the DATA_FIN is no byte")
	_, err := s.c.Write(s.now, []byte("x"))
	require.Equal(t, io.ErrClosedPipe, err)
	require.False(t, s.c.Done(), "half-closed: the peer may go on")
	f.Sends(data(0, "still"))
	s.wantRead("still")
	f.clear()
	f.Sends(fin(5))
	f.Wants("DATA_FIN acknowledged, and then the subflow closed", "ack 6", "close")
	s.wantEOF("")
	f.Sends(tcpFIN)
	f.ends(nil)
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
}

func TestDataFINRidesOnTheLastMapping(t *testing.T) {
	s, f := single(t, true)
	f.room = 0
	s.write("hello")
	s.c.CloseWrite(s.now)
	f.room = 1 << 20
	s.c.HandleRoom(s.now, f.id)
	f.Wants("one mapping", "data 0+5 fin")
	f.Sends(ack(6))
	require.True(t, s.c.Drained())
}

func TestPeersDataFINWithData(t *testing.T) {
	s, f := single(t, true)
	f.Sends(lastData(0, "bye"))
	f.Wants("data and DATA_FIN at once", "ack 4")
	s.wantEOF("bye")
	s.write("ours goes on")
	f.Wants("half-close", "data 0+12")
}

// "it is only DATA_ACKed once all data has been successfully received at the connection level"
func TestDataFINWaitsForTheData(t *testing.T) {
	s, f, g := double(t, false)
	f.Sends(fin(10))
	f.Sends(data(5, "world"))
	require.Zero(t, f.last.DataAck-s.remote())
	_, err := s.read()
	require.NoError(t, err, "no end before the hole is filled")
	g.Sends(data(0, "hello"))
	s.wantEOF("helloworld")
	require.Equal(t, uint64(11), g.last.DataAck-s.remote())
}

// A DATA_FIN that is not acknowledged is sent again, from the second time on on every subflow.
func TestLostDataFINIsSentAgain(t *testing.T) {
	s, f, g := double(t, true)
	s.c.CloseWrite(s.now)
	f.Wants("first on one", "fin 0")
	g.Wants("only")
	s.wait(finMin + time.Millisecond)
	f.Wants("again", "fin 0")
	g.Wants("on both", "fin 0")
	s.wait(2*finMin + time.Millisecond)
	f.Wants("with back-off", "fin 0")
	g.clear()
	g.Sends(ack(1))
	s.wait(10 * finMax)
	f.Wants("no more once it is acknowledged")
}

func TestDataFINMovesToAnotherSubflow(t *testing.T) {
	s, f, g := double(t, true)
	s.c.CloseWrite(s.now)
	f.Wants("first on one", "fin 0")
	f.ends(io.ErrUnexpectedEOF)
	g.Wants("at once on the other", "ack 0", "fin 0")
}

func TestDataFINWithoutASubflowIsSentByTheNext(t *testing.T) {
	s, f := single(t, false)
	f.ends(io.ErrUnexpectedEOF)
	s.c.CloseWrite(s.now)
	g := s.add(FlowParams{Accepted: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.2.1:5000")})
	g.Wants("as soon as there is one", "ack 0", "fin 0")
}

// When every subflow is stale the DATA_FIN still goes out.
func TestDataFINOnStaleSubflows(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	s.wait(time.Second)
	require.Equal(t, extapi.StateStale, s.c.flow(f.id).state)
	f.clear()
	s.c.CloseWrite(s.now)
	f.Wants("better than not at all", "fin 5")
}

func TestRepeatedDataFINIsAcknowledgedAgain(t *testing.T) {
	_, f := single(t, true)
	f.Sends(fin(0))
	f.Wants("first", "ack 1")
	f.Sends(fin(0))
	f.Wants("the peer has missed it", "ack 1")
}

func TestDataFINContradictions(t *testing.T) {
	for _, tt := range []struct {
		name  string
		moves []move
	}{
		{"moved", []move{fin(10), fin(11)}},
		{"moved after the end", []move{fin(0), fin(1)}},
		{"before data that was received", []move{data(0, "hello"), fin(3)}},
		{"before data that waits behind a hole", []move{data(5, "hello"), fin(7)}},
		{"data behind it", []move{fin(5), data(3, "hello")}},
		{"beyond the window", []move{fin(1 << 30)}},
		{"far in the past", []move{fin(1<<64 - 100)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, f, g := double(t, false)
			g.Sends(tt.moves...)
			require.True(t, g.ended)
			require.Contains(t, g.log, "abort 1")
			require.False(t, f.ended)
			require.NoError(t, s.c.Err())
		})
	}
}

// After the last DATA_ACK the connection lingers, answers a repeated DATA_FIN, and then resets what does
// not finish.
func TestConnectionLingersBeforeItForgets(t *testing.T) {
	s, f, g := double(t, true)
	s.c.CloseWrite(s.now)
	f.clear()
	f.Sends(ack(1), fin(0))
	f.Wants("both closed", "ack 1", "close")
	g.Wants("the other may fail", "ack 1", "close")
	require.False(t, s.c.Done())
	require.Empty(t, s.joins)
	f.Sends(fin(0))
	f.Wants("the peer has missed the DATA_ACK", "ack 1")
	f.ends(nil)
	require.False(t, s.c.Done())
	s.wait(lingerFIN)
	g.Wants("not closed in time", "abort 0")
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
}

// "If all subflows have been closed with a FIN exchange but no DATA_FIN has been received and
// acknowledged, the MPTCP connection is treated as closed only after a timeout." (TIME_WAIT of the
// connection, which "permits break-before-make scenarios")
func TestAllSubflowsClosedWithoutDataFIN(t *testing.T) {
	s, f := single(t, false)
	f.Sends(data(0, "hello"))
	f.clear()
	f.Sends(tcpFIN)
	f.Wants("nothing to deliver: our half is closed too", "close")
	f.ends(nil)
	require.False(t, s.c.Done())
	s.wait(30 * time.Second)
	require.False(t, s.c.Done())
	g := s.joined("10.0.2.1:5000")
	s.write("back")
	g.Wants("a join revives the connection", "data 0+4")
	g.Sends(ack(4), data(5, " world"))
	s.wantRead("hello world")
	g.Sends(tcpFIN)
	g.ends(nil)
	s.wait(61 * time.Second)
	require.True(t, s.c.Done())
	require.ErrorIs(t, s.c.Err(), ErrNoPath)
}

// The peer has sent its DATA_FIN and closes every subflow: our DATA_FIN, the only thing outstanding,
// has gone before our FINs, and no DATA_ACK of it can come.
func TestPeerClosesEverythingBeforeItsDataAck(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	f.Sends(ack(5), fin(0))
	s.c.CloseWrite(s.now)
	f.clear()
	f.Sends(tcpFIN)
	f.Wants("safe to close", "close")
	f.ends(nil)
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
}

func TestPeerClosesEverythingBeforeItHasTheData(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	f.Sends(fin(0))
	s.c.CloseWrite(s.now)
	f.clear()
	f.Sends(tcpFIN)
	f.Wants("not safe: five bytes are not delivered")
	require.False(t, s.c.Drained())
}

// A FIN on a subflow is no end of the data.
func TestSubflowFINIsNotEOF(t *testing.T) {
	s, f, g := double(t, true)
	f.Sends(data(0, "hel"))
	f.clear()
	f.Sends(tcpFIN)
	f.Wants("the other takes over", "close")
	g.Sends(data(3, "lo"))
	s.wantRead("hello")
	f.ends(nil)
	require.Equal(t, 1, len(s.c.flows))
}

// What a closing subflow still carries is sent elsewhere too, and its last words are still heard.
func TestClosingSubflowStillDelivers(t *testing.T) {
	s, f, g := double(t, true)
	g.room = 0
	s.write("hello")
	g.room = 1 << 20
	require.NoError(t, s.c.CloseFlow(s.now, f.id))
	f.Wants("FIN", "data 0+5", "close")
	g.Wants("copy", "data 0+5")
	f.Sends(data(0, "late"), ack(5))
	s.wantRead("late")
	require.True(t, s.c.Drained())
}

func TestCloseBothWaysBeforeAnythingWasSaid(t *testing.T) {
	s, f := single(t, true)
	s.c.Close(s.now)
	f.Wants("DATA_FIN", "fin 0")
	f.Sends(ack(1), fin(0))
	f.Wants("end", "ack 1", "close")
	f.ends(nil)
	require.True(t, s.c.Done())
}

// The checksum of a DATA_FIN without data covers the pseudo-header.
func TestDataFINChecksum(t *testing.T) {
	s := newScript(t, true, func(c *Config) { c.Checksum = true })
	f := s.first()
	o := options.DSS{HasMap: true, DSN64: true, DSN: s.remote(), DataLen: 1, DataFIN: true, HasChecksum: true}
	o.Checksum = dssChecksum(o.DSN, 0, 1, nil) ^ 1
	f.Sends(says(o))
	f.Wants("wrong", "abort 1")
	g := s.joined("10.0.2.1:1")
	o.Checksum ^= 1
	g.Sends(says(o))
	g.Wants("right", "ack 1")
}
