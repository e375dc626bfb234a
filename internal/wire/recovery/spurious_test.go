package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func noProbe(x *script) *script {
	x.s.tlp.sampled = false
	x.s.rearm()
	return x
}

// RFC 3522 section 3: the first ACK after the retransmission echoes an earlier timestamp, hence the
// original. RFC 4015: the window is restored and nothing more is retransmitted.
func TestRFC3522Timeout(t *testing.T) {
	x := noProbe(newScript(t, 10).send(0, 4))
	x.timer(300, RTO)
	require.EqualValues(t, simMSS, x.s.Window())
	x.send(0, 1).at(350)
	o := x.acks(Ack{Off: off(1), HasEcho: true, EchoedAt: 0, Pure: true})
	require.True(t, o.Spurious)
	require.EqualValues(t, 10*simMSS, x.s.Window())
	require.Equal(t, 1, x.ctl.spurious)
	require.EqualValues(t, 3*simMSS, x.s.InFlight())
	x.lost()
	require.Zero(t, x.s.Backoff())
	require.False(t, x.s.Recovering())
	// RFC 4015 section 3, step 11: the estimator takes the first sample of new data.
	x.send(4, 5).at(360).ack(4)
	x.at(700)
	x.acks(Ack{Off: off(5), HasEcho: true, EchoedAt: ms(350), Pure: true})
	require.Equal(t, ms(350), x.s.RTTVar()*2)
}

// The echo of the retransmission itself says that it was needed; a tick's coarseness must not hide it.
func TestRFC3522Genuine(t *testing.T) {
	x := noProbe(newScript(t, 10).send(0, 4))
	x.timer(300, RTO)
	x.now += 700 * time.Microsecond
	x.send(0, 1).at(420)
	o := x.acks(Ack{Off: off(1), HasEcho: true, EchoedAt: ms(300), Pure: true})
	require.False(t, o.Spurious)
	x.lost(1, 4)
	require.False(t, x.acks(Ack{Off: off(2), HasEcho: true, EchoedAt: 0, Pure: true}).Spurious, "only the first ACK tells")
}

// A fast retransmission that was not needed is undone as well, and reordering is expected from then on.
func TestRFC3522FastRetransmit(t *testing.T) {
	x := newScript(t, 10).send(0, 6).at(100)
	x.ack(0, 1, 6)
	require.EqualValues(t, 5*simMSS, x.s.Window())
	x.send(0, 1).at(110)
	o := x.acks(Ack{Off: off(6), HasEcho: true, EchoedAt: 0, Pure: true})
	require.True(t, o.Spurious)
	require.EqualValues(t, 10*simMSS, x.s.Window())
	require.True(t, x.s.rack.reordering)
}

// What arrives before it could be sent again was not lost.
func TestUndoBeforeRetransmission(t *testing.T) {
	x := newScript(t, 10).send(0, 6).at(100)
	x.ack(0, 1, 6)
	x.lost(0, 1)
	require.True(t, x.ack(6).Spurious)
	require.EqualValues(t, 10*simMSS, x.s.Window())
}

// RFC 4015 section 3.4: "If the acceptable ACK has the ECN-Echo flag set", the window stays reduced.
func TestRFC4015Mark(t *testing.T) {
	x := noProbe(newScript(t, 10).send(0, 4))
	x.timer(300, RTO)
	x.send(0, 1).at(350)
	o := x.acks(Ack{Off: off(1), HasEcho: true, EchoedAt: 0, ECE: true, Pure: true})
	require.True(t, o.Spurious)
	require.Zero(t, x.ctl.spurious)
	require.EqualValues(t, simMSS, x.s.Window())
}

// RFC 2883 section 5 (by way of RFC 3708): when every retransmission is reported as a duplicate, none
// was needed, even after the recovery.
func TestRFC2883Undo(t *testing.T) {
	x := newScript(t, 10, noTimestamps).send(0, 8).at(100)
	x.ack(0, 3, 8)
	x.lost(0, 3)
	x.send(0, 3).at(110)
	require.True(t, x.ack(8).Recovered)
	x.send(8, 9).at(200)
	for n := range 3 {
		o := x.acks(Ack{Off: off(8), HasDSACK: true, DSACK: segments(n, n+1)[0], Pure: true})
		require.Equal(t, n == 2, o.Spurious)
	}
	require.EqualValues(t, 10*simMSS, x.s.Window())
	require.Equal(t, 1, x.ctl.spurious)
}

// A peer cannot report more duplicates than there were retransmissions, nor such as were never sent.
func TestRFC2883Lies(t *testing.T) {
	x := newScript(t, 10).send(0, 8).at(100)
	lie := Ack{Off: off(0), HasDSACK: true, DSACK: segments(0, 1)[0], Pure: true}
	x.acks(lie)
	require.EqualValues(t, 1, x.s.rack.multiplier)
	x.ack(0, 1, 8)
	x.send(0, 1)
	lie.DSACK = Range{off(20), off(21)}
	x.acks(lie)
	lie.DSACK = Range{off(2), off(1)}
	x.acks(lie)
	require.EqualValues(t, 1, x.s.rack.multiplier)
	lie.DSACK = segments(0, 1)[0]
	x.acks(lie)
	x.acks(lie)
	require.EqualValues(t, 2, x.s.rack.multiplier)
}

// RFC 5682 section 3.1, step 2b and 3b: after the first ACK two new segments leave; data sent before
// the timeout is acknowledged: it was spurious.
func TestRFC5682Spurious(t *testing.T) {
	for _, sack := range []bool{true, false} {
		x := newScript(t, 10, noTimestamps, func(c *Config) { c.SACK = sack }).send(0, 5)
		noProbe(x).timer(300, RTO)
		x.send(0, 1).at(350)
		require.False(t, x.acks(Ack{Off: off(1), Unsent: 10 * simMSS, Pure: true}).Spurious)
		x.lost()
		require.EqualValues(t, 2*simMSS, x.s.Allowance(x.now))
		x.send(5, 7)
		require.Zero(t, x.s.Allowance(x.now))
		x.at(360)
		require.True(t, x.acks(Ack{Off: off(2), Unsent: 10 * simMSS, Pure: true}).Spurious)
		x.lost()
		require.EqualValues(t, 10*simMSS, x.s.Window())
		require.EqualValues(t, 5*simMSS, x.s.InFlight())
	}
}

// Step 3a: the new segments are SACKed, or a duplicate ACK comes: the timeout was genuine.
func TestRFC5682Genuine(t *testing.T) {
	x := newScript(t, 10, noTimestamps).send(0, 5)
	noProbe(x).timer(300, RTO)
	x.send(0, 1).at(400)
	x.acks(Ack{Off: off(1), Unsent: simMSS, Pure: true})
	x.send(5, 7).at(500)
	require.False(t, x.acks(Ack{Off: off(1), Sacks: segments(5, 6), Unsent: simMSS, Pure: true}).Spurious)
	x.lost(1, 5)
	require.Zero(t, x.ctl.spurious)

	x = newScript(t, 10, noTimestamps, noSACK).send(0, 5)
	x.timer(300, RTO)
	x.send(0, 1).at(400)
	x.acks(Ack{Off: off(1), Unsent: simMSS, Pure: true})
	x.send(5, 7).at(500)
	require.False(t, x.acks(Ack{Off: off(1), Unsent: simMSS, Pure: true}).Spurious)
	x.lost(1, 5)
}

// Step 2: no new data, or all acknowledged: the conventional way. Step 1: not within a recovery.
func TestRFC5682Refrains(t *testing.T) {
	x := newScript(t, 10, noTimestamps).send(0, 5)
	noProbe(x).timer(300, RTO)
	x.send(0, 1).at(400)
	x.acks(Ack{Off: off(1), Pure: true})
	x.lost(1, 5)

	x = newScript(t, 10, noTimestamps).send(0, 5).at(100)
	x.ack(0, 1, 5)
	x.send(0, 1)
	at, _ := x.s.Next()
	x.now = at
	require.Equal(t, RTO, x.s.OnTimer(at))
	require.Equal(t, frtoOff, x.s.frto.state)

	x = noProbe(newScript(t, 10, noTimestamps).send(0, 5)) // but a second timeout of the same segment starts it again
	x.timer(300, RTO)
	x.send(0, 1)
	x.timer(900, RTO)
	require.Equal(t, frtoFirst, x.s.frto.state)
}
