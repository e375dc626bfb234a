package engine

import (
	"errors"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// asks is the peer's MP_JOIN.
func (s *script) asks(from string) (*JoinResponder, FlowParams, error) {
	syn := options.MPJoin{Form: options.JoinSyn, AddrID: 9, Token: s.c.keys.Local.Token(), Nonce: 7}
	return s.c.AcceptJoin(s.now, syn, labAddr("10.0.1.1:4000"), labAddr(from), 8)
}

// The whole handshake of a join between two engines, each with its own view of the keys.
func TestJoinAuthenticates(t *testing.T) {
	s, _ := single(t, false)
	peer := Keys{Local: s.c.keys.Remote, Remote: s.c.keys.Local}
	for _, forged := range []bool{false, true} {
		if forged {
			peer.Local++
		}
		r, p, err := s.asks("10.0.2.1:5000")
		require.NoError(t, err)
		i := NewJoinInitiator(peer, 7, 9, true)
		syn := i.Syn()
		reply, err := r.HandleSyn(syn)
		require.NoError(t, err)
		ack, err := i.HandleSynAck(reply)
		require.Equal(t, forged, err != nil)
		if forged {
			ack = options.MPJoin{Form: options.JoinAck}
		}
		err = r.HandleAck(ack)
		require.Equal(t, forged, err != nil)
		if forged {
			s.c.JoinRefused(s.now)
			continue
		}
		require.True(t, p.Accepted)
		require.Equal(t, extapi.AddrID(9), p.RemoteID)
		f := s.add(p)
		require.NotZero(t, f.id)
	}
	require.Zero(t, s.c.joins.pending)
}

// "it is not permitted [...] until the peer has proved that it got the keys"
func TestNoJoinBeforeEstablished(t *testing.T) {
	s := newScript(t, false)
	f := s.add(FlowParams{Initial: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
	_, _, err := s.asks("10.0.2.1:5000")
	var r *ResetError
	require.ErrorAs(t, err, &r)
	require.Equal(t, ResetProhibited, r.Reason)
	s.c.HandleEstablished(s.now, f.id)
	_, _, err = s.asks("10.0.2.1:5000")
	require.NoError(t, err)

	c := newScript(t, true)
	c.c.SetLocalAddrs(0, twoAddrs)
	f = c.add(FlowParams{Initial: true, Interface: "eth1", Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
	c.wait(time.Minute)
	require.Empty(t, c.joins)
	_, err = c.c.RequestJoin(c.now, labAddr("10.0.2.1:0"), labAddr("10.0.1.2:80"))
	require.Error(t, err)
	f.Sends(ack(0)) // the server's first DSS shows that the keys have arrived
	c.wait(time.Second)
	require.Len(t, c.joins, 1)
}

// An idle connection opens its second subflow by itself when its time has come.
func TestSecondSubflowOfAnIdleConnection(t *testing.T) {
	s, _ := single(t, true)
	s.c.SetLocalAddrs(s.now, twoAddrs)
	s.wait(49 * time.Millisecond)
	require.Empty(t, s.joins)
	s.wait(2 * time.Millisecond)
	require.Len(t, s.joins, 1)
	require.Equal(t, labAddr("10.0.2.1:0"), s.joins[0].Path.Local)
}

func TestJoinFlood(t *testing.T) {
	s, _ := single(t, false)
	accepted := 0
	for range 10000 {
		if _, _, err := s.asks("10.0.2.1:5000"); err == nil {
			accepted++
			s.c.JoinRefused(s.now)
		}
	}
	require.Equal(t, maxJoinsPerSecond, accepted)
	s.wait(time.Second)
	_, _, err := s.asks("10.0.2.1:5000")
	require.NoError(t, err)
}

func TestJoinsBeyondTheLimit(t *testing.T) {
	s, _ := single(t, false, func(c *Config) { c.Policy.MaxSubflows = 3 })
	n := 0
	for range 30 {
		_, p, err := s.asks("10.0.2.1:5000")
		if err != nil {
			var r *ResetError
			require.ErrorAs(t, err, &r)
			require.True(t, r.Transient)
			break
		}
		s.add(p)
		n++
	}
	require.Equal(t, 3+maxSpareFlows-1, n)
	require.Zero(t, s.c.joins.pending)
}

// Every slot is taken: AddFlow says so, and what was pending is pending no longer.
func TestMoreFlowsThanSlots(t *testing.T) {
	s, _ := single(t, false, func(c *Config) { c.Policy.MaxSubflows = 100 })
	_, p, err := s.asks("10.0.2.1:5000")
	require.NoError(t, err)
	for range maxFlows - 1 {
		require.NotZero(t, s.joined("10.0.2.1:5000").id)
	}
	require.Zero(t, s.add(p).id)
	require.Zero(t, s.c.joins.pending)
}

func TestJoinToAConnectionThatIsOver(t *testing.T) {
	s, f := single(t, false)
	s.c.Close(s.now)
	f.Sends(ack(1), fin(0))
	_, _, err := s.asks("10.0.2.1:5000")
	require.Error(t, err)
	f.ends(nil)
	_, _, err = s.asks("10.0.2.1:5000")
	require.Error(t, err)
	require.Zero(t, s.c.AddFlow(s.now, &scriptFlow{s: s}, FlowParams{Accepted: true}))
}

// "The initiator MUST NOT send data before it has received the fourth packet", here the peer's first DSS.
func TestNoDataBeforeTheFourthMessage(t *testing.T) {
	s, f := single(t, true)
	f.room = 0
	g := s.add(FlowParams{Local: labAddr("10.0.2.1:5000"), Remote: labAddr("10.0.1.2:80"), LocalID: 1, Joining: true})
	s.write("hello")
	s.c.CloseWrite(s.now)
	g.Wants("neither data nor DATA_FIN nor DATA_ACK")
	f.ends(errTest)
	s.wait(time.Second)
	g.Wants("not even when it is the last hope")
	g.Sends(ack(0))
	g.Wants("now", "ack 0", "data 0+5 fin")
}

func TestFourthMessageNeverComes(t *testing.T) {
	s, f := single(t, true)
	g := s.add(FlowParams{Local: labAddr("10.0.2.1:5000"), Remote: labAddr("10.0.1.2:80"), LocalID: 1, Joining: true})
	s.wait(joinConfirm + time.Second)
	g.Wants("given up", "abort 0")
	require.False(t, f.ended)
}

// A refused join is not tried again without a new announcement; a failed one backs off.
func TestJoinsThatFail(t *testing.T) {
	for _, refused := range []bool{true, false} {
		s, f := single(t, true)
		s.c.SetLocalAddrs(s.now, twoAddrs)
		s.wait(time.Second)
		require.Len(t, s.joins, 1)
		s.c.JoinFailed(s.now, s.joins[0].Attempt, errors.New("test"), refused)
		s.wait(10 * time.Second)
		for len(s.joins) > 1 && len(s.joins) < 5 {
			s.c.JoinFailed(s.now, s.joins[len(s.joins)-1].Attempt, errors.New("test"), refused)
			n := len(s.joins)
			s.wait(2 * time.Minute)
			require.LessOrEqual(t, len(s.joins), n+1)
		}
		require.Equal(t, refused, len(s.joins) == 1)
		require.False(t, f.ended)
	}
}

// Subflows that are not used are closed, if the program wants that; the first one stays.
func TestIdleSubflows(t *testing.T) {
	for _, d := range []time.Duration{5 * time.Second, -1} {
		s, f, g := double(t, true, func(c *Config) { c.IdlePathTimeout = d })
		s.wait(max(d, idleMin) - time.Millisecond)
		require.False(t, g.ended)
		s.wait(2 * time.Millisecond)
		g.Wants("idle", "close")
		require.False(t, f.ended)
		s.wait(time.Minute)
		require.False(t, f.ended)
	}
}

// Events come in the order of what happened, begin with the connection's and end with it.
func TestEventOrder(t *testing.T) {
	s := newScript(t, true)
	f := s.add(FlowParams{Initial: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
	s.c.HandleEstablished(s.now, f.id)
	g := s.joined("10.0.2.1:5000")
	g.ends(errTest)
	s.c.Close(s.now)
	f.Sends(ack(1), fin(0))
	f.ends(nil)
	require.Equal(t, []string{
		"conn_established", "subflow_established", "subflow_established", "subflow_closed", "subflow_closed", "conn_closed",
	}, s.names())
}

func TestInfoCounters(t *testing.T) {
	s, f, g := double(t, true)
	g.room = 0
	s.write("0123456789")
	g.room = 1 << 20
	f.ends(errTest)
	g.Sends(ack(4), data(0, "abc"), data(5, "hole"))
	s.wantRead("abc")
	i := s.c.Info()
	require.Equal(t, uint64(4), i.BytesSent)
	require.Equal(t, uint64(3), i.BytesReceived)
	require.Equal(t, uint64(10), i.BytesReinjected)
	require.Equal(t, int64(6), i.SendBuffered)
	require.Equal(t, int64(4), i.OutOfOrder)
	require.Equal(t, s.c.keys.Local.Token(), i.Token)
	l := s.c.Subflows(s.now)
	require.Len(t, l, 1)
	require.Equal(t, uint64(10), l[0].BytesSent)
	require.Equal(t, uint64(7), l[0].BytesReceived)
}
