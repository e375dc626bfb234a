package tcp

import "time"

// liveness is about a peer that may have gone: keep-alive, probes of a closed window, the user timeout.
type liveness struct {
	heard    time.Duration // when an acceptable segment came last
	probe    bool          // a probe should leave now
	repeat   bool          // an octet should, again
	octet    [1]byte       // that one, on its way out
	repeated uint64        // its offset; 0: none ever was
	keeps    int           // keep-alives without an answer
	persists int           // window probes since the window closed
	answered int           // of those, how many have been answered: those before it came back
	closedAt time.Duration // when the window was first found closed
}

const (
	minPersist = 200 * time.Millisecond
	maxPersist = 60 * time.Second
)

// start arms keep-alive.
func (l *liveness) start(now time.Duration, c *Conn) {
	l.heard = now
	if c.cfg.KeepAlive.on() {
		c.timers.set(timerKeepAlive, now+c.cfg.KeepAlive.Idle)
	}
}

func (k *KeepAlive) on() bool { return !k.Off && k.Idle > 0 }

// ChangeKeepAlive changes what Config.KeepAlive says, and counts anew.
func (c *Conn) ChangeKeepAlive(now time.Duration, change func(*KeepAlive)) {
	k := &c.cfg.KeepAlive
	change(k)
	c.cfg = c.cfg.withDefaults()
	c.live.keeps = 0
	switch {
	case !k.on():
		c.timers.stop(timerKeepAlive)
	case c.state.synchronized() && c.state != TimeWait:
		c.timers.set(timerKeepAlive, max(now, c.live.heard+k.Idle))
	}
}

// alive notes that the peer has been heard.
func (l *liveness) alive(now time.Duration, c *Conn) {
	l.heard, l.keeps = now, 0
	l.answered = l.persists
}

// KeepAlive sends a probe at once, whatever is under way: an old sequence number that has to be answered.
// The answer comes to the Extension, like every segment.
func (c *Conn) KeepAlive(time.Duration) {
	if c.state.synchronized() && c.state != TimeWait {
		c.ask()
	}
}

// old is a sequence number that has to be answered. SND.NXT-1, as in a keep-alive, tells the peer that nothing is outstanding, nor
// waits (Extension.Asked): while something does, it is one that the peer has left behind for longer.
func (s *sender) old() uint64 {
	if s.una < s.nxt || s.unsent() > 0 {
		return s.una - 2
	}
	return s.nxt - 1
}

// Repeat has the peer send an ACK at once: the newest octet that was acknowledged leaves again. False: there is none, or a FIN was
// acknowledged behind it. A keep-alive, which has no payload, would do in theory; but of such segments outside its window Linux
// answers one in 500 ms. And a keep-alive says that nothing is under way (Extension.Asked), which nobody can tell from this.
func (c *Conn) Repeat(time.Duration) bool {
	c.live.repeat = c.state.synchronized() && c.state != TimeWait && c.snd.repeatable()
	return c.live.repeat
}

// repeatable says whether an octet precedes SND.UNA.
func (s *sender) repeatable() bool { return s.una > 1 && s.una <= s.end }

// ask lets a keep-alive leave.
func (c *Conn) ask() {
	if !c.live.probe {
		c.live.probe = true
		c.event().KeepAlives++
	}
}

// keepAliveTimeout is RFC 9293 section 3.8.4. The timer is not moved by every segment: it looks when it is
// due how long the silence has been.
func (c *Conn) keepAliveTimeout(now time.Duration) {
	k := &c.cfg.KeepAlive
	if !k.on() || !c.state.synchronized() || c.state == TimeWait {
		return
	}
	quiet := now - c.live.heard
	switch {
	case quiet < k.Idle:
		c.live.keeps = 0
		c.timers.set(timerKeepAlive, c.live.heard+k.Idle)
	case c.snd.una != c.snd.nxt: // retransmissions tell whether the peer lives
		c.timers.set(timerKeepAlive, now+k.Idle)
	case c.live.keeps >= k.Count:
		c.stats.AbruptTimeouts++
		c.giveUp(now)
	default:
		c.live.keeps++
		c.ask()
		c.timers.set(timerKeepAlive, now+k.Interval)
	}
}

// considerPersist arms the persist timer where only the peer's window keeps data from leaving, and nothing
// is in flight whose acknowledgment could open it.
func (c *Conn) considerPersist(now time.Duration) {
	if c.timers.armed[timerPersist] || c.snd.una != c.snd.nxt || !c.windowBlocks() {
		return
	}
	if c.live.persists == 0 {
		c.live.closedAt = now
	}
	c.timers.set(timerPersist, now+c.persistDelay())
}

// windowBlocks says that there is something to send that the window does not take, or not well.
func (c *Conn) windowBlocks() bool {
	if !c.state.maySend() || c.snd.unsent() == 0 && !(c.snd.fin && !c.snd.finSent) {
		return false
	}
	return c.snd.usable() < max(1, min(c.snd.unsent(), int64(c.snd.mss)))
}

// persistDelay is the retransmission timeout, doubled for each probe: "the transmitting host SHOULD send
// the first zero-window probe when a zero window has existed for the retransmission timeout period … and
// SHOULD increase exponentially the interval between successive probes" (RFC 9293 section 3.8.6.1).
func (c *Conn) persistDelay() time.Duration {
	return min(max(c.rtx.RTO(), minPersist)<<min(c.live.persists, 10), maxPersist)
}

// persistTimeout sends what the window takes after all ("override timeout", section 3.8.6.2.1), a FIN,
// which needs no room, or a probe of a closed window. The probe repeats the sequence number before SND.UNA
// without a byte: the peer has to answer it, and no byte is sent that the window does not take.
func (c *Conn) persistTimeout(now time.Duration) {
	if c.rtx == nil || c.snd.una != c.snd.nxt || !c.windowBlocks() {
		c.live.persists = 0
		return
	}
	if c.persistedTooLong(now) {
		c.stats.AbruptTimeouts++
		c.giveUp(now)
		return
	}
	c.live.persists++
	c.snd.force = c.snd.usable() > 0 || c.snd.unsent() == 0
	if !c.snd.force {
		c.event().WindowProbes++
		c.live.probe = true
	}
	c.timers.set(timerPersist, now+c.persistDelay())
}

// persistedTooLong says that the probes stay without an answer: as long as they are answered, "the sending
// TCP peer MUST allow the connection to stay open" (RFC 9293 section 3.8.6.1).
func (c *Conn) persistedTooLong(now time.Duration) bool {
	if c.cfg.UserTimeout > 0 {
		return c.live.persists-c.live.answered >= 2 && now-max(c.live.heard, c.live.closedAt) >= c.cfg.UserTimeout
	}
	return c.live.persists-c.live.answered >= c.cfg.Retries
}

// settlePersist ends the probing when the window has opened.
func (c *Conn) settlePersist(time.Duration) {
	if c.snd.una != c.snd.nxt || !c.windowBlocks() {
		c.timers.stop(timerPersist)
		c.live.persists, c.live.answered = 0, 0
	}
}

// startUserTimer begins to count when data waits for acknowledgment that did not before.
func (c *Conn) startUserTimer(now time.Duration) {
	if c.cfg.UserTimeout > 0 && c.state.synchronized() {
		c.timers.set(timerUser, now+c.cfg.UserTimeout)
	}
}

// restartUserTimer counts anew when something was acknowledged.
func (c *Conn) restartUserTimer(now time.Duration) {
	if c.cfg.UserTimeout <= 0 {
		return
	}
	if c.snd.una == c.snd.nxt && c.snd.unsent() == 0 {
		c.timers.stop(timerUser)
		return
	}
	c.startUserTimer(now)
}

// userTimeout is that of RFC 9293 section 3.9.1: "if data is not successfully delivered to the destination
// within the timeout period, the TCP endpoint will abort the connection". A closed window that the peer
// keeps confirming is no failure.
func (c *Conn) userTimeout(now time.Duration) {
	if c.rtx == nil || c.snd.una == c.snd.nxt && c.snd.unsent() == 0 {
		return
	}
	if c.timers.armed[timerPersist] && !c.persistedTooLong(now) {
		c.timers.set(timerUser, now+c.cfg.UserTimeout)
		return
	}
	c.stats.AbruptTimeouts++
	c.giveUp(now)
}

// giveUp ends a connection whose peer does not answer: "close the connection" at R2, with a RST in case
// that it is only the other direction that is dead.
func (c *Conn) giveUp(now time.Duration) {
	c.reset()
	c.tell(now, ErrTimeout)
}
