package recovery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Section 6.2, step 4: "when no reordering has been observed, ... one way the sender can enter fast
// recovery is when the number of SACKed segments matches or exceeds DupThresh".
func TestRFC8985DupThresh(t *testing.T) {
	x := newScript(t, 10).send(0, 10).at(100)
	require.False(t, x.ack(0, 1, 2).Entered)
	require.False(t, x.ack(0, 1, 3).Entered)
	o := x.ack(0, 1, 4)
	require.True(t, o.Entered)
	require.EqualValues(t, simMSS, o.Lost)
	x.lost(0, 1)
}

// "the sender also enters fast recovery when there are any number of SACKed segments, as long as the
// reorder window has passed": min_RTT/4, told by the timer.
func TestRFC8985ReorderingTimer(t *testing.T) {
	x := newScript(t, 10).send(0, 2).at(100)
	require.False(t, x.ack(0, 1, 2).Entered)
	x.lost()
	x.timer(126, Reorder) // sent at 0, RACK.rtt 100, reo_wnd 25, and 1 for an ACK that is being read
	x.lost(0, 1)
	require.Len(t, x.ctl.losses, 1)
	require.True(t, x.s.Recovering())
}

// A hole that closes within the reordering window is reordering, no loss; from then on three SACKed
// segments do not suffice: "if some reordering has been observed, then RACK does not trigger fast
// recovery based on DupThresh".
func TestRFC8985ReorderingSeen(t *testing.T) {
	x := newScript(t, 20).send(0, 2).at(100)
	x.ack(0, 1, 2)
	x.at(110)
	require.False(t, x.ack(2).Entered)
	x.at(200).send(2, 12).at(300)
	require.False(t, x.ack(2, 3, 9).Entered)
	x.lost()
	x.timer(326, Reorder)
	x.lost(2, 3)
	require.Empty(t, x.ctl.losses[1:])
}

// Section 6.2: "Suppose R1 is lost again but R2 is SACKed; RACK will mark R1 as lost and trigger
// retransmission again" (section 9.1, example 2).
func TestRFC8985LostRetransmission(t *testing.T) {
	x := newScript(t, 10).send(0, 5).at(100)
	x.ack(0, 2, 5)
	x.lost(0, 2)
	x.send(0, 1).at(101).send(1, 2)
	x.lost()
	x.at(201)
	require.EqualValues(t, simMSS, x.ack(0, 1, 5).Lost)
	x.lost(0, 1)
	x.send(0, 1).at(301)
	require.True(t, x.ack(5).Recovered)
	require.EqualValues(t, 3*simMSS, x.s.Retransmitted())
}

// What leaves at one instant is ordered as it left, not by offset: new data first, then a
// retransmission, says nothing about the retransmission when only the new data arrives.
func TestRFC8985OneInstant(t *testing.T) {
	x := newScript(t, 20).send(0, 4).at(100)
	x.ack(0, 1, 4)
	x.send(4, 6).send(0, 1)
	x.at(200)
	require.Zero(t, x.ack(0, 1, 5).Lost)
	require.Zero(t, x.ack(0, 1, 6).Lost)
	x.send(6, 8).at(300)
	require.EqualValues(t, simMSS, x.ack(0, 1, 7).Lost, "sent after it, and arrived")
}

// Step 2: "ignore a segment as invalid if any of its sequence range has been retransmitted before and
// ... the segment was last retransmitted less than RACK.min_rtt ago".
func TestRFC8985Ambiguity(t *testing.T) {
	x := newScript(t, 10, noTimestamps).send(0, 5).at(100)
	x.ack(0, 2, 5)
	x.send(0, 2).at(120) // the ACK of the originals, late
	x.ack(1, 2, 5)
	require.Equal(t, rtt, x.s.rack.rtt)
	require.Zero(t, x.last.Lost, "the retransmission of 1 left after what has arrived")
}

// Step 4: "RACK.reo_wnd becomes (N+1) * min_RTT / 4" after N round trips with a DSACK, "with an
// upper-bound of SRTT", and for 16 recoveries.
func TestRFC8985AdaptsToDSACK(t *testing.T) {
	x := newScript(t, 20)
	k := &x.s.rack
	at, n := 0, 0
	recovery := func(dsack bool) {
		x.at(at).send(n, n+5).at(at + 100)
		x.ack(n, n+2, n+5)
		if x.s.Lost() == 0 {
			next, _ := x.s.Next()
			x.now = next
			require.Equal(t, Reorder, x.s.OnTimer(next))
		}
		at = int(x.now / ms(1))
		x.send(n, n+2).at(at + 100)
		x.ack(n + 5)
		if dsack {
			x.send(n+5, n+6) // so that there is a round trip
			a := Ack{Off: off(n + 5), Pure: true}
			a.HasDSACK, a.DSACK = true, segments(n, n+1)[0]
			x.acks(a)
			x.acks(a) // one per round trip counts
			x.at(at + 200).ack(n + 6)
			n++
		}
		at += 300
		n += 5
	}
	k.reordering = true
	for want := int64(2); want <= 7; want++ {
		recovery(true)
		require.Equal(t, want, k.multiplier)
		require.Equal(t, min(ms(25)*ms(int(want))/ms(1), x.s.SRTT()), x.s.reorderingWindow())
	}
	for range 15 {
		recovery(false)
	}
	require.EqualValues(t, 7, k.multiplier)
	recovery(false)
	require.EqualValues(t, 1, k.multiplier)
	require.Equal(t, ms(25), x.s.reorderingWindow())
}

// Section 6.3: the timeout takes the first segment for lost, of the others those only that are old
// enough.
func TestRFC8985TimeoutMarks(t *testing.T) {
	x := newScript(t, 10).send(0, 2).at(100)
	x.ack(0) // nothing
	x.at(250).send(2, 4)
	x.s.tlp.sampled = false // the probe was had
	x.s.rearm()
	x.timer(300, RTO)
	// Without a delivery RACK knows nothing, and all is lost.
	require.EqualValues(t, 4*simMSS, x.s.Lost())

	x = newScript(t, 10).send(0, 1).at(100)
	x.ack(1)
	x.send(1, 3).at(380).send(3, 4)
	x.s.tlp.sampled = false
	x.s.rearm()
	at, _ := x.s.Next()
	x.now = at
	require.Equal(t, RTO, x.s.OnTimer(at))
	require.EqualValues(t, 2*simMSS, x.s.Lost())
	require.EqualValues(t, simMSS, x.s.InFlight())
	require.True(t, x.ctl.losses[0].Timeout)
	require.EqualValues(t, simMSS, x.s.Allowance(x.now), "the first retransmission leaves although the window is taken")
}
