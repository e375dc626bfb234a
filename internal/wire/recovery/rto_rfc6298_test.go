package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Section 2.2: "SRTT <- R, RTTVAR <- R/2", 2.3: the weights of 1/8 and 1/4.
func TestRFC6298Estimator(t *testing.T) {
	var e estimator
	e.sample(ms(100), 1)
	require.Equal(t, ms(100), e.srtt)
	require.Equal(t, ms(50), e.rttvar)
	e.sample(ms(180), 1)
	require.Equal(t, ms(110), e.srtt)
	require.Equal(t, ms(50)+ms(30)/4, e.rttvar)

	// RFC 7323 appendix G: four samples of a round trip weigh about as much as one.
	one, four := estimator{srtt: ms(100)}, estimator{srtt: ms(100)}
	one.sample(ms(200), 1)
	for range 4 {
		four.sample(ms(200), 4)
	}
	require.InDelta(t, float64(one.srtt), float64(four.srtt), float64(ms(2)))
}

// Section 2.1: one second before there is a sample, and 5.7: three once SYN has timed out.
func TestRFC6298Handshake(t *testing.T) {
	x := newScript(t, 10)
	x.s = New(Config{MSS: simMSS, Controller: x.ctl})
	x.s.OnSend(0, 0, 1, false)
	x.timer(1000, RTO)
	r, ok := x.s.Retransmit()
	require.True(t, ok)
	require.Equal(t, Range{0, 1}, r)
	x.s.OnSend(x.now, 0, 1, false)
	x.timer(3000, RTO) // two seconds later
	require.Equal(t, 2, x.s.Timeouts())
	require.Equal(t, 2, x.s.Backoff())
	x.s.OnSend(x.now, 0, 1, false)
	require.Empty(t, x.ctl.losses, "the handshake's losses do not set a threshold")
	x.at(3050)
	x.acks(Ack{Off: 1})
	require.Equal(t, 12*time.Second, x.s.RTO(), "3 s, backed off until there is a sample")
	// RFC 6928 section 2: the initial window is one segment after "more than one" retransmission.
	require.EqualValues(t, simMSS, x.s.Window())
	for n, want := range []int64{2, 3, 4, 5, 6, 7, 8, 9, 10, 10} {
		x.send(n, n+1)
		x.ack(n + 1)
		require.EqualValues(t, want*simMSS, x.s.Window())
	}
}

// Section 5: the timer runs from the first segment (5.1), from the ACK that acknowledges new data (5.3), and not
// when all is acknowledged (5.2).
func TestRFC6298Timer(t *testing.T) {
	x := newScript(t, 10, noSACK).send(0, 1).at(50).send(1, 3)
	at, _ := x.s.Next()
	require.Equal(t, ms(300), at)
	x.at(100)
	x.ack(1)
	at, _ = x.s.Next()
	require.Equal(t, ms(100)+x.s.RTO(), at)
	x.at(120)
	x.ack(1) // a duplicate does not restart it
	again, _ := x.s.Next()
	require.Equal(t, at, again)
	x.at(150)
	x.ack(3)
	_, ok := x.s.Next()
	require.False(t, ok)
	require.Equal(t, None, x.s.OnTimer(ms(9999)))
}

// 5.5 doubles, up to the maximum; an ACK alone does not undo it ("Karn's algorithm", section 3), a
// sample does.
func TestRFC6298Backoff(t *testing.T) {
	x := newScript(t, 10, noSACK, noTimestamps, func(c *Config) { c.MaxRTO = 2 * time.Second }).send(0, 3)
	at := 0
	for _, wait := range []int{300, 600, 1200, 2000, 2000} {
		at += wait
		x.timer(at, RTO)
		x.lost(0, 3)
		require.EqualValues(t, simMSS, x.s.Allowance(x.now))
		x.send(0, 1)
		require.Zero(t, x.s.Allowance(x.now))
	}
	require.Equal(t, 5, x.s.Timeouts())
	require.True(t, x.ctl.losses[3].Persistent)
	require.False(t, x.ctl.losses[1].Persistent)
	x.at(at + 100).ack(1)
	require.False(t, x.last.HasRTT)
	require.Zero(t, x.s.Timeouts())
	require.Equal(t, 2*time.Second, x.s.RTO())
	x.send(1, 3).at(at + 200).ack(3)
	x.send(3, 4).at(at + 300).ack(4)
	require.True(t, x.last.HasRTT)
	require.Less(t, x.s.RTO(), 400*time.Millisecond)
}

// With timestamps a retransmission gives a sample too, and the backed-off timeout collapses at once
// (RFC 7323 section 4).
func TestRFC6298Timestamps(t *testing.T) {
	x := newScript(t, 10, noSACK).send(0, 1)
	x.timer(300, RTO)
	x.send(0, 1).at(420)
	o := x.acks(Ack{Off: off(1), HasEcho: true, EchoedAt: ms(300), Pure: true})
	require.True(t, o.HasRTT)
	require.Equal(t, ms(120), o.RTT)
	require.Zero(t, x.s.Backoff())
	require.False(t, o.Spurious)
}

// What has waited behind a hole says how long that took to fill, and nothing about the path: only the echo of what has filled it does.
// Its arrival had no SACK block, for want of the option, or because the ACK that had the block was lost.
func TestRFC6298BehindAHole(t *testing.T) {
	for _, o := range []func(*Config){noSACK, func(*Config) {}} {
		x := noProbe(newScript(t, 10, o).send(0, 3))
		x.timer(300, RTO)
		x.send(0, 1).at(400)
		filled := x.acks(Ack{Off: off(3), HasEcho: true, EchoedAt: ms(300), Pure: true})
		require.Equal(t, ms(100), filled.RTT)
		require.Equal(t, ms(100), x.s.SRTT())
		require.Zero(t, x.ctl.acks[0].RTT)

		x = noProbe(newScript(t, 10, o, noTimestamps).send(0, 3))
		x.timer(300, RTO)
		x.send(0, 1).at(400).ack(3)
		require.False(t, x.last.HasRTT)
	}
}

// A timer that is not served in time does not run wild.
func TestLateTimer(t *testing.T) {
	x := newScript(t, 10).send(0, 2)
	x.at(100_000)
	require.Equal(t, Probe, x.s.OnTimer(x.now))
	require.Equal(t, None, x.s.OnTimer(x.now), "nothing was sent, and the timeout counts from here")
	x.timer(100_300, RTO)
	require.Equal(t, None, x.s.OnTimer(x.now))
	x.timer(100_900, RTO)
}
