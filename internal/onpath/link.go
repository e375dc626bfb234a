package onpath

import (
	"io"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// LinkConfig is what a link does, in each direction alike. Zero fields do nothing.
type LinkConfig struct {
	Rate   int64         // bytes of IP packet per second; 0: unlimited
	Queue  int64         // bytes that wait for the transmitter at most; 0: what the rate sends in 100 ms, at least 64 KiB
	Mark   int64         // an ECN-capable packet that finds more bytes waiting is marked (RFC 3168); 0: never
	Delay  time.Duration // propagation, one way
	Jitter time.Duration // up to so much is added, another time for each packet; they keep their order
}

// Link is a full-duplex link with a drop-tail queue at either end.
type Link struct {
	held
	dice  dice
	ends  [2]linkEnd
	stats LinkStats
}

type linkEnd struct {
	cfg  LinkConfig
	free time.Duration // when the transmitter has sent all that is queued
	last time.Duration // when the latest packet arrives at the other end
}

// LinkStats count what a link has done to packets.
type LinkStats struct {
	Packets, Bytes, Dropped, Marked int64
}

// NewLink makes a link whose directions are alike. Jitter draws from r, which may be nil without it.
func NewLink(cfg LinkConfig, r io.Reader) *Link {
	return &Link{dice: dice{r}, ends: [2]linkEnd{{cfg: cfg}, {cfg: cfg}}}
}

// Set changes one direction; what is queued keeps the time that it was given.
func (l *Link) Set(d Dir, cfg LinkConfig) { l.ends[d&1].cfg = cfg }

// Config is what the link does in one direction.
func (l *Link) Config(d Dir) LinkConfig { return l.ends[d&1].cfg }

// Stats counts both directions.
func (l *Link) Stats() LinkStats { return l.stats }

// Process implements Element.
func (l *Link) Process(now time.Duration, p []byte, d Dir, emit Emit) {
	e := &l.ends[d&1]
	size := int64(len(p))
	l.stats.Packets++
	l.stats.Bytes += size
	at := now
	if e.cfg.Rate > 0 {
		waiting := int64(float64(max(e.free-now, 0)) / float64(time.Second) * float64(e.cfg.Rate))
		if waiting+size > e.cfg.queue() {
			l.stats.Dropped++
			return
		}
		if e.cfg.Mark > 0 && waiting > e.cfg.Mark && mark(p) {
			l.stats.Marked++
		}
		e.free = max(e.free, now) + time.Duration(float64(size)/float64(e.cfg.Rate)*float64(time.Second))
		at = e.free
	}
	at += e.cfg.Delay
	if e.cfg.Jitter > 0 {
		at += time.Duration(l.dice.below(int64(e.cfg.Jitter)))
	}
	at = max(at, e.last)
	e.last = at
	if at <= now {
		emit(p, d)
		return
	}
	if !l.put(at, p, d) {
		l.stats.Dropped++
	}
}

func (c LinkConfig) queue() int64 {
	if c.Queue > 0 {
		return c.Queue
	}
	return max(c.Rate/10, 64<<10)
}

// mark sets Congestion Experienced on a packet of an ECN-capable transport.
func mark(p []byte) bool {
	t, ok := trafficClass(p)
	if !ok || t&packet.ECNMask == packet.ECNNotECT {
		return false
	}
	setTrafficClass(p, t|packet.ECNCE)
	return true
}
