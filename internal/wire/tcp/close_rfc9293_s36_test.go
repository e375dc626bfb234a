package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestActiveClose(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.close()
	s.want("FA seq=1 ack=1 len=0", "figure 12")
	require.Equal(t, FinWait1, s.c.State())
	s.peer("A seq=1 ack=2")
	require.Equal(t, FinWait2, s.c.State())
	s.after(10 * time.Minute)
	s.quiet("half-closed for as long as the peer likes")
	s.peer("PA seq=1 len=10 ack=2")
	s.want("A seq=2 ack=11", "the other direction goes on")
	s.peer("FA seq=11 ack=2")
	s.want("A seq=2 ack=12", "the FIN is acknowledged at once")
	require.Equal(t, TimeWait, s.c.State())
	s.happened("acked 2", "fin", "closed <nil>")
	s.after(30 * time.Second)
	s.peer("FA seq=11 ack=2")
	s.want("A seq=2 ack=12", "our ACK was lost")
	s.after(59 * time.Second)
	require.Equal(t, TimeWait, s.c.State(), "2 MSL began anew")
	s.after(time.Second)
	require.True(t, s.c.Done())
}

func TestPassiveClose(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.peer("FA seq=1 ack=1")
	s.want("A seq=1 ack=2", "figure 12")
	require.Equal(t, CloseWait, s.c.State())
	s.send(100)
	s.want("A seq=1 len=100", "we may still send")
	s.close()
	s.want("FA seq=101 ack=2", "and close")
	require.Equal(t, LastAck, s.c.State())
	s.peer("A seq=2 ack=102")
	s.happened("fin", "acked 102", "closed <nil>")
	require.True(t, s.c.Done())
}

func TestSimultaneousClose(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.close()
	s.want("FA seq=1 ack=1", "figure 13")
	s.peer("FA seq=1 ack=1")
	s.want("A seq=2 ack=2", "the peer closes as well")
	require.Equal(t, Closing, s.c.State())
	s.peer("A seq=2 ack=2")
	require.Equal(t, TimeWait, s.c.State())
	s.happened("fin", "acked 2", "closed <nil>")
}

func TestFINAndItsACKInOneSegment(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.close()
	s.want("FA seq=1", "we close")
	s.peer("FA seq=1 ack=2")
	s.want("A seq=2 ack=2", "straight to TIME-WAIT")
	require.Equal(t, TimeWait, s.c.State())
}

func TestFINTravelsWithTheLastData(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.c.Queue(s.now, payloadRef(1, 2000))
	s.close()
	s.want("A seq=1 len=1460", "the first segment is full")
	s.want("FA seq=1461 len=540", "the second carries the FIN")
	s.peer("A seq=1 ack=2001")
	require.Equal(t, FinWait1, s.c.State(), "all but the FIN")
	s.after(5 * time.Second)
	s.want("FA seq=2001 len=0", "the FIN is repeated")
	s.outs = nil
	s.peer("A seq=1 ack=2002")
	require.Equal(t, FinWait2, s.c.State())
}

func TestFINOutOfOrderWaits(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.peer("FA seq=101 len=50 ack=1")
	s.want("A ack=1 sack=101-151", "a hole before it; a FIN is not reported")
	require.Equal(t, Established, s.c.State())
	s.peer("A seq=1 len=100 ack=1")
	s.want("A ack=152", "everything is here now")
	require.Equal(t, CloseWait, s.c.State())
	s.happened("fin")
	require.EqualValues(t, 151, s.got)
}

func TestNothingComesAfterTheFIN(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.peer("FA seq=101 ack=1")
	s.peer("PA seq=90 len=100 ack=1")
	s.peer("A seq=1 len=100 ack=1")
	require.EqualValues(t, 101, s.got, "bytes beyond the FIN are none")
	require.Equal(t, CloseWait, s.c.State())
}

func TestAbort(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.send(10)
	s.outs = nil
	s.c.Abort(s.now)
	s.drain()
	s.want("RA seq=11 ack=1", "RFC 9293 section 3.10.5")
	s.quiet("once")
	s.happened()
	require.True(t, s.c.Done())
}

func TestAbortBeforeTheHandshakeIsSilent(t *testing.T) {
	s := newScript(t).dial()
	s.outs = nil
	s.c.Abort(s.now)
	s.drain()
	s.quiet("SYN-SENT: nobody knows of us")
	require.True(t, s.c.Done())
}

func TestCloseBeforeTheHandshakeIsSilent(t *testing.T) {
	s := newScript(t).dial()
	s.outs = nil
	s.close()
	s.quiet("SYN-SENT: the connection is deleted")
	require.True(t, s.c.Done())
}

func TestResetByPeer(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.peer("R seq=1")
	s.happened("closed tcp: connection reset by peer")
	s.quiet("a RST is not answered")
	require.True(t, s.c.Done())
}

func TestDataThatNobodyTakesIsAnsweredWithAReset(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.c.CloseRead(s.now)
	s.peer("PA seq=1 len=10 ack=1")
	require.EqualValues(t, 1, s.got, "not delivered")
	s.close()
	s.outs = nil
	s.peer("PA seq=11 len=10 ack=2")
	s.want("RA seq=2", "RFC 9293 section 3.6.1: a RST to show that data was lost")
	s.happened("acked 2", "closed tcp: data arrived after close")
}

func TestFinWait2EndsWhenNobodyReads(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.c.CloseRead(s.now)
	s.close()
	s.peer("A seq=1 ack=2")
	s.after(59 * time.Second)
	require.Equal(t, FinWait2, s.c.State())
	s.after(time.Second)
	s.happened("acked 2", "closed <nil>")
	require.True(t, s.c.Done())
}

// RFC 6191 section 2 and RFC 9293 section 3.6.1: a SYN that can't be an old one may take the place of a
// connection in TIME-WAIT.
func TestTimeWaitIsReused(t *testing.T) {
	s := dialed(t, "mss=1460 ts=1000,0 sackok", withTimestamps)
	s.close()
	s.peer("FA seq=1 ack=2 ts=1001,0")
	require.Equal(t, TimeWait, s.c.State())
	for _, c := range []struct {
		syn string
		ok  bool
		why string
	}{
		{"S seq=-500 ts=1002,0", true, "a newer timestamp"},
		{"S seq=5000 ts=1000,0", false, "an older timestamp: an old duplicate"},
		{"S seq=5000 ts=1001,0", true, "the same instant, but a larger number"},
		{"S seq=-500 ts=1001,0", false, "the same instant, and a smaller number"},
		{"S seq=5000", true, "no timestamp: a larger number will do"},
		{"S seq=1", false, "no timestamp, and an old number"},
		{"SA seq=5000 ack=1", false, "no SYN of a new connection"},
		{"A seq=5000 ack=1", false, "no SYN at all"},
	} {
		seg := s.build(c.syn)
		require.Equal(t, c.ok, s.c.Remains(s.now).Reusable(&seg), "%s: %s", c.syn, c.why)
	}
}

// RFC 7323 appendix B.2: with timestamps, our own next connection need not wait for the end of TIME-WAIT.
func TestTimeWaitIsRenewed(t *testing.T) {
	for options, ok := range map[string]bool{"mss=1460 ts=1000,0": true, "mss=1460": false} {
		s := dialed(t, options, withTimestamps)
		s.close()
		require.False(t, s.c.Waits(), "not closed yet")
		if ok {
			s.peer("FA seq=1 ack=2 ts=1001,0")
		} else {
			s.peer("FA seq=1 ack=2")
		}
		require.Equal(t, TimeWait, s.c.State())
		s.after(renewAfter - time.Millisecond)
		require.False(t, s.c.remains.Renewable(s.now), "a FIN that comes again is still due")
		if ok {
			s.peer("FA seq=1 ack=2 ts=1001,0")
			s.after(renewAfter - time.Millisecond)
			require.False(t, s.c.remains.Renewable(s.now), "it has come again")
		}
		s.after(time.Millisecond)
		require.Equal(t, ok, s.c.remains.Renewable(s.now), options)
	}
}

// RFC 1337: a RST does not end TIME-WAIT.
func TestTimeWaitOutlastsAReset(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.close()
	s.peer("FA seq=1 ack=2")
	s.outs = nil
	s.peer("R seq=2")
	require.Equal(t, TimeWait, s.c.State())
	s.quiet("and is not answered")
}
