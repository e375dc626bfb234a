package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Section 6.1.2: one reaction for a window of data, spread over the round trip, and CWR with it.
func TestRFC3168OncePerWindow(t *testing.T) {
	x := newScript(t, 10).send(0, 10).at(100)
	mark := func(n int) Outcome { return x.acks(Ack{Off: off(n), ECE: true, Pure: true}) }
	o := mark(1)
	require.True(t, o.CWR)
	require.Zero(t, o.Lost)
	require.True(t, x.ctl.losses[0].ECN)
	for n := 2; n < 10; n++ {
		require.False(t, mark(n).CWR)
	}
	require.Len(t, x.ctl.losses, 1)
	require.False(t, x.s.Recovering())
	x.ack(10)
	x.send(10, 15).at(200)
	require.True(t, mark(11).CWR, "the next window")
	require.Len(t, x.ctl.losses, 2)
}

// A loss in the same window is no second reason, and a mark in recovery none at all.
func TestRFC3168WithLoss(t *testing.T) {
	x := newScript(t, 10).send(0, 10).at(100)
	x.ack(0, 1, 4)
	require.True(t, x.s.Recovering())
	require.False(t, x.acks(Ack{Off: off(0), Sacks: segments(1, 5), ECE: true, Pure: true}).CWR)
	require.EqualValues(t, 5*simMSS, x.s.Window())
}

func TestMarkedTransfer(t *testing.T) {
	w := checked(t, newWorld(300*simMSS, rtt))
	w.mark = func(_ *world, p packet) bool { return p.number == 40 }
	require.True(t, w.run(time.Minute))
	require.Zero(t, w.again)
	require.Less(t, w.ctl.Metrics().SSThresh, int64(40*simMSS))
	require.Positive(t, w.ctl.Metrics().SSThresh)
}
