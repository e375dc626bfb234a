package recovery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Section 7.2: "the default PTO interval is 2*SRTT", more for a lone segment, and no later than RTO.
func TestRFC8985ProbeTimeout(t *testing.T) {
	x := newScript(t, 10).send(0, 2)
	x.timer(201, Probe)

	x = newScript(t, 10, func(c *Config) { c.DelayedAck = ms(40) }).send(0, 1)
	x.timer(241, Probe)

	x = newScript(t, 10, func(c *Config) { c.DelayedAck = ms(500) }).send(0, 1)
	x.timer(300, Probe) // RTO is SRTT and 4*RTTVAR, 100 ms and 200 ms
	x.timer(600, RTO)

	x = newScript(t, 10, noSACK).send(0, 2)
	x.timer(300, RTO) // RACK-TLP wants SACK
}

// Section 7.3: "the sender SHOULD transmit a previously unsent data segment", beyond the window; one
// probe at a time, and none before another sample.
func TestRFC8985ProbeOfNewData(t *testing.T) {
	x := newScript(t, 2).send(0, 2)
	require.Zero(t, x.s.Allowance(0))
	x.timer(201, Probe)
	x.send(2, 3)
	require.EqualValues(t, 3*simMSS, x.s.InFlight())
	x.timer(501, RTO)

	x = newScript(t, 4).send(0, 2)
	x.timer(201, Probe)
	x.send(2, 3).at(301)
	require.True(t, x.ack(0, 2, 3).Entered, "far older than the reordering window")
	x.lost(0, 2)
}

// Otherwise "the sender SHOULD retransmit the highest-sequence segment sent so far", of a
// super-segment as well; its SACK shows that all before is lost, without a timeout.
func TestRFC8985ProbeRepeats(t *testing.T) {
	x := newScript(t, 10)
	x.s.OnSend(0, off(0), off(4)+500, true)
	x.timer(201, Probe)
	r, ok := x.s.Probe()
	require.True(t, ok)
	require.Equal(t, Range{off(3) + 500, off(4) + 500}, r)
	x.s.OnSend(x.now, r.From, r.To, true)
	require.EqualValues(t, 4*simMSS+500, x.s.InFlight(), "a byte counts once")
	x.at(301)
	o := x.acks(Ack{Off: off(0), Sacks: []Range{r}, Pure: true, HasEcho: true})
	require.True(t, o.Entered)
	require.EqualValues(t, 3*simMSS+500, x.s.Lost())
	require.Len(t, x.ctl.losses, 1)
}

// Section 7.4.2: who repaired what.
func TestRFC8985ProbeRepairs(t *testing.T) {
	probe := func() *script {
		x := newScript(t, 10).send(0, 2)
		x.timer(201, Probe)
		return x.send(1, 2).at(301)
	}
	x := probe() // "Repaired the single loss": more than TLP.end_seq is acknowledged
	x.ack(2)
	require.Empty(t, x.ctl.losses)
	x.send(2, 3).at(401)
	x.ack(3)
	require.Len(t, x.ctl.losses, 1)
	require.False(t, x.s.Recovering())

	x = probe() // case 1: a DSACK says that both copies arrived
	x.ack(2)
	x.acks(Ack{Off: off(2), HasDSACK: true, DSACK: segments(1, 2)[0], Pure: true})
	x.send(2, 3).at(401)
	x.ack(3)
	require.Empty(t, x.ctl.losses)
	require.EqualValues(t, 1, x.s.rack.multiplier, "a probe's duplicate is no reordering")

	x = probe() // case 2: a duplicate ACK, of a peer that knows no DSACK
	x.ack(2)
	x.send(2, 3)
	x.ack(2)
	x.at(401)
	x.ack(3)
	require.Empty(t, x.ctl.losses)

	x = probe() // the echo of the original says so at once
	x.acks(Ack{Off: off(2), HasEcho: true, EchoedAt: 0, Pure: true})
	x.send(2, 3).at(401)
	x.ack(3)
	require.Empty(t, x.ctl.losses)
}

// Section 7.3: no probe before "the sender has obtained an RTT measurement since the last loss probe".
func TestRFC8985ProbeWantsSample(t *testing.T) {
	x := newScript(t, 10).send(0, 2)
	x.timer(201, Probe)
	x.send(2, 3).at(301)
	x.ack(3)
	x.send(3, 5)
	at, _ := x.s.Next()
	require.Equal(t, Probe, x.s.OnTimer(at))
	x.now = at
	x.send(4, 5) // repeats the last one
	require.False(t, x.s.tlp.sampled)
	x.at(int(at/ms(1)) + 1)
	x.acks(Ack{Off: off(4), Pure: true}) // the original of 3: a sample
	require.True(t, x.s.tlp.sampled)
}
