package tcp

import "time"

// stamps are the timestamps of RFC 7323.
type stamps struct {
	on        bool
	offset    uint32        // of our clock, lest it tell the peer our uptime
	recent    uint32        // TS.Recent: the peer's value to echo
	recentAge time.Duration // when it was taken
	lastAck   uint64        // Last.ACK.sent, as an offset of the peer's direction
}

// tick is the unit of our timestamp clock: "a timestamp clock … in the range 1 ms to 1 sec per tick" (RFC
// 7323 section 5.4).
const tick = time.Millisecond

// outdated is when TS.Recent says nothing any more: "If the connection has been idle more than 24 days",
// half the cycle of a clock of 1 ms (RFC 7323 appendix D).
const outdated = 24 * 24 * time.Hour

func (t *stamps) clock(now time.Duration) uint32 { return uint32(now/tick) + t.offset }

// echoed is when the segment left that carried our timestamp ecr: the latest such instant not after now. ok
// is false when it would lie in the future or before our clock began, hence is none of ours.
func (t *stamps) echoed(now time.Duration, ecr uint32) (at time.Duration, ok bool) {
	age := t.clock(now) - ecr
	if int32(age) < 0 {
		return 0, false
	}
	at = now/tick*tick - time.Duration(age)*tick
	return at, at >= 0
}

// stale is PAWS's test (RFC 7323 section 5.3, R1): the segment is an old duplicate. An outdated TS.Recent
// proves nothing.
func (t *stamps) stale(now time.Duration, val uint32) bool {
	return int32(val-t.recent) < 0 && now-t.recentAge < outdated
}

// update takes the segment's value to be echoed: "If SEG.TSval >= TS.Recent and SEG.SEQ <= Last.ACK.sent"
// (RFC 7323 section 4.3). off is the offset of the segment's sequence number.
func (t *stamps) update(now time.Duration, val uint32, off int64) {
	if off <= int64(t.lastAck) && (int32(val-t.recent) >= 0 || now-t.recentAge >= outdated) {
		t.recent, t.recentAge = val, now
	}
}
