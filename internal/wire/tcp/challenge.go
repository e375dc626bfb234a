package tcp

import "time"

// Bucket is a limit on how often something may happen.
type Bucket struct {
	every        time.Duration // one more token
	at           time.Duration // when tokens was right
	most, tokens int32
}

// NewBucket makes a full bucket, of most tokens at most.
func NewBucket(every time.Duration, most int) Bucket {
	return Bucket{every: every, most: int32(most), tokens: int32(most)}
}

// Take says whether it may happen now, and counts it.
func (b *Bucket) Take(now time.Duration) bool {
	if n := (now - b.at) / b.every; n > 0 {
		b.tokens = int32(min(time.Duration(b.most), time.Duration(b.tokens)+n))
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
	challenges Bucket // "An implementation SHOULD include an ACK throttling mechanism" (RFC 5961 section 7)
	duplicates Bucket // answers to what lies outside the window
}

func newLimits() limits {
	return limits{
		challenges: NewBucket(500*time.Millisecond, 10),
		duplicates: NewBucket(100*time.Millisecond, 10),
	}
}

// challenge answers a segment that may be forged (RFC 5961): an honest peer that has lost its state finds
// in the ACK what it needs for a RST that counts.
func (c *Conn) challenge(now time.Duration) {
	if c.limits.challenges.Take(now) {
		c.event().ChallengeAcks++
		c.ack.at()
	}
}
