package engine

import "time"

// timers hold the connection's one deadline. A sub-state that sets a deadline calls arm; one that
// moves its deadline later does nothing: HandleTimeout then finds nothing due and arms what is left.
// So the driver's timer is touched once per interval, not once per record.
type timers struct {
	at      time.Duration // earliest deadline; 0: none
	stall   time.Duration // next look at the flows' progress (stale.go); 0: off
	data    time.Duration // when the oldest byte is sent again for want of a DATA_ACK; 0: off
	backoff uint          // doublings of the data-level timeout
	head    time.Duration // next look at the oldest byte's carriers (overdue.go); 0: off
	looks   uint          // at the same late byte
	lag     time.Duration // when the peer is asked for the DATA_ACK of what its TCP has (lag.go); 0: off
	lags    uint          // questions since then
	woke    time.Duration // when the connection last came back from a pause: signs of life may wait unread
	persist time.Duration // next window probe; 0: off
	probes  uint          // window probes since the window closed
	trimmed bool          // nothing has grown since the last trim (trim.go)
}

func (t *timers) arm(at time.Duration) {
	if at != 0 && (t.at == 0 || at < t.at) {
		t.at = at
	}
}

// Next is the deadline at which HandleTimeout wants to be called; ok is false when nothing is due ever.
func (c *Conn) Next() (deadline time.Duration, ok bool) {
	if c.Done() {
		return 0, false
	}
	return c.time.at, c.time.at != 0
}

// pause is how late a deadline may be met without a doubt in what was not seen meanwhile.
const pause = 100 * time.Millisecond

// awake notices that nobody was here when a deadline passed: the process was stopped, the machine slept,
// the clock jumped. What the peer sent meanwhile is still to be read, and what we sent may not have left.
// So silence is counted from now.
func (c *Conn) awake(now time.Duration) {
	if t := &c.time; t.at != 0 && now-t.at > pause {
		t.woke = now
	}
}

// HandleTimeout does whatever is due at now. Calling it early is harmless.
func (c *Conn) HandleTimeout(now time.Duration) {
	t := &c.time
	c.awake(now)
	t.at = 0
	c.delayedAck(now)
	c.checkStall(now)
	c.checkHead(now)
	c.checkLag(now)
	c.checkData(now)
	c.checkPersist(now)
	c.endPenalties(now)
	c.resendSignals(now)
	c.checkIdle(now)
	c.checkJoining(now)
	c.checkUnmapped(now)
	c.checkTimeouts(now)
	c.checkTrim(now)
	if !c.closed() {
		c.paths.now = max(c.paths.now, now)
		c.replan(now)
	}
	if c.sched.wake != 0 && c.sched.wake <= now {
		c.sched.wake = 0
	}
	c.pump(now)
	t.arm(c.sched.wake)
}
