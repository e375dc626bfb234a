package recovery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Section 3 and RFC 5961 in spirit: blocks that cannot be are ignored.
func TestRFC2018Nonsense(t *testing.T) {
	x := newScript(t, 10).send(0, 10).at(100)
	for _, r := range []Range{{}, {off(5), off(5)}, {off(6), off(5)}, {off(9), off(10) + 1}, {0, off(3)}, {off(0), off(2)}, {^uint64(0) - 5, ^uint64(0)}} {
		o := x.acks(Ack{Off: off(0), Sacks: []Range{r}, Pure: true})
		require.Zero(t, o.Sacked, "%v", r)
	}
	require.EqualValues(t, 10*simMSS, x.s.InFlight())
	require.Zero(t, x.acks(Ack{Off: off(11), Pure: true}).Acked-10*simMSS, "no more than was sent")
}

// Blocks that cut a super-segment, in any order, more than once, and after their ACK is old.
func TestRFC2018Splits(t *testing.T) {
	x := newScript(t, 64)
	x.s.OnSend(0, off(0), off(60), true)
	x.at(100)
	require.EqualValues(t, 1234, x.acks(Ack{Off: off(0), Sacks: []Range{{5000, 6234}, {5500, 5600}}, Pure: true}).Sacked)
	require.EqualValues(t, 100, x.acks(Ack{Off: off(0), Sacks: []Range{{4900, 6234}}, Pure: true}).Sacked)
	require.EqualValues(t, 3000, x.acks(Ack{Off: off(0), Sacks: []Range{{9000, 11000}, {7000, 8000}}, Pure: true}).Sacked)
	x.acks(Ack{Off: 6234, Sacks: []Range{{7000, 8000}, {9000, 11000}}, Pure: true})
	require.EqualValues(t, 3000, x.s.Sacked())
	require.EqualValues(t, 1000, x.acks(Ack{Off: off(1), Sacks: []Range{{8000, 9000}}, Pure: true}).Sacked, "an old ACK tells as well")
	require.EqualValues(t, 4000, x.s.Sacked())
}

// Section 8: a peer that throws away what it had selectively acknowledged; the ACK that arrives at the
// block's left edge shows it, and the timer takes the blocks for void.
func TestRFC2018Reneging(t *testing.T) {
	x := newScript(t, 20).send(0, 10).at(100)
	x.ack(0, 2, 10)
	x.send(0, 2).at(200)
	o := x.ack(2)
	require.True(t, o.Reneged)
	require.False(t, x.ack(2).Reneged, "once")
	x.timer(250, RTO) // half a round trip later
	require.Zero(t, x.s.Sacked())
	x.lost(2, 10)
	x.send(2, 10).at(350)
	x.ack(10)
	require.Zero(t, x.s.InFlight())

	x = newScript(t, 20).send(0, 10).at(100) // it corrects itself
	x.ack(0, 2, 10)
	x.send(0, 2).at(200)
	require.True(t, x.ack(2).Reneged)
	x.at(210)
	x.ack(10)
	_, ok := x.s.Next()
	require.False(t, ok)
}

// However finely a peer cuts, the scoreboard stays bounded, and rounds inwards.
func TestScoreboardIsBounded(t *testing.T) {
	x := newScript(t, 1<<20)
	for n := 0; n < 10*64; n += 64 {
		x.s.OnSend(x.now, off(n), off(n+64), false)
	}
	x.at(100)
	end := off(640)
	for at := off(1); at+9 < end; at += 8 {
		x.s.OnAck(x.now, &Ack{Off: off(0), Sacks: []Range{{at, at + 1}, {at + 2, at + 3}, {at + 4, at + 5}}, Pure: true})
	}
	require.LessOrEqual(t, x.s.board.order.n, maxRecords)
	require.Empty(t, x.s.broken())
	for n := 640; n < 700; n++ { // records can no longer be had: the last one grows
		x.at(100+n).send(n, n+1)
	}
	require.LessOrEqual(t, x.s.board.order.n, maxRecords+2)
	x.ack(700)
	require.Zero(t, x.s.InFlight())
	x.s.Trim()
	require.Zero(t, cap(x.s.board.slab))
}
