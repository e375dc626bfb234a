package tcp

import "time"

// bucket is a limit on how often something may happen.
type bucket struct {
	every  time.Duration // one more token
	most   int
	tokens int
	at     time.Duration // when tokens was right
}

func newBucket(every time.Duration, most int) bucket {
	return bucket{every: every, most: most, tokens: most}
}

// take says whether it may happen now, and counts it.
func (b *bucket) take(now time.Duration) bool {
	if n := (now - b.at) / b.every; n > 0 {
		if b.tokens = b.most; n < time.Duration(b.most) {
			b.tokens = min(b.most, b.tokens+int(n))
		}
		b.at += n * b.every
	}
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}

// limits are those of one connection. They are the connection's own: a limit shared by all of them would
// tell an attacker what goes on in another (CVE-2016-5696).
type limits struct {
	challenges bucket // "An implementation SHOULD include an ACK throttling mechanism" (RFC 5961 section 7)
	duplicates bucket // answers to what lies outside the window
}

func newLimits() limits {
	return limits{
		challenges: newBucket(500*time.Millisecond, 10),
		duplicates: newBucket(100*time.Millisecond, 10),
	}
}

// challenge answers a segment that may be forged (RFC 5961): an honest peer that has lost its state finds
// in the ACK what it needs for a RST that counts.
func (c *Conn) challenge(now time.Duration) {
	if c.limits.challenges.take(now) {
		c.stats.Events.ChallengeAcks++
		c.ack.at()
	}
}
