package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
)

func payloadRef(off uint64, n int) pool.Ref { return pool.Copy(stretch(off, n, true)) }

// past the quick acknowledgments of a beginning.
func settled(t *testing.T, opts string) (s *script, seq int) {
	s = dialed(t, opts)
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

func TestABurstIsAcknowledgedOnce(t *testing.T) {
	s, seq := settled(t, "mss=1460")
	for i := range 10 {
		seg := s.build(segmentLine(seq+1460*i, 1460))
		s.c.HandleSegment(s.now, &seg, pool.Ref{})
	}
	s.drain()
	s.want("A ack="+itoa(seq+14600), "segments of one batch share it")
	s.quiet("and no more")
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
