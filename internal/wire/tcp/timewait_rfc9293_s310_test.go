package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// atRest is a connection in TIME-WAIT. The peer's FIN has the number 11, and ours 1.
func atRest(t *testing.T, synack string) *script {
	s := dialed(t, synack, withTimestamps)
	ts := ""
	if synack != "" {
		ts = " ts=1001,0"
	}
	s.peer("A seq=1 len=10 ack=1" + ts)
	s.close()
	s.peer("FA seq=11 ack=2" + ts)
	require.True(t, s.c.Waits())
	s.outs = nil
	return s
}

// toRemains lets the peer send a segment to what is left of the connection.
func (s *script) toRemains(r *Remains, line string, n *extapi.TCPCounters) {
	seg := s.build(line)
	out := packet.Segment{Options: make([]byte, 0, packet.MaxOptions)}
	if r.HandleSegment(s.now, &seg, &out, n) {
		require.Equal(s.t, s.cfg.Local, out.Src)
		require.Equal(s.t, s.cfg.Remote, out.Dst)
		s.outs = append(s.outs, out)
	}
}

// RFC 9293 section 3.10.7.4, TIME-WAIT: "The only thing that can arrive in this state is a retransmission of the remote FIN.
// Acknowledge it, and restart the 2 MSL timeout." Everything else is old, or forged. What is left of the connection does so as the
// connection itself would.
func TestTimeWaitAnswers(t *testing.T) {
	type counts = extapi.TCPEventCounters
	for _, c := range []struct {
		segment  string
		answered bool
		restarts bool
		counts   counts
		why      string
	}{
		{"FA seq=11 ack=2 ts=1001,0", true, true, counts{}, "the FIN once more"},
		{"FA seq=1 len=10 ack=2 ts=1001,0", true, true, counts{DupSegsIn: 1}, "and with it what it followed"},
		{"FA seq=11 ack=2 ts=900,0", true, true, counts{PAWSDrops: 1}, "an old one"},
		{"FA seq=900000 ack=2 ts=1002,0", true, false, counts{}, "one that ends elsewhere, as a forged one does"},
		{"FA seq=12 ack=2 ts=1002,0", true, false, counts{}, "likewise"},
		{"P seq=12 ts=1002,0", false, false, counts{}, "no ACK: dropped"},
		{"A seq=12 ack=2 ts=1002,0", false, false, counts{}, "nothing is to be said"},
		{"A seq=12 ack=1 ts=1002,0", false, false, counts{}, "likewise: an old ACK"},
		{"A seq=11 ack=2 ts=1002,0", true, false, counts{}, "a keep-alive"},
		{"A seq=1 len=10 ack=1 ts=1001,0", true, false, counts{DupSegsIn: 1}, "data once more"},
		{"A seq=12 len=10 ack=2 ts=1001,0", true, false, counts{BeyondWindow: 1}, "data behind the FIN"},
		{"A seq=900000 ack=2 ts=1002,0", true, false, counts{}, "from elsewhere"},
		{"A seq=12 ack=2 ts=900,0", true, false, counts{PAWSDrops: 1}, "an old duplicate"},
		{"A seq=12 ack=3 ts=1002,0", true, false, counts{InAckErrs: 1, ChallengeAcks: 1}, "an ACK of what was never sent (RFC 5961 section 5.2)"},
		{"S seq=500 ts=900,0", true, false, counts{InSYNs: 1, ChallengeAcks: 1}, "an old SYN (RFC 5961 section 4.2)"},
		{"SA seq=0 ack=1 ts=1000,0", true, false, counts{InSYNs: 1, ChallengeAcks: 1}, "the SYN/ACK once more"},
		{"FA seq=11 ack=2", false, false, counts{InNoTS: 1}, "no timestamp (RFC 7323 section 3.2)"},
		{"R seq=12", false, false, counts{}, "RFC 1337"},
		{"R seq=500 ts=1002,0", false, false, counts{}, "likewise"},
	} {
		s := atRest(t, "mss=1460 ws=3 ts=1000,0")
		s.after(30 * time.Second)
		until := s.now + 30*time.Second
		r := s.c.Remains(s.now)
		require.Equal(t, until, r.Until())
		var n extapi.TCPCounters
		s.toRemains(r, c.segment, &n)
		alone := s.outs
		require.Len(t, alone, int(n.SegsOut), c.why)
		require.Equal(t, c.answered, len(alone) == 1, c.why)
		require.Equal(t, c.restarts, r.Until() > until, c.why)
		require.EqualValues(t, 1, n.SegsIn)

		twin := atRest(t, "mss=1460 ws=3 ts=1000,0")
		twin.after(30 * time.Second)
		require.Zero(t, *twin.c.event())
		twin.peer(c.segment)
		require.Len(t, twin.outs, len(alone), c.why)
		for i := range alone {
			require.Equal(t, twin.describe(&twin.outs[i]), s.describe(&alone[i]), c.why)
			s.outs = alone[i:]
			s.want("A seq=2 ack=12 len=0", c.why)
		}
		at, ok := twin.c.Next()
		require.True(t, ok)
		require.Equal(t, r.Until(), at)
		require.Equal(t, c.counts, n.TCPEventCounters, c.why)
		require.Equal(t, c.counts, *twin.c.event(), c.why)
	}
}

// The answers have a limit, or two ends that find each other's segments unacceptable would go on for ever.
func TestTimeWaitAnswersByALimit(t *testing.T) {
	for _, segment := range []string{"FA seq=11 ack=2", "S seq=500", "A seq=900000 len=10 ack=2", "A seq=12 ack=3"} {
		s := atRest(t, "")
		r := s.c.Remains(s.now)
		var n extapi.TCPCounters
		for range 1000 {
			s.toRemains(r, segment, &n)
		}
		require.Len(t, s.outs, 10)
		s.outs = nil
		s.now += time.Minute
		s.toRemains(r, segment, &n)
		s.want("A seq=2 ack=12", "and come again with time")
		require.EqualValues(t, 11, n.SegsOut)
		require.EqualValues(t, 1001, n.SegsIn)
	}
}

// What comes in order moves TS.Recent (RFC 7323 section 4.3), from which a new connection is told (RFC 6191).
func TestTimeWaitEchoesTheNewestTimestamp(t *testing.T) {
	const empty, fin, bare = "A seq=12 ack=2 ts=1050,0", "FA seq=11 ack=2 ts=1060,0", "P seq=12 ts=9000,0"
	s, twin := atRest(t, "mss=1460 ts=1000,0"), atRest(t, "mss=1460 ts=1000,0")
	r := s.c.Remains(s.now)
	var n extapi.TCPCounters
	for _, segment := range []string{empty, bare, fin} {
		s.toRemains(r, segment, &n)
		twin.peer(segment)
	}
	for _, s := range []*script{s, twin} {
		s.want("A seq=2 ack=12 ts=10,1050", "the FIN is an old segment, and one without ACK says nothing")
		s.quiet("and the others have nothing to answer")
	}
	for syn, ok := range map[string]bool{"S seq=5000 ts=1049,0": false, "S seq=5000 ts=1051,0": true} {
		seg := s.build(syn)
		require.Equal(t, ok, r.Reusable(&seg), syn)
	}
}

// A connection that has yet to acknowledge the FIN does so before it is forgotten.
func TestTimeWaitOwesAnACKFirst(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.close()
	seg := s.build("FA seq=1 ack=2")
	s.c.HandleSegment(s.now, &seg, pool.Ref{})
	require.Equal(t, TimeWait, s.c.State())
	require.False(t, s.c.Waits())
	s.drain()
	require.True(t, s.c.Waits())
}
