package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// way is a path with a peer whose clock ticks every so often and begins anywhere.
type way struct {
	w     wayBack
	tick  time.Duration
	first uint32
}

// segment arrives at now after the time back on its way, and ends a round trip of rtt.
func (x *way) segment(now, back, rtt int) time.Duration {
	return x.w.observe(ms(now), x.first+uint32(ms(now-back)/x.tick), ms(rtt))
}

func TestWayBackIsComparedWithTheShortest(t *testing.T) {
	x := way{tick: time.Millisecond, first: 1<<32 - 50} // it wraps
	require.Zero(t, x.segment(100, 10, 20), "the first")
	require.Equal(t, ms(30), x.segment(200, 40, 50))
	require.Zero(t, x.segment(250, 5, 15), "a new shortest")
	require.Equal(t, ms(35), x.segment(300, 40, 50))
	require.Zero(t, x.segment(310, 40, 0), "without a round trip nothing can be told")
	require.Equal(t, ms(20), x.segment(400, 25, 20), "no more than there is, whatever the rounding")
}

// Only a clock of milliseconds tells anything.
func TestWayBackByAnotherClock(t *testing.T) {
	for _, tick := range []time.Duration{10 * time.Millisecond, 4 * time.Millisecond, 100 * time.Microsecond, time.Microsecond} {
		x := way{tick: tick}
		for now := 20; now < 500; now += 10 {
			if late := x.segment(now, 10, 20); now > 100 {
				require.Zero(t, late, "%v", tick)
			}
		}
	}
}

// What has been the shortest for long is forgotten, since clocks drift.
func TestWayBackForgets(t *testing.T) {
	x := way{tick: time.Millisecond}
	x.segment(100, 10, 20)
	minute := int(time.Minute / time.Millisecond)
	for now := 1000; now < 6*minute; now += 1000 {
		x.segment(now, 30, 50)
	}
	require.Zero(t, x.segment(6*minute, 30, 50))
}

func TestControllersHearOfTheWayBack(t *testing.T) {
	x := newScript(t, 100).send(0, 3)
	ack := func(at, n int, clock uint32) time.Duration {
		x.at(at).acks(Ack{Off: off(n), Pure: true, Clock: clock, HasClock: true})
		return x.ctl.acks[len(x.ctl.acks)-1].ReturnDelay
	}
	require.Zero(t, ack(50, 1, 1025))
	require.Equal(t, ms(40), ack(100, 2, 1035), "it left 10 ms after the first, and arrives 50 ms after it")
	x.s.cfg.Timestamps = false
	require.Zero(t, ack(110, 3, 1035), "without timestamps there is no clock")
}
