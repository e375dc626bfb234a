package tcp

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
)

func payloadRef(off uint64, n int) pool.Ref { return pool.Copy(stretch(off, n, true)) }

// past the quick acknowledgments of a beginning.
func settled(t *testing.T, opts string, tune ...func(*Config)) (s *script, seq int) {
	s = dialed(t, opts, tune...)
	seq = 1
	for range 20 {
		s.peer(segmentLine(seq, 1460))
		seq += 1460
	}
	s.after(100 * time.Millisecond)
	s.outs = nil
	return s, seq
}

func segmentLine(seq, n int) string {
	return "A ack=1 seq=" + itoa(seq) + " len=" + itoa(n)
}

func itoa(n int) string {
	if n < 0 {
		return "-" + itoa(-n)
	}
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func TestTheBeginningIsAcknowledgedSegmentBySegment(t *testing.T) {
	s := dialed(t, "mss=1460")
	for i := range 8 {
		s.peer(segmentLine(1+1460*i, 1460))
		s.want("A ack="+itoa(1+1460*(i+1)), "slow start of the peer lives on acknowledgments")
	}
}

// A Read that has more to come for in a moment keeps the ACK back: for so long, for so much, and until there is no more.
func TestAcknowledgementWaitsForWhoReadsOn(t *testing.T) {
	const piece = 40 * 1460
	s, seq := settled(t, "mss=1460")
	s.c.rcv.space, s.c.rcv.edge = 8<<20, 8<<20
	lent := func(more bool) {
		seg := s.build(segmentLine(seq, piece))
		var l pool.Loan
		l.Begin(seg.Payload, s)
		if more {
			l.Follow()
		}
		s.c.HandleSegment(s.now, &seg, l.Ref(seg.Payload))
		s.c.Consumed(s.now, piece)
		l.End()
		seq += piece
		s.drain()
	}
	lent(false) // acknowledged in steps, after the silence
	s.outs = nil
	lent(false)
	s.want("A ack="+itoa(seq), "there is no more")
	lent(true)
	s.quiet("there is more")
	lent(false)
	s.want("A ack="+itoa(seq), "it has come")
	lent(true)
	lent(true)
	s.after(heldAck - time.Nanosecond)
	s.quiet("it may come yet")
	s.after(time.Nanosecond)
	s.want("A ack="+itoa(seq), "it has not come")
	for held := piece; held < heldBytes; held += piece {
		lent(true)
		s.quiet("not for so much")
	}
	lent(true)
	s.want("A ack="+itoa(seq), "enough")
}

func TestEverySecondSegmentIsAcknowledged(t *testing.T) {
	s, seq := settled(t, "mss=1460")
	for range 5 {
		s.peer(segmentLine(seq, 1460))
		s.quiet("the first of two")
		s.peer(segmentLine(seq+1460, 1460))
		seq += 2920
		s.want("A ack="+itoa(seq), "the second full-sized segment")
	}
}

func TestALoneSegmentIsAcknowledgedAfterADelay(t *testing.T) {
	s, seq := settled(t, "mss=1460")
	s.peer(segmentLine(seq, 10))
	s.after(delayedAck - time.Millisecond)
	s.quiet("it may wait for company")
	s.after(time.Millisecond)
	s.want("A ack="+itoa(seq+10), "but not for long")
	require.Less(t, delayedAck, 500*time.Millisecond)
}

func TestAnAcknowledgmentTravelsWithData(t *testing.T) {
	s, seq := settled(t, "mss=1460")
	s.peer(segmentLine(seq, 10))
	s.send(5)
	s.want("A seq=1 len=5 ack="+itoa(seq+10), "the answer carries it")
	s.after(time.Second / 10)
	s.quiet("and none is owed any more")
}

func TestOutOfOrderSegmentsAreAcknowledgedAtOnce(t *testing.T) {
	s, seq := settled(t, "mss=1460")
	s.peer(segmentLine(seq+1460, 1460))
	s.want("A ack="+itoa(seq), "a duplicate ACK")
	s.peer(segmentLine(seq+2920, 1460))
	s.want("A ack="+itoa(seq), "for each")
	s.peer(segmentLine(seq+4380, 10))
	s.want("A ack="+itoa(seq), "of them")
	s.peer(segmentLine(seq, 1460))
	s.want("A ack="+itoa(seq+4390), "and the one that fills the gap")
}

func TestDuplicatesOfABatchAreOwedEachWithoutSACK(t *testing.T) {
	for _, c := range []struct {
		opts string
		want int
	}{{"mss=1460", 4}, {"mss=1460 sackok", 1}} {
		s, seq := settled(t, c.opts)
		for i := range 4 {
			seg := s.build(segmentLine(seq+1460*(i+1), 1460))
			s.c.HandleSegment(s.now, &seg, pool.Ref{})
		}
		s.drain()
		require.Len(t, s.outs, c.want, "three duplicates make a fast retransmit; with SACK the newest says it all")
	}
}

func TestADuplicateSegmentIsAcknowledgedAtOnce(t *testing.T) {
	s, seq := settled(t, "mss=1460 sackok")
	s.peer(segmentLine(seq-1460, 1460))
	s.want("A ack="+itoa(seq)+" sack="+itoa(seq-1460)+"-"+itoa(seq), "with a DSACK")
}

// burst is n full segments that come at once from seq on, in one piece or one by one. It returns where they end.
func (s *script) burst(seq, n int, merged bool) int {
	end := seq + 1460*n
	for each := 1460; seq < end; seq += each {
		if merged {
			each = end - seq
		}
		seg := s.build(segmentLine(seq, each))
		s.c.HandleSegment(s.now, &seg, pool.Ref{})
	}
	s.drain()
	return end
}

// "an ACK SHOULD be generated for at least every second full-sized segment", however the link has put them together.
func TestABurstIsAcknowledgedTwoByTwo(t *testing.T) {
	for _, merged := range []bool{false, true} {
		s, seq := settled(t, "mss=1460")
		end := s.burst(seq, 9, merged)
		s.want("A ack="+itoa(end-4*2920), "what is left of nine: the first is alone")
		for i := range 4 {
			s.want("A ack="+itoa(end-(3-i)*2920), "two more")
		}
		s.quiet("and no more")
		s.after(time.Second / 10)
		s.quiet("none is owed")
	}
}

func TestBurstsInQuickSuccessionAreAcknowledgedOnceEach(t *testing.T) {
	s, seq := settled(t, "mss=1460 ws=7", func(c *Config) { c.RecvBuffer = 1 << 20 })
	s.after(time.Second / 10)
	end := s.burst(seq, 2, true)
	s.outs = nil
	for _, c := range []struct {
		after time.Duration
		acks  int
	}{{0, 1}, {ackSpacing - 1, 1}, {ackSpacing, 2}, {3 * ackSpacing, 4}, {time.Second / 10, 10}} {
		s.after(c.after)
		end = s.burst(end, 20, true)
		require.Len(t, s.outs, c.acks, "%v after the ACK before", c.after)
		s.outs = s.outs[c.acks-1:]
		s.want("A ack="+itoa(end), "the last acknowledges all")
	}
	s.after(time.Second / 10)
	s.burst(end, 44, true)
	require.Len(t, s.outs, 1+maxSteps, "there is a limit")
	s.outs = nil
	s.after(time.Second / 10)
	end = s.burst(end+44*1460, 50, false)
	s.want("A ack="+itoa(end), "a path that brings so much at once is fast")
	s.quiet("one for all")
}

func TestStepsEndWhereThereIsMoreToSay(t *testing.T) {
	s, seq := settled(t, "mss=1460 sackok")
	for _, at := range []int{seq, seq + 11*1460} {
		seg := s.build(segmentLine(at, 10*1460))
		s.c.HandleSegment(s.now, &seg, pool.Ref{})
	}
	s.drain()
	s.want("A ack="+itoa(seq+14600)+" sack="+itoa(seq+11*1460)+"-"+itoa(seq+21*1460), "a hole is reported at once")
	s.quiet("and nothing else is")

	s, seq = settled(t, "mss=1460")
	seg := s.build(segmentLine(seq, 10*1460))
	s.c.HandleSegment(s.now, &seg, pool.Ref{})
	s.send(10)
	s.want("A seq=1 len=10 ack="+itoa(seq+14600), "data takes the newest acknowledgment along")
	s.quiet("which leaves nothing to acknowledge")
}

// Steps were counted in segments of 536 bytes when one of 1,460 fills a hole: none goes back behind what was acknowledged.
func TestStepsGoOnlyForward(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.after(time.Second)
	const short = 8 * 536
	lines := []string{segmentLine(1+short+1460, 10), segmentLine(1+short, 1460)}
	for i := range 8 {
		lines = slices.Insert(lines, i, segmentLine(1+i*536, 536))
	}
	for _, line := range lines {
		seg := s.build(line)
		s.c.HandleSegment(s.now, &seg, pool.Ref{})
	}
	s.drain()
	acked := uint32(peerISN + 1)
	require.Greater(t, len(s.outs), 1)
	for _, out := range s.outs {
		require.Positive(t, int32(out.Ack-acked))
		require.NotZero(t, out.Window)
		acked = out.Ack
	}
	require.Equal(t, uint32(peerISN+1+short+1470), acked)
}

// "A TCP receiver SHOULD NOT shrink the window, i.e., move the right window edge to the left" (RFC 9293 section 3.8.6): a step
// promises the same edge from further back.
func TestStepsPromiseTheSameEdge(t *testing.T) {
	s, seq := settled(t, "mss=1460 ws=7", func(c *Config) { c.RecvBuffer = 1 << 20 })
	scale := s.c.rcv.scale
	require.NotZero(t, scale)
	edge := s.c.rcv.edge
	s.after(time.Second / 10)
	s.burst(seq, 20, true)
	require.Len(t, s.outs, 10)
	for i := range s.outs {
		promised := uint64(s.outs[i].Ack-peerISN) + uint64(s.outs[i].Window)<<scale
		require.GreaterOrEqual(t, promised, edge)
		require.LessOrEqual(t, promised, s.c.rcv.nxt+uint64(s.c.rcv.space+s.c.rcv.slack()), "more than there is room for")
		edge = promised
	}
	require.Equal(t, edge, s.c.rcv.edge)
	for i := range s.outs {
		require.InDelta(t, edge, uint64(s.outs[i].Ack-peerISN)+uint64(s.outs[i].Window)<<scale, 1460, "but for rounding")
	}
	require.Zero(t, s.c.Stats().DupAcksOut, "each acknowledges something")
}

func TestFirstReceivedBytesWin(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.peer("A seq=11 len=10 ack=1")
	forged := s.build("A seq=1 len=30 ack=1")
	for i := 10; i < 20; i++ {
		forged.Payload[i] ^= 0xFF // overlaps what is here already
	}
	s.c.HandleSegment(s.now, &forged, pool.Ref{}) // Data checks every byte
	require.EqualValues(t, 31, s.got)
}
