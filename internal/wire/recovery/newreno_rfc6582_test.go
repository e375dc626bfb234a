package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// RFC 5681 section 3.2 with RFC 3042: the first two duplicate ACKs let new segments out, the third
// starts fast retransmit; RFC 6582: a partial acknowledgment retransmits the next one, the full one ends it.
func TestRFC6582Recovery(t *testing.T) {
	x := newScript(t, 10, noSACK).send(0, 10).at(100)
	for n := range 2 {
		require.True(t, x.ack(0).Duplicate)
		require.EqualValues(t, simMSS, x.s.Allowance(x.now), "limited transmit")
		x.send(10+n, 11+n)
	}
	o := x.ack(0)
	require.True(t, o.Entered)
	x.lost(0, 1)
	require.EqualValues(t, simMSS, x.s.Allowance(x.now))
	x.send(0, 1)
	for range 5 { // 0 and 5 are lost, of ten
		x.ack(0)
	}
	require.EqualValues(t, 12*simMSS-8*simMSS, x.s.InFlight())
	x.at(200)
	o = x.ack(5)
	require.False(t, o.Recovered)
	require.EqualValues(t, simMSS, o.Lost)
	x.lost(5, 6)
	require.Len(t, x.ctl.losses, 2, "each detection is told")
	require.EqualValues(t, 5*simMSS, x.ctl.window, "one reduction")
	x.send(5, 6).at(300)
	require.True(t, x.ack(12).Recovered)
	require.Zero(t, x.s.InFlight())
	require.Equal(t, int64(2*simMSS), x.s.Retransmitted())
}

// Section 3.2, step 2: no fast retransmit for duplicates that recovery itself has caused.
func TestRFC6582Recover(t *testing.T) {
	x := newScript(t, 10, noSACK).send(0, 10)
	x.timer(300, RTO)
	x.lost(0, 10)
	x.send(0, 1).at(400)
	x.ack(10)
	x.send(10, 14)
	for range 5 {
		require.False(t, x.ack(10).Entered)
	}
	x.at(500).ack(11)
	for range 3 {
		x.ack(11)
	}
	require.True(t, x.last.Entered)
}

// RFC 5681 section 2: what is no duplicate ACK. RFC 8684 section 3.9: one that carries MPTCP options.
func TestRFC5681Duplicate(t *testing.T) {
	for name, a := range map[string]Ack{
		"payload": {Off: off(0)}, "window": {Off: off(0), Pure: true, WindowChanged: true},
		"options": {Off: off(0), Pure: true, OptionsOnly: true}, "old": {Off: 0, Pure: true},
	} {
		x := newScript(t, 10, noSACK).send(0, 10).at(100)
		for range 5 {
			require.False(t, x.acks(a).Duplicate, name)
		}
		require.Empty(t, x.ctl.losses, name)
		require.EqualValues(t, 10*simMSS, x.s.InFlight(), name)
	}
}

// However many duplicates a peer makes up, they do not say that more has left than was sent.
func TestDuplicateFlood(t *testing.T) {
	x := newScript(t, 10, noSACK).send(0, 10).at(100)
	for range 1000 {
		x.ack(0)
		require.GreaterOrEqual(t, x.s.InFlight(), int64(0))
	}
	require.LessOrEqual(t, x.s.Allowance(x.now), int64(10*simMSS))
}

// Whole transfers without SACK.
func TestWithoutSACK(t *testing.T) {
	for _, lost := range [][]int{{0}, {5}, {7, 9}, {20, 21, 22}, {30, 35, 40}} {
		w := checked(t, newWorld(200*simMSS, rtt, noSACK))
		w.lose = nth(lost...)
		require.True(t, w.run(time.Minute))
		require.Zero(t, w.timeouts, "%v", lost)
		require.Equal(t, len(lost), w.again, "%v", lost)
		require.Zero(t, w.spurious, "%v", lost)
	}
}
