package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/congestion"
)

// script is a conversation in which the test says both what is sent and what is acknowledged. Segments
// of simMSS bytes are numbered from 0; times are in milliseconds.
type script struct {
	t    *testing.T
	s    *Sender
	ctl  *spy
	now  time.Duration
	last Outcome
}

// spy is a controller with a window of the test's choice, halved by losses as Reno would, that remembers
// what it was told.
type spy struct {
	window   int64
	rate     int64
	acks     []congestion.Ack
	losses   []congestion.Loss
	spurious int
	mss      int
	before   int64
}

func (c *spy) OnSent(congestion.Time, int64, int64)      {}
func (c *spy) OnAck(_ congestion.Time, a congestion.Ack) { c.acks = append(c.acks, a) }
func (c *spy) OnMSS(n int)                               { c.mss = n }
func (c *spy) Window() int64                             { return c.window }
func (c *spy) PacingRate() int64                         { return c.rate }
func (c *spy) Metrics() congestion.Metrics               { return congestion.Metrics{Window: c.window, SSThresh: -1} }
func (c *spy) OnSpuriousLoss(congestion.Time)            { c.spurious++; c.window = c.before }
func (c *spy) OnLoss(_ congestion.Time, l congestion.Loss) {
	if len(c.losses) == 0 || c.spurious > 0 {
		c.before = c.window
		c.window /= 2
	}
	if l.Timeout {
		c.window = simMSS
	}
	c.losses = append(c.losses, l)
}

func newScript(t *testing.T, window int64, opts ...func(*Config)) *script {
	ctl := &spy{window: window * simMSS}
	cfg := Config{MSS: simMSS, Controller: ctl, SACK: true, Timestamps: true}
	for _, o := range opts {
		o(&cfg)
	}
	x := &script{t: t, s: New(cfg), ctl: ctl}
	x.s.Resume(1)
	x.s.SetRTT(0, rtt)
	return x
}

func noSACK(c *Config)       { c.SACK = false }
func noTimestamps(c *Config) { c.Timestamps = false }

// ms is an instant, or a time, in milliseconds.
func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// off is where segment n begins.
func off(n int) uint64 { return uint64(n)*simMSS + 1 }

// at moves the clock.
func (x *script) at(n int) *script {
	x.now = ms(n)
	return x
}

// send lets the segments [from, to) leave, one by one.
func (x *script) send(from, to int) *script {
	for n := from; n < to; n++ {
		x.s.OnSend(x.now, off(n), off(n+1), false)
	}
	require.Empty(x.t, x.s.broken())
	return x
}

// ack acknowledges the segments below n, and selectively the pairs of blocks [from, to).
func (x *script) ack(n int, blocks ...int) Outcome {
	return x.acks(Ack{Off: off(n), Sacks: segments(blocks...), Pure: true})
}

func segments(pairs ...int) (r []Range) {
	for i := 0; i < len(pairs); i += 2 {
		r = append(r, Range{off(pairs[i]), off(pairs[i+1])})
	}
	return r
}

func (x *script) acks(a Ack) Outcome {
	x.last = x.s.OnAck(x.now, &a)
	require.Empty(x.t, x.s.broken())
	return x.last
}

// timer runs the timer at its next instant, which is to be at n and of that kind.
func (x *script) timer(n int, want Expired) {
	x.t.Helper()
	at, ok := x.s.Next()
	require.True(x.t, ok, "no timer runs")
	require.Equal(x.t, ms(n), at.Truncate(time.Millisecond))
	require.Equal(x.t, None, x.s.OnTimer(at-1), "too early")
	x.now = at
	require.Equal(x.t, want, x.s.OnTimer(at))
	require.Empty(x.t, x.s.broken())
}

// lost is what is to be sent again first: segment numbers [from, to), or none.
func (x *script) lost(pair ...int) {
	x.t.Helper()
	r, ok := x.s.Retransmit()
	require.Equal(x.t, len(pair) > 0, ok)
	if ok {
		require.Equal(x.t, segments(pair...)[0], r)
	}
}
