package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The delivery rate of a transfer is the bottleneck's, whatever the ACKs do.
func TestDeliveryRate(t *testing.T) {
	for name, prepare := range map[string]func(*world){
		"plain": func(*world) {},
		"lossy": func(w *world) { w.lose = func(w *world, _ packet) bool { return w.rnd.Intn(2000) == 0 } },
		"compressed ACKs": func(w *world) { // several arrive at once
			w.back = func(w *world) time.Duration {
				return (w.now + rtt/2).Truncate(10*time.Millisecond) + 10*time.Millisecond - w.now
			}
		},
		"super-segments": func(w *world) { w.super = 16 * simMSS },
	} {
		w := checked(t, newWorld(5e6, rtt))
		w.rate, w.queue = 1e6, 50_000
		prepare(w)
		worst := int64(0)
		w.step = func(w *world, _ string, _ Outcome) { worst = max(worst, w.s.DeliveryRate()) }
		require.True(t, w.run(time.Minute), name)
		require.InEpsilon(t, 1e6, worst, 0.15, name)
	}
}

// "app-limited" samples do not lower the estimate: they tell how much there was to send.
func TestDeliveryRateAppLimited(t *testing.T) {
	x := newScript(t, 100)
	for n := range 10 {
		x.at(n).send(10*n, 10*n+10)
	}
	for n := range 10 {
		x.at(100 + n).ack(10*n + 10)
	}
	rate := x.s.DeliveryRate()
	require.InEpsilon(t, 1e6, rate, 0.2)
	x.at(300)
	x.s.OnSend(x.now, off(100), off(101), true)
	x.at(400).ack(101)
	require.Equal(t, rate, x.s.DeliveryRate())
	require.EqualValues(t, 101*simMSS, x.s.Delivered())
}

// What the controller hears of a window that was not full: it does not let it grow (RFC 7661's concern).
func TestAppLimited(t *testing.T) {
	x := newScript(t, 10).send(0, 3).at(100)
	x.ack(3)
	require.True(t, x.ctl.acks[0].AppLimited)
	x.send(3, 13).at(200)
	x.ack(4)
	require.False(t, x.ctl.acks[1].AppLimited)
	x.ack(13)
	require.False(t, x.ctl.acks[2].AppLimited)
	x.send(13, 14).at(300)
	x.ack(14)
	require.True(t, x.ctl.acks[3].AppLimited)
	require.Equal(t, rtt, x.ctl.acks[3].RTT)
	require.Equal(t, ms(200), x.ctl.acks[3].SentAt)
	require.EqualValues(t, simMSS, x.ctl.acks[3].InFlight)
}

// The rate that lasts is the path's, however fast it passes a bucketful, and the window's where a round trip's worth is
// acknowledged at once.
func TestLastingRate(t *testing.T) {
	const bucket, all = 15, 600 // segments
	x := newScript(t, all)
	for n := range all {
		x.at(max(n-bucket, 0)).send(n, n+1)
		x.at(max(n-bucket, 0) + 1).ack(n + 1)
		if n < 200 {
			require.Zero(t, x.s.LastingRate())
		}
	}
	require.InEpsilon(t, 1e6, x.s.LastingRate(), 0.1)

	at := all
	for range 4 {
		x.at(at).send(all, 2*all)
		at += 100
		for n := range all {
			x.at(at).ack(all + n + 1)
		}
	}
	require.LessOrEqual(t, x.s.LastingRate(), int64(all*simMSS*10))
}
