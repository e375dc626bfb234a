package engine

import "time"

const (
	// rttEvery is how old the round-trip times may be that the receive window grows by.
	rttEvery = 10 * time.Millisecond
	// rttProbeEvery is how often a receiver asks for a round-trip time: who only receives sends
	// nothing else that would measure one, and the kernel's ends at the first proxy.
	rttProbeEvery = 250 * time.Millisecond
	// rttFloor is how much must have been received since the last look: less needs no larger window.
	rttFloor = 32 << 10
)

// rttWatch keeps the round-trip times of a receiver fresh.
type rttWatch struct {
	looked, probed time.Duration
	bytes          uint64 // received and accepted when it last looked
}

// watchRTT looks at the flows' measurements while data comes in.
func (c *Conn) watchRTT(now time.Duration) {
	r := &c.rcv.rtt
	got := c.rcv.delivered + uint64(c.rcv.q.buffered())
	if now-r.looked < rttEvery || got-r.bytes < rttFloor {
		return
	}
	r.looked, r.bytes = now, got
	c.awake(now)
	probe := now-r.probed >= rttProbeEvery
	if probe {
		r.probed = now
	}
	for _, s := range c.flows {
		s.stats = s.f.Stats(now)
		if !s.usable() {
			continue
		}
		if probe {
			c.ask(now, s)
		}
		c.checkSilence(now, s)
	}
}
