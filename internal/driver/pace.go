package driver

import "time"

// measure refreshes what the kernel says of a flow when that is older than age, and tells the engine
// when the peer's TCP has acknowledged more.
func (c *Conn) measure(now time.Duration, f *flow, age time.Duration) {
	if f.raw == nil || f.gone || f.pace.at != 0 && now-f.pace.at < age {
		return
	}
	f.pace.at = now
	acked := f.pace.stats.Acked
	if f.raw.Stats(&f.pace.stats) != nil {
		return
	}
	f.pace.stats.LastProgress += now
	f.adapt(now)
	f.pace.stats.Grain = f.pace.grain
	f.f.SetStats(f.pace.stats)
	if f.pace.stats.Acked > acked {
		c.eng.HandleAcked(now, f.id)
	}
}

const (
	// A flow queues what its path delivers in these times, the socket (beyond what is in flight) and
	// the flow itself: enough to keep the path busy between two looks at it, and little enough for
	// the scheduler to see a slow path fill up. What the socket has, and the rest of a record that has
	// begun to leave, is what a DATA_ACK waits for: together well below 10 ms.
	socketTime = 4 * time.Millisecond
	grainTime  = 3 * time.Millisecond
	queueTime  = 16 * time.Millisecond

	minLowat, maxLowat = 16 << 10, 256 << 10
	minGrain, maxGrain = 8 << 10, 1 << 16
	minCap, maxCap     = 64 << 10, 1 << 20
)

// adapt follows the path's rate. While the socket is never full the rate is the application's, not the
// path's: then nothing shrinks.
func (f *flow) adapt(now time.Duration) {
	full := f.pace.full || f.blocked
	f.pace.full = false
	rate := f.pace.stats.DeliveryRate
	if rate <= 0 || rate <= f.pace.rate && !full || rate > f.pace.rate-f.pace.rate/4 && rate < f.pace.rate+f.pace.rate/4 {
		return
	}
	f.pace.rate = rate
	f.pace.grain = int(min(max(over(rate, grainTime), minGrain), maxGrain))
	f.f.SetCap(now, int(min(max(over(rate, queueTime), minCap), maxCap)))
	if lowat := int(min(max(over(rate, socketTime), minLowat), maxLowat)); lowat != f.pace.lowat {
		f.pace.lowat = lowat
		f.raw.SetLowat(lowat)
	}
}

// over is how many bytes move at rate (bytes per second) in d.
func over(rate int64, d time.Duration) int64 { return int64(float64(rate) * d.Seconds()) }
