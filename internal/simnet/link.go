package simnet

import "time"

// LinkConfig is what a link does to packets.
type LinkConfig struct {
	Rate  int64         // bytes per second on the wire, headers included; 0: unlimited
	Delay time.Duration // propagation, one way
	Queue int64         // bytes that wait at most; 0: what the rate sends in 100 ms, at least 64 KiB
	Loss  float64       // probability, 0 to 1, of each packet
}

// Link is one direction of a wire with a drop-tail queue in front of it. Several pipes may share it.
type Link struct {
	sim       *Sim
	cfg       LinkConfig
	free      time.Duration // when the transmitter has sent all that is queued
	blackhole bool
	users     []*Pipe
	flap      *Event
	stats     LinkStats
}

// LinkStats count what came to a link.
type LinkStats struct {
	Packets, Bytes, Dropped, Swallowed int64 // Swallowed: by the blackhole; Dropped: by queue and loss
}

// NewLink makes a link.
func (s *Sim) NewLink(cfg LinkConfig) *Link { return &Link{sim: s, cfg: cfg} }

// SetConfig changes the link; what is queued keeps the time it was given.
func (l *Link) SetConfig(cfg LinkConfig) { l.cfg = cfg }

// Config is what the link does to packets.
func (l *Link) Config() LinkConfig { return l.cfg }

// Stats counts what came to the link.
func (l *Link) Stats() LinkStats { return l.stats }

// Blackhole makes the link swallow everything without a word, what is on its way included, until it
// is lifted. Both ends go on sending into their socket buffers.
func (l *Link) Blackhole(on bool) { l.blackhole = on }

// Cut resets every connection that uses the link, both ways: each end sees ErrReset.
func (l *Link) Cut() {
	for _, p := range append([]*Pipe(nil), l.users...) {
		p.Reset()
	}
}

// Churn makes the link a blackhole for down, then lets it work for up, and so on until it is called
// with zeros, which leave it working.
func (l *Link) Churn(down, up time.Duration) {
	l.flap.Stop()
	l.blackhole = false
	if down <= 0 || up <= 0 {
		return
	}
	var turn func()
	turn = func() {
		l.blackhole = !l.blackhole
		wait := up
		if l.blackhole {
			wait = down
		}
		l.flap = l.sim.After(wait, turn)
	}
	turn()
}

func (l *Link) queueLimit() int64 {
	if l.cfg.Queue > 0 {
		return l.cfg.Queue
	}
	return max(l.cfg.Rate/10, 64<<10)
}

// pass takes one packet of size bytes. Exactly one of arrived and dropped runs later, or neither when
// the blackhole has it. dropped runs at once: who sent it learns of it as its own protocol says.
func (l *Link) pass(size int64, arrived, dropped func()) {
	now := l.sim.now
	l.stats.Packets++
	l.stats.Bytes += size
	switch {
	case l.blackhole:
		l.stats.Swallowed++
		return
	case l.sim.chance(l.cfg.Loss), l.cfg.Rate > 0 && l.backlog()+size > l.queueLimit():
		l.stats.Dropped++
		dropped()
		return
	}
	if l.cfg.Rate > 0 {
		l.free = max(l.free, now) + time.Duration(float64(size)/float64(l.cfg.Rate)*float64(time.Second))
	} else {
		l.free = max(l.free, now)
	}
	l.sim.At(l.free+l.cfg.Delay, func() {
		if l.blackhole {
			l.stats.Swallowed++
			return
		}
		arrived()
	})
}

// backlog is the number of bytes that wait or are being sent.
func (l *Link) backlog() int64 {
	if l.free <= l.sim.now {
		return 0
	}
	return int64(float64(l.free-l.sim.now) / float64(time.Second) * float64(l.cfg.Rate))
}

// Backlog is the number of bytes in the queue.
func (l *Link) Backlog() int64 { return l.backlog() }

func (l *Link) join(p *Pipe) { l.users = append(l.users, p) }

func (l *Link) leave(p *Pipe) {
	for i, u := range l.users {
		if u == p {
			l.users = append(l.users[:i], l.users[i+1:]...)
			return
		}
	}
}

// travel takes a packet over all hops.
func travel(hops []*Link, size int64, arrived, dropped func()) {
	if len(hops) == 0 {
		arrived()
		return
	}
	hops[0].pass(size, func() { travel(hops[1:], size, arrived, dropped) }, dropped)
}
