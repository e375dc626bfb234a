package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheWindowIsKept(t *testing.T) {
	s := dialed(t, "mss=1000 win=2500")
	s.send(5000)
	s.wantData(1, 2001, "two full segments fit; the rest of the window would be a short one, and holds less than half of the largest seen")
	s.quiet("silly window avoidance of the sender (section 3.8.6.2.1)")
	s.peer("A seq=1 ack=1001 win=2500")
	s.wantData(2001, 3001, "the window has moved on")
}

func TestHalfTheWindowIsWorthASegment(t *testing.T) {
	s := dialed(t, "mss=1460 win=1000")
	s.send(3000)
	s.want("A seq=1 len=1000", "at least half of the largest window ever seen (section 3.8.6.2.1, 3)")
}

func TestZeroWindowIsProbed(t *testing.T) {
	s := dialed(t, "mss=1000 win=0")
	s.send(500)
	s.quiet("the window is closed")
	var at []time.Duration
	begin := s.now
	for range 5 {
		for len(s.outs) == 0 {
			s.after(10 * time.Millisecond)
		}
		s.want("A seq=-1 len=0", "a probe repeats an old sequence number, which must be answered")
		at = append(at, s.now-begin)
		s.peer("A seq=1 ack=1 win=0")
	}
	require.GreaterOrEqual(t, at[0], 200*time.Millisecond, "when it has been closed for a retransmission timeout")
	for i := 1; i < 5; i++ {
		require.InDelta(t, 2, float64(at[i]-at[i-1])/float64(at[i-1]-append([]time.Duration{0}, at...)[i-1]), 0.2, "the interval grows exponentially")
	}
	s.peer("A seq=1 ack=1 win=1000")
	s.want("A seq=1 len=500", "it has opened")
}

func TestAnsweredProbesGoOnForEver(t *testing.T) {
	s := dialed(t, "mss=1000 win=0", func(c *Config) { c.UserTimeout = time.Minute })
	s.send(500)
	for range 300 {
		s.after(20 * time.Second)
		s.outs = nil
		s.peer("A seq=1 ack=1 win=0")
	}
	require.Equal(t, Established, s.c.State(), "MUST allow the connection to stay open")
	s.after(3 * time.Minute)
	require.Equal(t, Closed, s.c.State(), "until the answers end")
	require.Contains(t, s.events, "closed tcp: timed out")
}

func TestUnansweredProbesEnd(t *testing.T) {
	s := dialed(t, "mss=1000 win=0", func(c *Config) { c.Retries = 4 })
	s.send(500)
	s.after(time.Hour)
	require.Equal(t, Closed, s.c.State())
	require.EqualValues(t, 4, s.c.Stats().WindowProbes)
}

func TestASmallWindowIsUsedInTheEnd(t *testing.T) {
	s := dialed(t, "mss=1000 win=4000")
	s.send(3000)
	s.outs = nil
	s.peer("A seq=1 ack=3001 win=100")
	s.send(1000)
	s.quiet("100 bytes are not worth a segment")
	s.after(3 * time.Second)
	s.want("A seq=3001 len=100", "the override timeout (section 3.8.6.2.1, 4)")
}

func TestAFINPassesAClosedWindow(t *testing.T) {
	s := dialed(t, "mss=1000 win=0")
	s.close()
	s.after(3 * time.Second)
	s.want("FA seq=1 len=0", "it takes no room")
}

func TestAWindowThatShrinks(t *testing.T) {
	s := dialed(t, "mss=1000 win=5000", func(c *Config) { c.Retries = 3 })
	s.send(5000)
	s.wantData(1, 5001, "all of it")
	s.peer("A seq=1 ack=1001 win=0")
	s.send(1000)
	s.quiet("nothing new leaves")
	for range 60 {
		s.after(time.Second)
		s.outs = nil
		s.peer("A seq=1 ack=1001 win=0")
	}
	require.Equal(t, Established, s.c.State(), "SHOULD NOT time out: the peer is alive")
	s.peer("A seq=1 ack=1001 win=9000")
	s.after(3 * time.Minute)
	require.Equal(t, Closed, s.c.State(), "but now it should have taken the data")
}

func TestAnOldSegmentDoesNotMoveTheWindow(t *testing.T) {
	s := dialed(t, "mss=1000 win=5000")
	s.peer("A seq=1 len=10 ack=1 win=4000")
	s.peer("A seq=1 ack=1 win=100")
	require.EqualValues(t, 4000, s.c.Stats().Perf.CurRwinRcvd, "SND.WL1: older than what has told 4000")
	s.peer("A seq=11 ack=1 win=300")
	require.EqualValues(t, 300, s.c.Stats().Perf.CurRwinRcvd)
}

// The receiver's side: section 3.8.6.2.2.
func TestOurWindowClosesAndOpensByMuch(t *testing.T) {
	s := dialed(t, "mss=1000", func(c *Config) { c.RecvBuffer = 8000 })
	s.keep = true
	for i := range 8 {
		s.peer(segmentLine(1+1000*i, 1000))
	}
	s.after(delayedAck)
	last := s.outs[len(s.outs)-1]
	require.Zero(t, last.Window, "all 8000 wait for the program")
	require.EqualValues(t, 8001, s.got)
	s.outs = nil
	s.peer(segmentLine(8001, 1000))
	s.want("A ack=8001 win=0", "no room: the byte is dropped, and the ACK says why")
	require.EqualValues(t, 8001, s.got)
	s.c.Consumed(s.now, 100)
	s.drain()
	s.quiet("100 bytes are a silly window")
	s.c.Consumed(s.now, 2000)
	s.drain()
	s.want("A ack=8001 win=2100", "a segment's worth is not")
	s.peer(segmentLine(8001, 1000))
	s.keep = false
	require.EqualValues(t, 9001, s.got)
}

func TestOurWindowNeverShrinks(t *testing.T) {
	s := dialed(t, "mss=1000 ws=2", func(c *Config) { c.RecvBuffer = 200_001 })
	s.keep = true
	scale := s.c.Stats().Stack.WinScaleSent
	require.EqualValues(t, 2, scale)
	edge := 0
	seq := 1
	for i := range 40 {
		n := 1 + i*37%997
		s.peer(segmentLine(seq, n))
		seq += n
		s.after(delayedAck)
		for _, o := range s.outs {
			e := int(o.Ack-peerISN) + int(o.Window)<<scale
			require.GreaterOrEqual(t, e, edge, "the right edge, rounding included")
			require.LessOrEqual(t, e, 1+(64<<10)*9/8, "and little more than there is")
			edge = e
		}
		s.outs = nil
	}
}

func TestOurWindowGrowsWithWhatIsTaken(t *testing.T) {
	s := dialed(t, "mss=1460 ws=7", func(c *Config) { c.RecvBuffer = 4 << 20 })
	scale := s.c.Stats().Stack.WinScaleSent
	first, last, seq := 0, 0, 1
	for range 200 {
		for range 30 {
			s.peer(segmentLine(seq, 1460))
			seq += 1460
		}
		s.after(10 * time.Millisecond) // the round trip of the handshake
		for _, o := range s.outs {
			if first == 0 {
				first = int(o.Window) << scale
			}
			last = int(o.Window) << scale
		}
		s.outs = nil
	}
	require.LessOrEqual(t, first, 70_000, "it begins small")
	require.GreaterOrEqual(t, last, 2*30*1460, "twice what comes in a round trip")
	require.Less(t, last, 1<<20, "and not more than that needs")
}

func TestNagle(t *testing.T) {
	s := dialed(t, "mss=1000", func(c *Config) { c.NoDelay = false })
	s.send(10)
	s.want("A seq=1 len=10", "nothing is in flight")
	s.send(20)
	s.send(30)
	s.quiet("a short segment is in flight: RFC 9293 section 3.7.4")
	s.peer("A seq=1 ack=11")
	s.want("A seq=11 len=50", "together")
	s.send(1000)
	s.want("A seq=61 len=1000", "a full segment does not wait")
	s.peer("A seq=1 ack=61")
	s.send(5)
	s.want("A seq=1061 len=5", "Minshall: behind full segments, a short one does not wait")
	s.send(6)
	s.quiet("but the next one does")
	s.close()
	s.want("FA seq=1066 len=6", "a FIN ends the wait")
}

func TestNoDelay(t *testing.T) {
	s := dialed(t, "mss=1000")
	for i := range 3 {
		s.send(10)
		s.want("A len=10 seq="+itoa(1+10*i), "at once")
	}
}
