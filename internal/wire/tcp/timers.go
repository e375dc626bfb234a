package tcp

import "time"

// timer names a deadline of the connection's own. Those of loss recovery are recovery.Sender's.
type timer uint8

const (
	timerHandshake timer = iota // SYN or SYN/ACK again
	timerDelayedAck
	timerPersist
	timerKeepAlive
	timerUser     // RFC 5482
	timerLast     // the end of TIME-WAIT or FIN-WAIT-2
	timerRaiseMTU // look for a larger path MTU
	numTimers
)

// timers are deadlines, armed or not.
type timers struct {
	at    [numTimers]time.Duration
	armed [numTimers]bool
}

func (t *timers) set(k timer, at time.Duration) { t.at[k], t.armed[k] = at, true }

func (t *timers) stop(k timer) { t.armed[k] = false }

func (t *timers) stopAll() { t.armed = [numTimers]bool{} }

// fired disarms a timer that is due.
func (t *timers) fired(k timer, now time.Duration) bool {
	if !t.armed[k] || now < t.at[k] {
		return false
	}
	t.armed[k] = false
	return true
}

// next is the earliest deadline.
func (t *timers) next() (at time.Duration, ok bool) {
	for k, armed := range t.armed {
		if armed && (!ok || t.at[k] < at) {
			at, ok = t.at[k], true
		}
	}
	return at, ok
}
