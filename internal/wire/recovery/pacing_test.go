package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// paced sends as fast as it may for a second and returns the bytes and the largest burst.
func paced(t *testing.T, rate int64, chunk int64, late time.Duration) (sent, burst int64, wakes int) {
	ctl := &fixed{window: 1 << 40, rate: rate}
	s := New(Config{MSS: 1000, Controller: ctl, SACK: true})
	s.Resume(1)
	s.SetRTT(0, ms(10))
	s.OnAck(0, &Ack{Off: 1}) // takes the rate over
	for now := time.Duration(0); now < time.Second; {
		var b int64
		for n := s.Allowance(now); n >= min(chunk, 1000); n = s.Allowance(now) {
			n = min(n, chunk)
			s.OnSend(now, s.Nxt(), s.Nxt()+uint64(n), false)
			s.OnAck(now, &Ack{Off: s.Nxt()})
			b += n
		}
		sent += b
		if now > 0 {
			burst = max(burst, b)
		}
		at, ok := s.Next()
		require.True(t, ok)
		require.Greater(t, at, now)
		require.Equal(t, None, s.OnTimer(at-1))
		now = at + late
		require.Equal(t, Paced, s.OnTimer(now))
		wakes++
	}
	return sent, burst, wakes
}

// The rate is kept, within the bucket, in units of a millisecond or a super-segment; a timer that is a
// millisecond late makes it no slower.
func TestPacingKeepsRate(t *testing.T) {
	for _, rate := range []int64{20_000, 1e6, 20e6, 1e9} {
		for _, late := range []time.Duration{0, time.Millisecond / 2} {
			sent, burst, wakes := paced(t, rate, 1<<16, late)
			require.InEpsilon(t, rate, sent, 0.13, "rate %d late %v", rate, late)
			unit := max(min(rate/1000, 1<<16), 2000)
			require.LessOrEqual(t, burst, unit+rate/1000+1000, "rate %d late %v", rate, late)
			require.LessOrEqual(t, wakes, int(max(rate/unit, 1))+2)
		}
	}
}

// Without a controller's rate a window is spread over the round trip where that is wished for.
func TestPacingOfWindow(t *testing.T) {
	w := checked(t, newWorld(3e5, rtt, func(c *Config) { c.Pacing = true }))
	require.True(t, w.run(time.Minute))
	require.Zero(t, w.again)
	plain := newWorld(3e5, rtt)
	require.True(t, plain.run(time.Minute))
	require.Less(t, w.done, plain.done+2*rtt, "pacing costs less than two round trips")
	require.Zero(t, plain.s.PacingRate())
	require.Positive(t, w.s.PacingRate())
}

// A window that would leave faster than timers can tell is not spread, and is again when its round trip has become longer. A
// controller's own rate stands.
func TestPacingOfWindowEndsWhereTimersDo(t *testing.T) {
	ctl := &fixed{window: 1 << 20}
	s := New(Config{MSS: 1000, Controller: ctl, SACK: true, Pacing: true})
	s.Resume(1)
	ack := func(now time.Duration, rtt time.Duration) {
		for range 100 { // until the mean is there
			s.OnSend(now, s.Nxt(), s.Nxt()+1000, false)
			now += rtt
			s.OnAck(now, &Ack{Off: s.Nxt()})
		}
	}
	ack(0, ms(1)) // 1 GB/s and more
	require.Zero(t, s.PacingRate())
	require.EqualValues(t, 1<<20, s.Allowance(ms(100)), "the whole window leaves at once")
	ack(ms(1000), ms(100))
	rate := s.PacingRate()
	require.InEpsilon(t, 20<<20, rate, 0.01, "two windows in a round trip")
	s.OnSend(ms(20000), s.Nxt(), s.Nxt()+uint64(s.Allowance(ms(20000))), false)
	require.Zero(t, s.Allowance(ms(20000)))
	ctl.rate = 1e9
	ack(ms(30000), ms(1))
	require.EqualValues(t, 1e9, s.PacingRate())
}

func TestPacingArithmetic(t *testing.T) {
	require.EqualValues(t, 1000, perTime(1e6, time.Millisecond))
	require.EqualValues(t, 0, perTime(-1, time.Second))
	require.EqualValues(t, int64(1)<<62, perTime(1<<62, 1<<62))
	require.Equal(t, time.Millisecond, timeFor(1000, 1e6))
	require.Equal(t, time.Duration(1), timeFor(1, 1<<40))
	require.Equal(t, time.Duration(1<<62), timeFor(1<<62, 1))
}

// However often somebody asks, as whenever another subflow of the connection has something to do, the rate stays what it is.
func TestPacingWhoeverAsksHowOften(t *testing.T) {
	var p pacer
	p.set(0, 72395, 1448)
	p.sent(0, p.tokens)
	now := time.Duration(0)
	for p.allow(now, 2896, 1448) == 0 {
		now += time.Microsecond
		require.Less(t, now, 41*time.Millisecond)
	}
	require.GreaterOrEqual(t, now, 40*time.Millisecond, "2896 B at 72395 B/s")
}
