package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

var errTest = errors.New("test: the subflow broke")

// What becomes of the path depends on the reason that the peer gave: a lasting one keeps the path
// planner away, a passing one or none at all makes it try again.
func TestResetReasons(t *testing.T) {
	for _, tt := range []struct {
		rst   options.TCPRst
		again bool
	}{
		{options.TCPRst{Reason: uint8(ResetUnspecified)}, true},
		{options.TCPRst{Reason: uint8(ResetProtocol)}, false},
		{options.TCPRst{Reason: uint8(ResetProtocol), Transient: true}, true},
		{options.TCPRst{Reason: uint8(ResetResources)}, true},
		{options.TCPRst{Reason: uint8(ResetProhibited)}, false},
		{options.TCPRst{Reason: uint8(ResetTooMuchData)}, true},
		{options.TCPRst{Reason: uint8(ResetPerformance)}, true},
		{options.TCPRst{Reason: uint8(ResetMiddlebox)}, false},
		{options.TCPRst{Reason: 200}, true},
	} {
		s, f := single(t, true)
		s.c.SetLocalAddrs(s.now, twoAddrs)
		s.wait(time.Second)
		require.Len(t, s.joins, 1)
		g := s.answer(s.joins[0])
		require.Equal(t, 2, len(s.c.flows))
		s.joins = nil
		g.Sends(option(tt.rst))
		g.ends(errTest)
		s.wait(10 * time.Second)
		require.Equal(t, tt.again, len(s.joins) > 0, "reason %d, transient %t", tt.rst.Reason, tt.rst.Transient)
		var r *ResetError
		require.ErrorAs(t, s.c.lastErr, &r)
		require.True(t, r.Remote)
		require.Equal(t, g.id, r.Path)
		require.False(t, f.ended)
		require.False(t, s.c.Done())
	}
}

// answer completes a join that the connection asked for.
func (s *script) answer(j JoinRequest) *scriptFlow {
	f := s.add(FlowParams{
		Attempt: j.Attempt, Local: j.Path.Local, Remote: j.Path.Remote, LocalID: j.LocalID, RemoteID: j.RemoteID,
		Interface: j.Path.Interface, Backup: j.Backup, Role: j.Role, Joining: true,
	})
	s.c.HandleEstablished(s.now, f.id)
	s.drain()
	return f
}

// A lost subflow is opened again when its path works again.
func TestLostSubflowIsOpenedAgain(t *testing.T) {
	s, f := single(t, true)
	s.c.SetLocalAddrs(s.now, twoAddrs[:1])
	s.wait(time.Second)
	f.ends(errTest)
	require.NotEmpty(t, s.joins, "at once: there is no other")
	s.wait(3 * time.Second)
	g := s.answer(s.joins[len(s.joins)-1])
	s.write("goes on")
	require.Equal(t, "goes on", string(g.data))
}

// An idle connection notices on its own that no path came in time.
func TestNoPathTimeout(t *testing.T) {
	s, f := single(t, false, func(c *Config) { c.NoPathTimeout = 7 * time.Second })
	s.wait(time.Second)
	f.ends(errTest)
	s.wait(6900 * time.Millisecond)
	require.False(t, s.c.Done())
	s.wait(200 * time.Millisecond)
	require.True(t, s.c.Done())
	require.ErrorIs(t, s.c.Err(), ErrNoPath)
	_, err := s.read()
	require.ErrorIs(t, err, ErrNoPath)
}

func TestNoPathTimeoutIsStoppedByAJoin(t *testing.T) {
	s, f := single(t, false, func(c *Config) { c.NoPathTimeout = 7 * time.Second })
	s.write("hello")
	f.ends(errTest)
	s.wait(6 * time.Second)
	g := s.joined("10.0.2.1:5000")
	s.wait(20 * time.Second)
	require.False(t, s.c.Done())
	g.Sends(ack(5))
	require.True(t, s.c.Drained())
}

func TestNoPathTimeoutNegative(t *testing.T) {
	s, f := single(t, false, func(c *Config) { c.NoPathTimeout = -1 })
	f.ends(errTest)
	require.True(t, s.c.Done())
	require.ErrorIs(t, s.c.Err(), ErrNoPath)
}

func TestLastWorkingSubflowStays(t *testing.T) {
	s, f, g := double(t, true)
	require.NoError(t, s.c.CloseFlow(s.now, g.id))
	require.ErrorIs(t, s.c.CloseFlow(s.now, f.id), ErrLastSubflow)
	require.ErrorIs(t, s.c.CloseFlow(s.now, g.id), ErrNoSubflow, "it is closing already")
	require.ErrorIs(t, s.c.CloseFlow(s.now, 77), ErrNoSubflow)
}

// Close with no subflow left: CloseTimeout runs, a join delivers all the same.
func TestCloseTimeout(t *testing.T) {
	short := func(c *Config) { c.CloseTimeout = 5 * time.Second }
	s, f := single(t, false, short)
	s.write("hello")
	f.ends(errTest)
	s.c.Close(s.now)
	s.wait(4 * time.Second)
	g := s.joined("10.0.2.1:5000")
	s.wait(time.Millisecond)
	g.Sends(ack(6), fin(0))
	g.ends(nil)
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())

	s, f = single(t, false, short)
	s.write("hello")
	f.ends(errTest)
	s.c.Close(s.now)
	s.wait(6 * time.Second)
	require.True(t, s.c.Done())
	require.ErrorIs(t, s.c.Err(), ErrNoPath)

	s, f = single(t, false, short)
	s.write("hello")
	s.c.Close(s.now)
	for range 105 {
		f.Sends(alive)
		s.wait(50 * time.Millisecond)
	}
	require.True(t, s.c.Done())
	require.ErrorIs(t, s.c.Err(), errUndelivered)

	s, f = single(t, false, short)
	s.write("hello")
	s.c.Close(s.now)
	f.Sends(ack(6))
	s.wait(6 * time.Second)
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err(), "all was delivered; only the peer's own close is missing")
}
