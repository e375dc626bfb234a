package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Section 3: blind reset.
func TestBlindReset(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.peer("R seq=70000")
	s.quiet("outside the window: dropped")
	s.peer("R seq=-1")
	s.quiet("outside the window: dropped")
	s.peer("R seq=500")
	s.want("A seq=1 ack=1", "in the window, but not the very next number: a challenge")
	require.Equal(t, Established, s.c.State())
	s.peer("R seq=1")
	require.Equal(t, Closed, s.c.State(), "the very next")
}

// Section 4: blind SYN.
func TestBlindSYN(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.peer("S seq=1")
	s.want("A seq=1 ack=1", "whatever its number, a challenge")
	s.peer("S seq=500")
	s.want("A seq=1 ack=1", "likewise")
	s.peer("S seq=900000")
	s.want("A seq=1 ack=1", "likewise")
	require.Equal(t, Established, s.c.State())
}

// Section 5: blind data.
func TestBlindData(t *testing.T) {
	s := dialed(t, "mss=1460 win=1000")
	s.send(500)
	s.outs = nil
	s.peer("A seq=1 len=10 ack=502")
	s.want("A ack=1", "an ACK of what was never sent")
	s.peer("A seq=1 len=10 ack=-100000")
	s.want("A ack=1", "an ACK older than any window")
	require.EqualValues(t, 1, s.got, "and neither counts")
	s.peer("A seq=1 len=10 ack=501")
	require.EqualValues(t, 11, s.got)
	s.peer("A seq=11 len=10 ack=0")
	require.EqualValues(t, 21, s.got, "old, but not older than the largest window")
}

// Section 5.2: "(SND.UNA - MAX.SND.WND) <= SEG.ACK".
func TestOldestACKOfBlindData(t *testing.T) {
	s := dialed(t, "mss=1460 win=1000")
	for una := 1; una < 3001; una += 500 {
		s.send(500)
		s.peer(fmt.Sprintf("A seq=1 ack=%d win=1000", una+500))
	}
	s.outs = nil
	s.peer("A seq=1 len=10 ack=2000 win=1000")
	s.want("A ack=1", "older by one than the largest window")
	require.EqualValues(t, 1, s.got)
	s.peer("A seq=1 len=10 ack=2001 win=1000")
	require.EqualValues(t, 11, s.got)
}

// Section 7: the challenges are limited, and come again with time.
func TestChallengesAreLimited(t *testing.T) {
	s := dialed(t, "mss=1460")
	for range 1000 {
		s.peer("R seq=500")
	}
	require.LessOrEqual(t, len(s.outs), 10)
	s.outs = nil
	s.after(5 * time.Second)
	for range 1000 {
		s.peer("S seq=500")
	}
	require.Len(t, s.outs, 10)
	require.Equal(t, Established, s.c.State())
}

// Two ends that find each other's empty segments unacceptable must not answer for ever.
func TestACKsOutsideTheWindowAreAnsweredByALimit(t *testing.T) {
	s := dialed(t, "mss=1460")
	for range 1000 {
		s.peer("A seq=-500 ack=1")
	}
	require.LessOrEqual(t, len(s.outs), 10)
	require.NotEmpty(t, s.outs)
}

func TestASegmentWithoutACKIsDropped(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.peer("P seq=1 len=10")
	s.quiet("RFC 9293 section 3.10.7.4, fifth")
	require.EqualValues(t, 1, s.got)
}

func TestUrgentDataIsOrdinaryData(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.peer("UPA seq=1 len=10 ack=1")
	require.EqualValues(t, 11, s.got, "RFC 6093 section 5: it should be in line")
}

// A peer that has restarted and lost its state finds out by the challenge, timestamps or not.
func TestARestartedPeerIsChallenged(t *testing.T) {
	s := dialed(t, "mss=1460 ts=1000,0", withTimestamps)
	s.peer("S seq=123456 mss=1460")
	s.want("A seq=1 ack=1", "a SYN needs no timestamp to be answered")
	s.peer("R seq=1")
	s.happened("closed tcp: connection reset by peer")
}
