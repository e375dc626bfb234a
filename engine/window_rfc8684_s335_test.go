package engine

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/stretchr/testify/require"
)

// Nothing is sent beyond the peer's right edge, and late news do not shrink it.
func TestPeersWindowBindsTheSender(t *testing.T) {
	s, f := single(t, true)
	s.write(strings.Repeat("x", 100<<10))
	require.Len(t, f.data, initialWindow)
	f.Sends(window(initialWindow + 10000))
	require.Len(t, f.data, initialWindow+10000)
	f.Sends(window(100))
	f.Sends(window(initialWindow + 10100))
	require.Len(t, f.data, initialWindow+10000, "a silly window is left alone while data is under way")
	f.Sends(ack(initialWindow + 10000))
	require.Len(t, f.data, initialWindow+10100, "and used when nothing is")
}

// A window update may be lost with the subflow that carried it: a byte that the peer has already asks
// again, also when the window had shut long before there was something to send.
func TestPersistProbe(t *testing.T) {
	s, f := single(t, true)
	s.write(strings.Repeat("x", initialWindow))
	f.Sends(ack(initialWindow))
	s.wait(time.Minute)
	f.clear()
	s.write("more")
	f.Wants("the window is shut")
	s.wait(persistMin)
	f.Wants("probe", "data 65535+1")
	s.wait(2 * persistMin)
	f.Wants("again", "data 65535+1")
	f.Sends(window(initialWindow + 4))
	f.Wants("open", "data 65536+4")
	s.wait(10 * time.Second)
	for _, l := range f.log {
		require.NotContains(t, l, "+1", "no probe once it is open")
	}
}

func TestPersistProbeIsAnswered(t *testing.T) {
	s, f := single(t, true, func(c *Config) { c.RecvBuffer = 64 << 10 })
	for i := range 4 {
		f.Sends(data(uint64(i)<<14, strings.Repeat("y", 16<<10)))
	}
	require.Equal(t, int64(0), f.last.Window, "full")
	got, err := s.read()
	require.NoError(t, err)
	require.Len(t, got, 64<<10)
	f.clear()
	f.Sends(data(64<<10-1, "y"))
	s.wait(ackDelay)
	f.Wants("in time", "ack 65536")
	require.Positive(t, f.last.Window)
}

// "a receiver MUST NOT shrink the right edge" holds although the buffer fills (checked by script).
func TestRightEdgeStaysWhileTheApplicationSleeps(t *testing.T) {
	s, f := single(t, true)
	dsn := uint64(0)
	for f.last.Window >= 16<<10 {
		f.Sends(data(dsn, strings.Repeat("z", 16<<10)))
		dsn += 16 << 10
		s.wait(30 * time.Millisecond)
	}
	require.LessOrEqual(t, dsn, uint64(1<<20), "the window follows the configured buffer")
	right := dsn + uint64(f.last.Window)
	f.Sends(data(dsn, strings.Repeat("z", 32<<10)))
	got, err := s.read()
	require.NoError(t, err)
	require.Len(t, got, int(right), "what lies beyond the window is not taken")
}

// "DSN out of window (during normal operation): drop the data; do not send Data ACKs" (section 3.8).
func TestDataOutsideTheWindowIsDropped(t *testing.T) {
	for _, dsn := range []uint64{1 << 20, 1 << 31, 1 << 62, 1<<64 - 1<<31} {
		s, f, g := double(t, false)
		g.Sends(data(dsn, "x"))
		s.wait(time.Second)
		f.Sends(data(0, "fine"))
		s.wantRead("fine")
		for _, l := range append(f.log, g.log...) {
			require.Equal(t, "ack", strings.Fields(l)[0], "both subflows live: %s", l)
		}
		require.Equal(t, uint64(4), s.c.Info().RcvNxt-s.remote())
	}
}

// What lay beyond the edge is not there when everything before it has come: it was not DATA_ACKed, and comes again.
func TestDataBeyondTheEdgeIsNotKept(t *testing.T) {
	s, f, g := double(t, false)
	edge := s.c.rcv.win.rightEdge() - s.remote()
	g.Sends(data(edge-1, "bx"))
	for at := uint64(0); at < edge-1; {
		n := min(1000, edge-1-at)
		f.Sends(data(at, strings.Repeat("a", int(n))))
		_, err := s.read()
		require.NoError(t, err)
		at += n
	}
	require.Equal(t, edge, s.c.Info().RcvNxt-s.remote())
	g.Sends(data(edge, "y"))
	s.wantRead("y")
}

func TestMappingsOutsideTheWindow(t *testing.T) {
	for _, dsn := range []uint64{1 << 20, 1 << 31, 1 << 62, 1<<64 - 1<<31} {
		s, f := single(t, false)
		g := s.add(FlowParams{Accepted: true, Carrier: extapi.CarrierStream, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.2.1:80"), RemoteID: 1})
		g.clear()
		g.Sends(data(dsn, "x"))
		g.Wants("reset: the stream carrier delivers nothing late", "abort 1")
		f.Sends(data(0, "fine"))
		s.wantRead("fine")
	}
}

func TestContradictingMappings(t *testing.T) {
	s, f, g := double(t, false)
	g.Sends(mapping(0, 10), mapping(5, 10))
	g.Wants("the same bytes of the subflow twice", "abort 1")
	f.Sends(data(0, "fine"))
	s.wantRead("fine")
}

// Overlapping data is no contradiction: "the first data that is received [...] should be delivered".
func TestOverlappingData(t *testing.T) {
	s, f, g := double(t, false)
	f.Sends(data(0, "abcd"))
	g.Sends(data(2, "XXef"))
	s.wantRead("abcdef")
	g.Sends(data(0, "XXXXXXgh"))
	s.wantRead("gh")
}

// Bytes that no mapping covers are bounded, then the subflow is reset with reason 6.
func TestUnmappedBytes(t *testing.T) {
	s, f, g := double(t, false)
	for range 4 {
		g.Sends(payload(strings.Repeat("?", 16<<10)))
	}
	g.Wants("within the bound")
	g.Sends(payload("?"))
	g.Wants("middlebox", "abort 6")
	f.Sends(data(0, "fine"))
	s.wantRead("fine")
}

func TestMappingAfterItsBytes(t *testing.T) {
	s, f := single(t, false)
	f.Sends(payload("hello"), func(f *scriptFlow) { f.peer = 1 }, mapping(0, 5))
	s.wantRead("hello")
}

// The memory budget shrinks what is promised, but never what was.
func TestMemoryPressure(t *testing.T) {
	s, f := single(t, true, func(c *Config) { c.Memory.(*scriptMemory).limit = 200 << 10 })
	dsn := uint64(0)
	for f.last.Window >= 8<<10 || dsn == 0 {
		f.Sends(data(dsn, strings.Repeat("m", 8<<10)))
		dsn += 8 << 10
		s.wait(30 * time.Millisecond)
	}
	got, err := s.read()
	require.NoError(t, err)
	require.Len(t, got, int(dsn))
	require.Equal(t, extapi.StateActive, s.c.flow(f.id).state)
	f.Sends(data(dsn, "goes on"))
	s.wantRead("goes on")
}

// A reader that pauses for ever holds the sender up, and nobody else.
func TestSilentReaderBoundsMemory(t *testing.T) {
	l := newLab(t, 1, func(_ bool, c *Config) { c.SendBuffer, c.RecvBuffer = 256<<10, 256<<10 })
	l.first(&labLink{rate: mbit(800), delay: time.Millisecond, queue: 1 << 20})
	l.server.paused = true
	l.client.out = labBytes(8 << 20)
	l.server.out, l.server.fin = labBytes(2<<20), true
	l.run(10*time.Second, func() bool { return l.client.eof })
	l.arrived(labBytes(2<<20), l.client)
	require.LessOrEqual(t, l.server.c.Info().RecvBuffered, int64(300<<10))
	require.LessOrEqual(t, l.client.c.Info().SendBuffered, int64(256<<10))
	l.client.c.Abort(l.now, ResetUnspecified)
	l.server.c.Abort(l.now, ResetUnspecified)
	_, err := io.Copy(io.Discard, readerOf{l.server.c})
	require.Error(t, err)
}

type readerOf struct{ c *Conn }

func (r readerOf) Read(b []byte) (int, error) { return r.c.Read(0, b) }
