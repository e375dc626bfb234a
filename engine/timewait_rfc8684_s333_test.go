package engine

import (
	"fmt"
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

// What was waited for before both sides had finished is waited for no longer: CloseTimeout, which runs from Close on, and
// NoPathTimeout. Neither cuts TIME_WAIT short, nor keeps the timer busy once it is past.
func TestTimeWaitMindsNoOtherTimeout(t *testing.T) {
	for name, before := range map[string]func(s *script, f *scriptFlow, ahead time.Duration){
		"the application closed long ago": func(s *script, f *scriptFlow, ahead time.Duration) {
			s.c.Close(s.now)
			f.Sends(ack(1))
			s.wait(s.c.cfg.CloseTimeout - ahead)
		},
		"no path was left": func(s *script, f *scriptFlow, ahead time.Duration) {
			g := s.joined("10.0.2.1:5000")
			s.c.CloseWrite(s.now)
			f.Sends(ack(1))
			require.NoError(t, s.c.CloseFlow(s.now, f.id))
			g.ends(errTest)
			require.NotZero(t, s.c.noPath)
			s.wait(s.c.cfg.NoPathTimeout - ahead)
		},
	} {
		for _, ahead := range []time.Duration{lingerFIN / 2, 10 * time.Second} { // of the timeout
			t.Run(fmt.Sprint(name, ahead), func(t *testing.T) {
				s, f := single(t, false)
				before(s, f, ahead)
				f.Sends(fin(0))
				require.True(t, s.c.closing.finished)
				f.ends(errTest)
				s.wait(waitLimit - time.Second)
				require.False(t, s.c.Done(), "a join may still come for our DATA_ACK")
				s.wait(time.Second)
				require.True(t, s.c.Done())
				require.NoError(t, s.c.Err())
			})
		}
	}
}

// halfClosed is a connection that has exchanged both DATA_FINs, and whose peer's TCP has acknowledged the FIN of a subflow.
func halfClosed(t *testing.T, client bool) (*script, *scriptFlow) {
	s, f := single(t, client)
	s.c.SetLocalAddrs(s.now, twoAddrs[:1])
	s.c.Close(s.now)
	f.clear()
	f.Sends(ack(1), fin(0))
	f.Wants("both closed", "ack 1", "close")
	f.Sends(tcpAck)
	return s, f
}

// "all remaining subflows MUST be closed with standard FIN exchanges": a peer that has our FIN takes its time for its own.
func TestPeersFINMayTakeItsTime(t *testing.T) {
	s, f := halfClosed(t, true)
	s.wait(20 * lingerFIN)
	f.Wants("nothing is reset")
	f.Sends(fin(0))
	f.Wants("the peer has missed the DATA_ACK", "ack 1")
	f.Sends(tcpFIN)
	f.ends(nil)
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
	require.Empty(t, s.joins, "where a subflow is left, none is needed")
}

func TestPeersFINNeverComes(t *testing.T) {
	s, f := halfClosed(t, true)
	s.wait(waitLimit - time.Second)
	f.Wants("TIME_WAIT has not ended")
	s.wait(time.Second)
	f.Wants("nobody waits any longer", "abort 0")
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
	require.Empty(t, s.joins)
}

// The acknowledgement of our FIN is not the peer's word that it has our DATA_ACK: it may be a proxy's.
func TestPeersFINIsMissingWhenTheSubflowDies(t *testing.T) {
	s, f := halfClosed(t, true)
	s.wait(2 * lingerFIN)
	f.ends(errTest)
	s.wait(time.Second)
	require.NotEmpty(t, s.joins)

	s, _ = halfClosed(t, false)
	_, _, err := s.asks("10.0.2.1:5000")
	require.Error(t, err, "there is a subflow for what the peer may lack")
	s.wait(lingerFIN)
	_, p, err := s.asks("10.0.2.1:5000")
	require.NoError(t, err, "it may have died unnoticed")
	g := s.add(p)
	g.Wants("all that the peer can lack", "ack 1", "close")
}

// A peer that has closed one subflow has closed all, and waits for nothing.
func TestOtherSubflowsAreResetSoonAfterThePeersFIN(t *testing.T) {
	s, f, g := double(t, true)
	s.c.Close(s.now)
	f.Sends(ack(1), fin(0), tcpAck)
	g.Sends(tcpAck)
	s.wait(5 * lingerFIN)
	f.Sends(tcpFIN)
	f.ends(nil)
	g.clear()
	s.wait(lingerFIN)
	g.Wants("not closed in time", "abort 0")
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
}
