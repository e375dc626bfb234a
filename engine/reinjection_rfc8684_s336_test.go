package engine

import (
	"io"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/scheduler"
	"github.com/stretchr/testify/require"
)

func (s *script) state(f *scriptFlow) extapi.SubflowState {
	if x := s.c.flow(f.id); x != nil {
		return x.state
	}
	return extapi.StateClosed
}

// "it is permitted to retransmit data on different subflows": what a failed subflow carried.
func TestLostSubflowIsReinjected(t *testing.T) {
	s, f, g := double(t, true)
	g.room = 0
	s.write("hello")
	f.Wants("carried by f", "data 0+5")
	g.room = 1 << 20
	f.ends(io.ErrUnexpectedEOF)
	g.Wants("again on g, at once", "ack 0", "data 0+5")
	g.Sends(ack(5))
	require.True(t, s.c.Drained())
	require.Equal(t, uint64(5), s.c.Info().BytesReinjected)
}

// A single stale path: nothing to move to, so nothing is sent twice, and it is taken back when it answers.
func TestOnlyPathGoesStaleAndComesBack(t *testing.T) {
	s, f := single(t, true)
	s.write("hello")
	f.clear()
	s.wait(300 * time.Millisecond)
	require.Equal(t, extapi.StateStale, s.state(f))
	f.Wants("no copy on the very same path")
	s.write("more")
	f.Wants("a stale path is better than none", "data 5+4")
	f.Sends(alive)
	require.Equal(t, extapi.StateActive, s.state(f))
	f.Sends(ack(9))
	require.True(t, s.c.Drained())
	require.False(t, s.c.Done())
}

func TestStalePathIsLeftAndTakenBack(t *testing.T) {
	s, f, g := double(t, true)
	g.room = 0
	s.write("hello")
	g.room = 1 << 20
	f.clear()
	s.wait(130 * time.Millisecond)
	require.Equal(t, extapi.StateStale, s.state(f))
	require.Equal(t, extapi.StateActive, s.state(g), "one path's silence is not another's")
	g.Wants("reinjected, once", "ack 0", "data 0+5")
	s.write("more")
	g.Wants("new data avoids the stale path", "data 5+4")
	g.Sends(ack(9))
	f.Sends(alive)
	require.Equal(t, extapi.StateActive, s.state(f))
}

// The DATA_ACK of what only a stale path carried is a sign of life too; what it sets free is sent at
// once, while the queue of segments is being worked on.
func TestStalePathRevivedByDataAck(t *testing.T) {
	s, f := single(t, true)
	f.room = 10
	s.write("0123456789")
	f.room = 0
	for range 40 {
		s.write("abcdefgh")
	}
	s.wait(time.Second)
	require.Equal(t, extapi.StateStale, s.state(f))
	f.room = 1 << 20
	f.clear()
	f.Sends(ack(4))
	require.Equal(t, extapi.StateActive, s.state(f))
	require.Len(t, f.data, 6+320, "what was overdue, and what waited")
	f.Sends(ack(330))
	require.True(t, s.c.Drained())
	require.Zero(t, s.c.flow(f.id).tx.outstanding)
}

// A DATA_ACK is cumulative: a hole on one path must not blame the other, which shows progress of its own.
func TestHoleOnOnePathDoesNotBlameTheOther(t *testing.T) {
	s, f, g := double(t, true)
	g.room = 0
	s.write("01234")
	f.room, g.room = 0, 1<<20
	s.write("56789")
	f.room = 0
	for range 100 {
		s.wait(20 * time.Millisecond)
		s.c.HandleProgress(s.now, g.id) // TCP acknowledges what the peer cannot DATA_ACK
	}
	require.Equal(t, extapi.StateStale, s.state(f))
	require.Equal(t, extapi.StateActive, s.state(g))
}

// "it may also be the case that a middlebox proactively ACKs": TCP says all is well, no DATA_ACK comes.
func TestProxyThatSwallows(t *testing.T) {
	s, f, g := double(t, true)
	g.room = 0
	s.write("hello")
	g.room = 1 << 20
	f.clear()
	for range 30 {
		s.wait(20 * time.Millisecond)
		f.Sends(alive)
	}
	require.Equal(t, extapi.StateActive, s.state(f))
	require.Equal(t, "hello", string(append(f.data, g.data...)), "sent again after the data timeout")
	f.clear()
	g.clear()
	for range 20 {
		s.wait(20 * time.Millisecond)
		f.Sends(alive)
		g.Sends(alive)
	}
	require.Empty(t, append(f.data, g.data...), "with back-off")
}

// A stale path is probed with a fresh join; when the join is through, the old subflow is replaced.
func TestStalePathIsReplacedByAProbe(t *testing.T) {
	s, f := single(t, true)
	s.c.SetLocalAddrs(s.now, []extapi.Candidate{{Local: labAddr("10.0.1.1:0"), Interface: "eth1"}})
	s.write("hello")
	s.wait(400 * time.Millisecond)
	require.Equal(t, extapi.StateStale, s.state(f))
	require.NotEmpty(t, s.joins)
	j := s.joins[0]
	require.Equal(t, f.id, j.Probe)
	g := s.add(FlowParams{
		Attempt: j.Attempt, Local: j.Path.Local, Remote: j.Path.Remote, LocalID: j.LocalID, RemoteID: j.RemoteID,
		Interface: j.Path.Interface, Joining: true,
	})
	g.Wants("no data before the fourth message")
	f.clear()
	s.c.HandleEstablished(s.now, g.id)
	s.drain()
	f.Wants("replaced", "abort 5")
	require.Equal(t, "hello", string(g.data))
	g.Sends(ack(5))
	require.True(t, s.c.Drained())
}

func TestProbeOfAPathThatCameBackIsClosed(t *testing.T) {
	s, f := single(t, true)
	s.c.SetLocalAddrs(s.now, []extapi.Candidate{{Local: labAddr("10.0.1.1:0"), Interface: "eth1"}})
	s.write("hello")
	s.wait(400 * time.Millisecond)
	j := s.joins[0]
	g := s.add(FlowParams{
		Attempt: j.Attempt, Local: j.Path.Local, Remote: j.Path.Remote, LocalID: j.LocalID, RemoteID: j.RemoteID,
		Interface: j.Path.Interface, Joining: true,
	})
	f.Sends(alive, ack(5))
	require.Equal(t, extapi.StateActive, s.state(f))
	s.c.HandleEstablished(s.now, g.id)
	require.True(t, g.ended)
	require.False(t, f.ended)
}

func TestProbeThatAnswersAfterItsPathCameBackIsClosed(t *testing.T) {
	s, f := single(t, true)
	s.c.SetLocalAddrs(s.now, []extapi.Candidate{{Local: labAddr("10.0.1.1:0"), Interface: "eth1"}})
	s.write("hello")
	s.wait(400 * time.Millisecond)
	j := s.joins[0]
	f.Sends(alive, ack(5))
	require.Equal(t, extapi.StateActive, s.state(f))
	g := s.add(FlowParams{
		Attempt: j.Attempt, Local: j.Path.Local, Remote: j.Path.Remote, LocalID: j.LocalID, RemoteID: j.RemoteID,
		Interface: j.Path.Interface,
	})
	require.True(t, g.ended)
	require.False(t, f.ended)
}

// When everything is blocked by a slow path and a fast one has room, the fast one repeats what holds
// everything up, and the slow one is slowed further.
func TestOpportunisticRetransmission(t *testing.T) {
	s, f, g := double(t, true, func(c *Config) { c.SendBuffer = 8 << 10 })
	f.stats.SRTT = 2 * time.Second
	f.stats.RTTVar = 0
	g.room = 0
	s.write(string(make([]byte, 4<<10)))
	f.room, g.room = 0, 1<<20
	s.write(string(make([]byte, 4<<10)))
	require.Len(t, f.data, 4<<10)
	g.Wants("second half, and a copy of the first, which is full up", "data 4096+4096", "data 0+4096")
	require.Contains(t, f.log, "limit 2800", "penalised")
	s.wait(2 * time.Second)
	require.Contains(t, f.log, "limit 0", "for a round trip")
}

func TestRedundantScheduler(t *testing.T) {
	s, f, g := double(t, true)
	s.c.SetScheduler(s.now, scheduler.Redundant.New(), scheduler.Redundant.Name())
	s.write("twice")
	require.Equal(t, "twice", string(f.data))
	require.Equal(t, "twice", string(g.data))
	g.Sends(ack(5))
	require.True(t, s.c.Drained())
	require.Zero(t, s.c.Info().BytesReinjected)
}

// panicky fails at the second decision, or else when a path changes.
type panicky struct {
	n       int
	changes bool
}

func (p *panicky) Next(v *scheduler.View) scheduler.Decision {
	if p.n++; p.n > 1 && !p.changes {
		panic("mistake")
	}
	return scheduler.Decision{Path: v.Paths[0].ID, Len: 1400}
}
func (p *panicky) OnPathChange(*scheduler.View) {
	if p.changes {
		panic("mistake")
	}
}

// A scheduler is the program's code: when it panics the default takes over and nothing stops.
func TestSchedulerPanics(t *testing.T) {
	for _, p := range []*panicky{{}, {changes: true}} {
		s, f := single(t, true)
		s.names()
		s.c.SetScheduler(s.now, p, "panicky")
		s.write(string(make([]byte, 5000)))
		require.Len(t, f.data, 5000)
		require.Equal(t, []extapi.Event{extapi.SchedulerFailed{Value: "mistake"}}, s.events)
		require.Equal(t, scheduler.MinRTT.Name(), s.c.Info().Scheduler)
	}
}

// patient answers "wait" for a while, and nonsense before.
type patient struct{ until time.Duration }

func (p *patient) Next(v *scheduler.View) scheduler.Decision {
	if v.Now < p.until {
		return scheduler.Decision{Wait: p.until - v.Now}
	}
	return scheduler.Decision{Path: v.Paths[0].ID, Len: int(v.Paths[0].Room)}
}
func (p *patient) OnPathChange(*scheduler.View) {}

func TestSchedulerWaits(t *testing.T) {
	s, f := single(t, true)
	s.c.SetScheduler(s.now, &patient{until: 7 * time.Millisecond}, "patient")
	s.write("hello")
	f.Wants("not yet")
	s.wait(7 * time.Millisecond)
	f.Wants("then", "data 0+5")
}

// The smallest congestion window of an old path must do.
func TestTinyRoomIsUsedWhenNothingIsUnderWay(t *testing.T) {
	s, f := single(t, true)
	f.room = 536
	s.write(string(make([]byte, 5000)))
	require.NotEmpty(t, f.data)
}
