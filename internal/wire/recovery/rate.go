package recovery

import "time"

// rateSampler estimates how fast data arrives: what was delivered between the sending of a segment and
// its acknowledgment, over the longer of the time that the data took to leave and the time that it took
// to be acknowledged (draft-cheng-iccrg-delivery-rate-estimation). The longer, because ACKs may have
// been compressed on their way.
type rateSampler struct {
	delivered   int64         // bytes that have arrived
	deliveredAt time.Duration // when that was last known to grow
	firstSentAt time.Duration // when the newest segment left of those that were delivered
	idleUntil   int64         // the application was the limit until so many bytes are delivered; 0: it is not
	last        int64         // the last valid sample, bytes per second
}

// rateSample collects what one ACK tells.
type rateSample struct {
	any         bool
	delivered   int64 // at the sending of the newest segment acknowledged
	deliveredAt time.Duration
	firstSentAt time.Duration
	sentAt      time.Duration
	limited     bool
	rate        int64 // bytes per second; 0: invalid
}

// restart begins a flight after silence, which is none of the path's doing. What leaves until the first
// of it is acknowledged tells less than the path could.
func (r *rateSampler) restart(now time.Duration) {
	r.deliveredAt, r.firstSentAt = now, now
	r.limited(true, 0)
}

// stamp notes in a record what a sample will need.
func (r *rateSampler) stamp(x *record) {
	x.delivered, x.deliveredAt, x.firstSentAt = r.delivered, r.deliveredAt, r.firstSentAt
	x.marks &^= appLimited
	if r.idleUntil > r.delivered {
		x.marks |= appLimited
	}
}

// limited notes that nothing more waits: until what is in flight has arrived, samples tell how much
// there was to send.
func (r *rateSampler) limited(yes bool, inFlight int64) {
	if yes {
		r.idleUntil = r.delivered + max(inFlight, 1)
	}
}

// deliver takes a record that has been acknowledged.
func (r *rateSampler) deliver(p *rateSample, x *record) {
	if p.any && (x.delivered < p.delivered || x.delivered == p.delivered && x.sentAt < p.sentAt) {
		return
	}
	*p = rateSample{
		any: true, delivered: x.delivered, deliveredAt: x.deliveredAt, firstSentAt: x.firstSentAt, sentAt: x.sentAt,
		limited: x.has(appLimited),
	}
}

// finish makes the sample of an ACK that delivers bytes.
func (r *rateSampler) finish(p *rateSample, now time.Duration, bytes int64, minRTT time.Duration) {
	if bytes <= 0 {
		return
	}
	r.delivered += bytes
	r.deliveredAt = now
	if r.idleUntil != 0 && r.delivered > r.idleUntil {
		r.idleUntil = 0
	}
	if !p.any {
		return
	}
	r.firstSentAt = max(r.firstSentAt, p.sentAt)
	interval := max(p.sentAt-p.firstSentAt, now-p.deliveredAt)
	// Less than a round trip cannot be: "the sample is discarded", as of a spurious retransmission.
	if interval <= 0 || interval < minRTT {
		return
	}
	p.rate = perSecond(r.delivered-p.delivered, interval)
	if !p.limited || p.rate > r.last {
		r.last = p.rate
	}
}

// perSecond is bytes per interval in bytes per second, without overflow for anything that fits into
// memory.
func perSecond(bytes int64, interval time.Duration) int64 {
	us := max(int64(interval/time.Microsecond), 1)
	const most = int64(1) << 43
	return min(bytes, most) * 1e6 / us
}

// lasting is how fast data arrives for longer than a sample takes: over so much of it that what a bucket on the path lets
// through at once counts little, and over a round trip at least. Time in which there was nothing to send counts as well.
type lasting struct {
	from  int64         // what had been delivered when the span under way began
	since time.Duration // when that was; 0: none has begun
	rate  int64         // of the newest span that is over, bytes per second; 0: there is none
}

// span is more than the buckets of most shapers hold.
const span = 256 << 10

// update takes what has been delivered by now.
func (l *lasting) update(now time.Duration, delivered int64, rtt time.Duration) {
	took := now - l.since
	switch {
	case l.since == 0:
	case delivered-l.from < span || took < rtt:
		return
	default:
		l.rate = perSecond(delivered-l.from, took)
	}
	l.from, l.since = delivered, now
}
