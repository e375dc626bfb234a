package engine

import "time"

// Linux's TCP acknowledges what comes for a connection from which a program is just reading. Its Multipath TCP takes that over
// when the program lets go, and says nothing then: the DATA_ACK comes with the answer to the next segment. Who has nothing
// more to send, or no room in the send buffer for more, does not send one. So when everything has been acknowledged by the
// TCP of the subflows and something has no DATA_ACK, the peer is asked for one soon, long before that is sent again.
const (
	lagFloor = 2 * time.Millisecond // what the peer may take to read what it has
	lagAsks  = 8                    // each waits twice as long as the one before it
)

// armLag begins the wait when the TCP of s has acknowledged everything.
func (c *Conn) armLag(now time.Duration, s *subflow) {
	if t := &c.time; t.lag == 0 && c.sent.n > 0 && s.drained() {
		t.lags = 0
		t.lag = now + c.lagAfter(s)
		t.arm(t.lag)
	}
}

// restartLag begins anew with a DATA_ACK: the peer is reading.
func (c *Conn) restartLag(now time.Duration) {
	if c.time.lag == 0 {
		return
	}
	c.time.lag = 0
	for _, s := range c.flows {
		c.armLag(now, s)
	}
}

// drained says whether the subflow's own TCP knows that nothing is under way on it, so that no answer is.
func (s *subflow) drained() bool {
	return s.stats.Patience > 0 && s.stats.InFlight == 0 && s.stats.Unsent == 0
}

// lagAfter is how long the next question waits.
func (c *Conn) lagAfter(s *subflow) time.Duration {
	return max(lagFloor, s.srtt()/4) << c.time.lags
}

// checkLag asks where the oldest byte was sent last.
func (c *Conn) checkLag(now time.Duration) {
	t := &c.time
	if t.lag == 0 || t.lag > now {
		t.arm(t.lag)
		return
	}
	t.lag = 0
	s := c.laggard(now)
	if s == nil {
		return // the answers to what is under way bring it
	}
	s.f.Remind(now)
	if t.lags++; t.lags < lagAsks {
		t.lag = now + c.lagAfter(s)
		t.arm(t.lag)
	}
}

// laggard is the subflow on which the oldest byte went last, if no answer is on its way on any.
func (c *Conn) laggard(now time.Duration) (on *subflow) {
	if c.sent.n == 0 {
		return nil
	}
	head := c.sent.at(0)
	for _, s := range c.flows {
		if !s.usable() {
			continue
		}
		if c.observe(now, s); !s.drained() {
			return nil
		}
		if s.slot == head.on {
			on = s
		}
	}
	return on
}
