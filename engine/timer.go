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

// HandleTimeout does whatever is due at now. Calling it early is harmless.
func (c *Conn) HandleTimeout(now time.Duration) {
	t := &c.time
	t.at = 0
	c.delayedAck(now)
	c.checkStall(now)
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
