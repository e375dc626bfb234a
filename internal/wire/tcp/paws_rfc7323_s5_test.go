package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTimestampsAreEchoed(t *testing.T) {
	s := dialed(t, "mss=1460 ts=1000,0", withTimestamps)
	s.after(90 * time.Millisecond)
	s.peer("A seq=1 len=100 ack=1 ts=1001,0")
	s.want("A ack=101 ts=100,1001", "our clock has 1 ms ticks")
}

// Section 4.3: with delayed ACKs the earliest unacknowledged segment is echoed, and a hole keeps the last
// one before it.
func TestTheEarliestTimestampIsEchoed(t *testing.T) {
	s := dialed(t, "mss=1460 ts=1000,0", withTimestamps)
	for i := range 20 {
		s.peer("A ack=1 ts=1000,0 len=1448 seq=" + itoa(1+1448*i))
	}
	s.after(100 * time.Millisecond)
	s.outs = nil
	seq := 1 + 1448*20
	s.peer("A ack=1 ts=1001,0 len=1448 seq=" + itoa(seq))
	s.peer("A ack=1 ts=1002,0 len=1448 seq=" + itoa(seq+1448))
	s.want("A ts=110,1001 ack="+itoa(seq+2896), "(A) delayed ACKs")
	seq += 2896
	s.peer("A ack=1 ts=1005,0 len=1448 seq=" + itoa(seq+1448))
	s.want("A ts=110,1001 ack="+itoa(seq), "(B) a hole")
	s.peer("A ack=1 ts=1004,0 len=1448 seq=" + itoa(seq))
	s.want("A ts=110,1004 ack="+itoa(seq+2896), "(C) a filled hole")
}

func TestPAWSDropsOldDuplicates(t *testing.T) {
	s := dialed(t, "mss=1460 ts=1000,0", withTimestamps)
	s.peer("A seq=1 len=100 ack=1 ts=2000,0")
	s.outs = nil
	s.peer("A seq=101 len=100 ack=1 ts=1999,0")
	s.want("A ack=101 ts=10,2000", "R1: an acknowledgment in reply")
	require.EqualValues(t, 101, s.got, "and it is dropped")
	s.peer("A seq=101 len=100 ack=1 ts=2000,0")
	require.EqualValues(t, 201, s.got, "the same timestamp is not older")
	s.peer("R seq=201 ts=1,0")
	require.Equal(t, Closed, s.c.State(), "PAWS is not for RSTs")
}

func TestPAWSEndsAfter24Days(t *testing.T) {
	s := dialed(t, "mss=1460 ts=1000,0", withTimestamps)
	s.now += 24*24*time.Hour + time.Second
	s.peer("A seq=1 len=100 ack=1 ts=1,0")
	require.EqualValues(t, 101, s.got, "TS.Recent is outdated")
	s.peer("A seq=101 len=100 ack=1 ts=2,0")
	require.EqualValues(t, 201, s.got)
}

func TestPAWSHasAWrap(t *testing.T) {
	s := dialed(t, "mss=1460 ts=4294967290,0", withTimestamps)
	s.peer("A seq=1 len=100 ack=1 ts=5,0")
	require.EqualValues(t, 101, s.got, "5 comes after 2^32-6")
	s.peer("A seq=101 len=100 ack=1 ts=4294967295,0")
	require.EqualValues(t, 101, s.got, "and 2^32-1 before 5")
}

func TestASegmentWithoutTimestampIsDropped(t *testing.T) {
	s := dialed(t, "mss=1460 ts=1000,0", withTimestamps)
	s.outs = nil
	s.peer("A seq=1 len=100 ack=1")
	s.quiet("section 3.2: silently")
	require.EqualValues(t, 1, s.got)
	s.peer("R seq=1")
	require.Equal(t, Closed, s.c.State(), "RSTs need none")
}

func TestASYNACKFromTheFutureIsDropped(t *testing.T) {
	s := newScript(t, withTimestamps).dial()
	s.outs = nil
	s.peer("SA seq=0 ack=1 ts=1000,5000")
	require.Equal(t, SynSent, s.c.State(), "it echoes a clock that has not come there yet")
	s.peer("SA seq=0 ack=1 ts=1000,0")
	require.Equal(t, Established, s.c.State())
}

// Section 2.3: a shift above 14 counts as 14.
func TestWindowScaleIsCapped(t *testing.T) {
	s := dialed(t, "mss=1460 ws=200 win=10")
	s.peer("A seq=1 ack=1 win=10")
	require.EqualValues(t, 10<<14, s.c.Stats().Perf.CurRwinRcvd)
}

// Section 2.2: the window of a SYN/ACK is not scaled.
func TestTheWindowOfASYNACKIsNotScaled(t *testing.T) {
	s := dialed(t, "mss=1000 ws=10 win=3000")
	require.EqualValues(t, 3000, s.c.Stats().Perf.CurRwinRcvd)
	s.peer("A seq=1 ack=1 win=3")
	require.EqualValues(t, 3072, s.c.Stats().Perf.CurRwinRcvd)
}
