package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ended is a connection that has exchanged both DATA_FINs when its only subflow dies: the peer may lack
// our last DATA_ACK.
func ended(t *testing.T, client bool) *script {
	s, f := single(t, client)
	s.c.SetLocalAddrs(s.now, twoAddrs[:1])
	s.c.Close(s.now)
	f.Sends(ack(1), fin(0))
	f.ends(errTest)
	require.False(t, s.c.Done())
	return s
}

func TestTimeWaitAnswersAJoin(t *testing.T) {
	s := ended(t, false)
	s.wait(30 * time.Second)
	_, p, err := s.asks("10.0.2.1:5000")
	require.NoError(t, err)
	g := s.add(p)
	g.Wants("all that the peer can lack", "ack 1", "close")
	g.Sends(tcpFIN)
	g.ends(nil)
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
}

func TestTimeWaitOfTheClientDials(t *testing.T) {
	s := ended(t, true)
	s.wait(time.Second)
	require.NotEmpty(t, s.joins)
	g := s.answer(s.joins[0])
	g.Wants("all that the peer can lack", "ack 1", "close")
	g.ends(nil)
	require.True(t, s.c.Done())

	s = ended(t, true)
	s.wait(time.Second)
	s.c.JoinFailed(s.now, s.joins[0].Attempt, errTest, true)
	require.True(t, s.c.Done(), "the peer has forgotten the connection")
	require.NoError(t, s.c.Err())
}

// A peer that is slow to answer may have thousands of such connections: their joins are few, and wait for its answer.
func TestTimeWaitIsPatient(t *testing.T) {
	s := ended(t, true)
	for range 59 * 4 {
		s.wait(250 * time.Millisecond)
		_, cancelled := s.c.PollCancel()
		require.False(t, cancelled)
	}
	require.Len(t, s.joins, 1, "as long as it is under way there is no other one")

	s = ended(t, true)
	failed := 0
	for range 59 * 4 {
		s.wait(250 * time.Millisecond)
		for ; failed < len(s.joins); failed++ {
			s.c.JoinFailed(s.now, s.joins[failed].Attempt, errTest, false)
		}
	}
	require.Greater(t, failed, 1)
	require.LessOrEqual(t, failed, 7, "with back-off")
}

func TestTimeWaitEnds(t *testing.T) {
	s := ended(t, false)
	s.wait(waitLimit + time.Second)
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())

	s, f := single(t, false, func(c *Config) { c.NoPathTimeout = -1 })
	s.c.Close(s.now)
	f.Sends(ack(1), fin(0))
	f.ends(errTest)
	s.wait(lingerFIN + time.Millisecond)
	require.True(t, s.c.Done(), "whoever has no patience for paths has none here")
}
