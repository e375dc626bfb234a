package driver

import (
	"errors"
	"time"

	"github.com/mptcp-go/mptcp/internal/timer"
)

const (
	// calm is the shortest timer that is set while bytes flow, and how long the reader role stays free
	// before a background reader takes it. A pending timer that is due soon makes the runtime's
	// scheduler spin: it doubles the latency of a ping-pong (measured).
	calm = 20 * time.Millisecond
	// measureEvery is how old a flow's kernel statistics may be while bytes flow.
	measureEvery = 10 * time.Millisecond
)

// errSilent is not a timeout in the sense of net.Error: no deadline of the application's has passed.
var errSilent = errors.New("no answer within the handshake timeout")

// alarm is the connection's one runtime timer. It is re-armed lazily: a deadline that moves later
// leaves it alone, it looks again when it fires.
type alarm struct {
	t  *timer.Timer[Conn]
	at time.Duration // when it fires; 0: it is not pending
}

// arm makes sure that the alarm fires no later than the next deadline. When all is over there is none any more, and nothing
// may keep the connection: what it was set for last may be the end of a TIME-WAIT that goes on without it.
func (c *Conn) arm(now time.Duration) {
	at := c.nextDeadline(now)
	a := &c.alarm
	switch {
	case at == 0 && c.life.ended:
		a.t.End()
		*a = alarm{}
	case at == 0 || a.at != 0 && a.at <= at:
	case a.t == nil:
		a.at = at
		a.t = timer.After(max(0, at-now), c, (*Conn).fire)
	default:
		a.at = at
		a.t.Reset(max(0, at-now))
	}
}

// nextDeadline is when something is due; 0: nothing is. At the end of the connection only packet flows
// go on: their FINs have to be acknowledged.
func (c *Conn) nextDeadline(now time.Duration) time.Duration {
	next := time.Duration(0)
	sooner := func(at time.Duration) {
		at = max(at, 1)
		if next == 0 || at < next {
			next = at
		}
	}
	for _, f := range c.packets {
		if at, ok := f.p.Next(); ok {
			sooner(at)
		}
		if f.collect != 0 {
			sooner(f.collect)
		}
	}
	if c.life.ended {
		return next
	}
	if at, ok := c.eng.Next(); ok {
		if c.lastIO != 0 && now-c.lastIO < calm {
			at = max(at, now+calm)
		}
		sooner(at)
	}
	if c.rd.blocked && c.rd.deadline != 0 {
		sooner(c.rd.deadline)
	}
	if c.wr.blocked && c.wr.deadline != 0 {
		sooner(c.wr.deadline)
	}
	if c.raws > 0 && !c.role.held {
		sooner(c.role.freed + calm)
	}
	for _, f := range c.flows {
		if f.hold != 0 {
			sooner(f.hold)
		}
		if f.until.at != 0 {
			sooner(f.until.at)
		}
		if f.collect != 0 {
			sooner(f.collect)
		}
	}
	return next
}

// fire is the alarm's event.
func (c *Conn) fire() {
	c.mu.Lock()
	c.alarm.at = 0
	now := c.now()
	c.firePackets(now)
	if c.life.ended {
		c.leave(now)
		return
	}
	c.fireFlows(now)
	if at, ok := c.eng.Next(); ok && at <= now {
		c.eng.HandleTimeout(now)
	}
	if c.rd.blocked && c.rd.expired(now) {
		c.wakeRead()
	}
	if c.wr.blocked && c.wr.expired(now) {
		c.wakeWrite()
	}
	if c.raws > 0 && !c.role.held && now-c.role.freed >= calm {
		c.startReader()
	}
	c.leave(now)
}

// fireFlows does what is due on flows.
func (c *Conn) fireFlows(now time.Duration) {
	for i := len(c.flows) - 1; i >= 0; i-- {
		f := c.flows[i]
		c.measure(now, f, measureEvery)
		if f.hold != 0 && f.hold <= now {
			f.hold = 0
		}
		switch {
		case !f.until.passed(now):
		case f.broken != nil:
			c.lose(now, f, f.broken)
		case f.intake != nil:
			c.unanswered(now, f, errSilent)
		}
	}
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.rd, &c.wr) }

// SetReadDeadline sets when Read gives up with os.ErrDeadlineExceeded; the zero time is never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.rd) }

// SetWriteDeadline sets when Write gives up with os.ErrDeadlineExceeded; the zero time is never.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.wr) }

func (c *Conn) setDeadlines(t time.Time, gates ...*gate) error {
	c.mu.Lock()
	if c.life.closed {
		c.mu.Unlock()
		return errClosed
	}
	now := c.now()
	for _, g := range gates {
		g.setDeadline(t, now)
		if !g.blocked || !g.expired(now) {
			continue
		}
		if g == &c.rd {
			c.wakeRead()
		} else {
			c.wakeWrite()
		}
	}
	c.arm(now)
	c.mu.Unlock()
	return nil
}
