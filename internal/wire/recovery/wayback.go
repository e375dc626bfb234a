package recovery

import "time"

// wayBack tells how much longer an ACK was on its way than the fastest one, from the timestamps that the peer puts
// on its segments: where data goes both ways, ACKs wait behind data, which says nothing about the way forth.
//
// The peer's clock is taken to tick every millisecond, as nearly all do. If it ticks less often, ACKs seem to take
// longer and longer, and soon longer than a round trip: then nothing more is believed. If it ticks more often, each
// one seems to be the fastest.
type wayBack struct {
	any, void bool
	clock     uint32 // the newest timestamp
	ticks     int64  // since the first one
	least     least  // of what our clock is ahead of the peer's, plus the way back
}

const peerTick = time.Millisecond

// observe takes the timestamp of a segment that arrives now, and returns how much later that is than at best. rtt is
// the round trip that the segment ends; 0: unknown, as is the answer.
func (w *wayBack) observe(now time.Duration, clock uint32, rtt time.Duration) time.Duration {
	if !w.any {
		w.any, w.clock = true, clock
	}
	w.ticks += int64(int32(clock - w.clock))
	w.clock = clock
	ahead := now - time.Duration(w.ticks)*peerTick
	w.least.observe(now, ahead)
	late := ahead - w.least.value()
	if rtt <= 0 || w.void {
		return 0
	}
	if late > rtt+2*peerTick {
		w.void = true
		return 0
	}
	return min(late, rtt)
}

// least is the least of a quantity within a window of time, give or take half.
type least struct {
	half  [2]time.Duration // of this half of the window and of the one before
	has   [2]bool
	since time.Duration // when this half began
}

func (l *least) observe(now, v time.Duration) {
	if now-l.since > minRTTWindow/2 {
		l.half[1], l.has[1], l.has[0] = l.half[0], l.has[0], false
		l.since = now
	}
	if !l.has[0] || v < l.half[0] {
		l.half[0], l.has[0] = v, true
	}
}

// value is 0 before the first observation.
func (l *least) value() time.Duration {
	switch {
	case !l.has[0]:
		return l.half[1]
	case !l.has[1]:
		return l.half[0]
	}
	return min(l.half[0], l.half[1])
}
