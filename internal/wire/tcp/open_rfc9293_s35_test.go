package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

func withTimestamps(c *Config) { c.NoTimestamps = false }

func TestSYNOffersWhatWeWant(t *testing.T) {
	s := newScript(t, withTimestamps, func(c *Config) { c.RecvBuffer = 4 << 20 }).dial()
	out := s.want("S seq=0 mss=1460 sackok ts=0,0 ws=7 win=65535", "MSS is the MTU less 40, 4 MiB need a shift of 7, and the window of a SYN is not scaled")
	require.Equal(t, []byte{2, 4}, out.Options[:2], "the order of Linux: MSS first")
	require.Equal(t, []byte{4, 2, 8, 10}, out.Options[4:8])
	require.Equal(t, []byte{1, 3, 3, 7}, out.Options[16:])
}

func TestSYNCanBeBare(t *testing.T) {
	s := newScript(t, func(c *Config) { c.NoSACK, c.NoScale = true, true }).dial()
	require.Len(t, s.want("S mss=1460", "nothing else is asked for").Options, 4)
}

func TestSYNIsRepeatedWithBackoffAndGivenUp(t *testing.T) {
	s := newScript(t, func(c *Config) { c.SYNRetries = 3 }).dial()
	s.want("S seq=0", "first")
	for _, d := range []time.Duration{1, 2, 4} {
		s.after(d*time.Second - time.Millisecond)
		s.quiet("RFC 6298: 1 s, doubled each time")
		s.after(time.Millisecond)
		s.want("S seq=0", "again")
	}
	s.after(8 * time.Second)
	s.quiet("three retransmissions were allowed")
	s.happened("closed tcp: timed out")
	require.True(t, s.c.Done())
	_, armed := s.c.Next()
	require.False(t, armed)
}

// The peer has the old connection of the port in TIME-WAIT: it acknowledges what that one had, and takes the next SYN, whose timestamp
// is a newer one (RFC 6191), after our RST or even before.
func TestSYNThatMeetsAnOldConnection(t *testing.T) {
	s := newScript(t, withTimestamps).dial()
	first := s.want("S seq=0", "first")
	s.peer("A seq=5000 ack=700 ts=7,0")
	s.want("R seq=700", "RFC 9293 section 3.10.7.3: <SEQ=SEG.ACK><CTL=RST>")
	s.after(strayWait - 1)
	s.quiet("its timestamp may be the same still")
	s.after(1)
	again := s.want("S seq=0", "soon")
	var h [2]header
	h[0].parse(first.Options, true)
	h[1].parse(again.Options, true)
	require.EqualValues(t, strayWait/tick, h[1].tsVal-h[0].tsVal)
	require.Zero(t, s.c.Stats().Timeouts, "nothing was lost")
	require.EqualValues(t, 1, s.c.Stats().SegsRetrans)
	s.peer("A seq=5000 ack=700 ts=7,0")
	s.want("R seq=700", "that one too")
	s.after(time.Second - 1)
	s.quiet("but the SYN goes by its timer from now on")
	s.after(1)
	s.want("S seq=0", "again")
	require.EqualValues(t, 1, s.c.Stats().Timeouts)
	s.peer("SA seq=0 ack=1")
	require.Equal(t, Established, s.c.State())
}

// The timer of the SYN that is to leave again is none of the SYN/ACK that follows when both ends have sent a SYN.
func TestSYNThatMeetsAnOldConnectionAndASYN(t *testing.T) {
	s := newScript(t, withTimestamps).dial()
	s.outs = nil
	s.peer("A seq=5000 ack=700 ts=7,0")
	s.want("R seq=700", "the old connection")
	seg := s.build("S seq=0 ts=7,0")
	s.c.HandleSegment(s.now, &seg, pool.Ref{})
	s.now += strayWait
	s.c.HandleTimeout(s.now)
	s.c.HandleTimeout(s.now)
	s.drain()
	s.want("SA seq=0 ack=1", "simultaneous open")
	s.quiet("once")
	s.after(time.Second - 1)
	s.quiet("")
	s.after(1)
	s.want("SA seq=0 ack=1", "again")
}

// RFC 6298 section 3: a round trip is not measured with a segment that was sent again, unless a timestamp tells which copy has been
// answered. Section 5.7: the timeout is 3 s then.
func TestRoundTripOfARepeatedSYN(t *testing.T) {
	for echo, rtt := range map[string]time.Duration{"ts=7,0": 0, "ts=7,1000": 40 * time.Millisecond} {
		s := newScript(t, withTimestamps).dial()
		s.want("S seq=0", "it gets lost, or the answer does")
		s.after(time.Second)
		s.want("S seq=0", "again")
		s.after(40 * time.Millisecond)
		s.peer("SA seq=0 ack=1 mss=1460 win=65535 " + echo)
		perf := s.c.Stats().Perf
		require.Equal(t, rtt, perf.SmoothedRTT)
		if rtt == 0 {
			require.Equal(t, 3*time.Second, perf.CurRTO)
		}
		require.Greater(t, perf.CurCwnd, int64(9*1448), "RFC 6928 section 2: one retransmission does not matter")
	}
}

// RFC 6928 section 2: the initial window is one segment after "more than one" retransmission.
func TestSlowStartAfterTwoLostSYNs(t *testing.T) {
	s := newScript(t).dial()
	s.after(3 * time.Second)
	s.outs = nil
	s.peer("SA seq=0 ack=1 mss=1460 win=65535")
	s.want("A seq=1 ack=1", "the third segment")
	s.send(5000)
	s.want("A seq=1 len=1460", "one segment")
	s.quiet("and no more")
}

func TestActiveOpen(t *testing.T) {
	s := newScript(t).dial()
	s.want("S seq=0", "we open")
	s.after(30 * time.Millisecond)
	s.peer("SA seq=0 ack=1 win=1000 mss=1000")
	s.want("A seq=1 ack=1 len=0", "the third segment")
	s.happened("established")
	require.Equal(t, 30*time.Millisecond, s.c.Stats().Perf.SmoothedRTT, "the SYN has measured it")
	s.send(3000)
	s.want("A seq=1 len=1000", "the peer takes 1000 in a segment, and in all")
	s.quiet("no window scale was agreed on")
}

func TestPassiveOpenAnswersOnlyWhatWasOffered(t *testing.T) {
	s := newScript(t, withTimestamps)
	syn := s.build("S seq=0 mss=1200 win=500")
	s.c = Accept(0, s.cfg, s, &syn)
	s.drain()
	out := s.want("SA seq=0 ack=1 mss=1460", "MSS is no negotiation")
	require.Len(t, out.Options, 4, "timestamps, SACK and window scale were not offered")

	s = newScript(t, withTimestamps)
	syn = s.build("S seq=0 mss=1200 ws=3 sackok ts=777,0 win=500")
	s.c = Accept(0, s.cfg, s, &syn)
	s.drain()
	s.want("SA seq=0 ack=1 mss=1460 ws=1 sackok ts=0,777", "all of them were")
	s.peer("A seq=1 ack=1 ts=778,0 win=500")
	s.happened("established")
	require.EqualValues(t, 500<<3, s.c.Stats().Perf.CurRwinRcvd)
}

func TestSYNACKIsRepeatedAndADuplicateSYNAnswered(t *testing.T) {
	s := newScript(t)
	syn := s.build("S seq=0")
	s.c = Accept(0, s.cfg, s, &syn)
	s.drain()
	s.want("SA seq=0 ack=1", "first")
	s.after(time.Second)
	s.want("SA seq=0 ack=1", "after the initial RTO")
	s.peer("S seq=0")
	s.want("SA seq=0 ack=1", "the peer has not seen it")
	s.peer("A seq=1 ack=1")
	s.happened("established")
	s.peer("PA seq=1 len=10 ack=1")
	s.want("A ack=11", "it works")
}

func TestRepeatedSYNACKIsAcknowledgedAgain(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.peer("SA seq=0 ack=1")
	s.want("A seq=1 ack=1", "our third segment was lost; with Multipath TCP this is how its option comes again")
}

func TestSynSentRefusesWrongAcks(t *testing.T) {
	s := newScript(t).dial()
	s.want("S", "we open")
	s.peer("SA seq=0 ack=2")
	s.want("R seq=2", "RFC 9293 section 3.10.7.3: <SEQ=SEG.ACK><CTL=RST>")
	s.peer("A seq=0 ack=0")
	s.want("R seq=0", "likewise")
	s.peer("RA seq=0 ack=7")
	s.quiet("a RST is never answered")
	s.peer("R seq=0")
	s.quiet("a RST without ACK proves nothing")
	s.peer("A seq=0 ack=1")
	s.quiet("neither SYN nor RST: dropped")
	require.Equal(t, SynSent, s.c.State())
	s.peer("RA seq=0 ack=1")
	s.happened("closed tcp: connection refused")
}

func TestSimultaneousOpen(t *testing.T) {
	s := newScript(t).dial()
	s.want("S seq=0", "we open")
	s.peer("S seq=0 mss=1000")
	s.want("SA seq=0 ack=1", "figure 7: both open")
	require.Equal(t, SynReceived, s.c.State())
	s.peer("SA seq=0 ack=1 mss=1000")
	s.happened("established")
	require.Equal(t, Established, s.c.State())
	s.want("A seq=1 ack=1", "its SYN/ACK is an old sequence number")
}

func TestSimultaneousOpenEndsWithABareACKToo(t *testing.T) {
	s := newScript(t).dial()
	s.peer("S seq=0 mss=1000")
	s.outs = nil
	s.peer("A seq=1 ack=1")
	s.happened("established")
}

func TestHalfOpenConnectionIsReset(t *testing.T) {
	s := newScript(t)
	syn := s.build("S seq=0")
	s.c = Accept(0, s.cfg, s, &syn)
	s.drain()
	s.outs = nil
	s.peer("A seq=1 ack=5")
	s.want("R seq=5", "in SYN-RECEIVED an ACK of what was never sent is answered with a RST")
	require.Equal(t, SynReceived, s.c.State())
	s.peer("R seq=1")
	s.happened("closed tcp: connection refused")
}

func TestDataWithTheThirdSegment(t *testing.T) {
	s := newScript(t)
	syn := s.build("S seq=0")
	s.c = Accept(0, s.cfg, s, &syn)
	s.drain()
	s.outs = nil
	s.peer("PA seq=1 len=100 ack=1")
	s.happened("established")
	require.EqualValues(t, 101, s.got)
	s.want("A ack=101", "it counts")
}

func TestResetOfASegmentWithoutConnection(t *testing.T) {
	s := newScript(t)
	seg := s.build("A seq=10 ack=20 len=5")
	r, ok := Reset(&seg)
	require.True(t, ok)
	require.Equal(t, packet.RST, r.Flags)
	require.Equal(t, seg.Ack, r.Seq, "<SEQ=SEG.ACK><CTL=RST>")
	seg = s.build("SF seq=10 len=5")
	r, ok = Reset(&seg)
	require.True(t, ok)
	require.Equal(t, packet.RST|packet.ACK, r.Flags)
	require.Zero(t, r.Seq)
	require.Equal(t, seg.Seq+7, r.Ack, "<SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>, where SYN and FIN count")
	seg = s.build("RA seq=10")
	_, ok = Reset(&seg)
	require.False(t, ok)
}
