package tcp

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Close sends a FIN behind everything that is queued: this side sends no more, and goes on receiving. Of a
// connection whose handshake has not begun or not come back, nothing is left.
func (c *Conn) Close(now time.Duration) {
	if c.state == Closed || c.snd.fin {
		return
	}
	if c.state == SynSent {
		c.told = true
		c.end()
		return
	}
	c.snd.fin = true
	if c.snd.una == c.snd.nxt && c.snd.unsent() == 0 {
		c.startUserTimer(now)
	}
	if c.rcv.shut {
		c.limitFinWait(now)
	}
}

// CloseRead throws away what arrives from now on. After Close as well, nobody is left to take it: data is
// answered with a RST then, and FIN-WAIT-2 ends after Config.FinWait2.
func (c *Conn) CloseRead(now time.Duration) {
	c.rcv.shut = true
	c.rcv.unread = 0
	c.limitFinWait(now)
}

func (c *Conn) limitFinWait(now time.Duration) {
	if c.state == FinWait2 {
		c.timers.set(timerLast, now+c.cfg.FinWait2)
	}
}

// Abort ends the connection at once, with a RST where the state asks for one. Handler.Closed is not called.
func (c *Conn) Abort(time.Duration) {
	c.told = true
	c.reset()
}

// reset ends the connection, with a RST that waits in Poll where RFC 9293 section 3.10.5 wants one.
func (c *Conn) reset() {
	switch c.state {
	case SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck:
		c.rst = reply{due: true, seq: c.snd.sequence(c.snd.nxt), ack: c.rcv.sequence(c.rcv.nxt), flags: packet.RST | packet.ACK}
	}
	c.end()
}

// finLeft changes state when our FIN leaves for the first time.
func (c *Conn) finLeft() {
	c.snd.finSent = true
	switch c.state {
	case Established:
		c.state = FinWait1
	case CloseWait:
		c.state = LastAck
	}
}

// finAcknowledged changes state when our FIN is acknowledged. False: the connection has ended.
func (c *Conn) finAcknowledged(now time.Duration) bool {
	switch c.state {
	case FinWait1:
		c.state = FinWait2
		if c.rcv.shut {
			c.limitFinWait(now)
		}
	case Closing:
		c.timeWait(now)
		c.tell(now, nil)
		return false
	case LastAck:
		c.fail(now, nil)
		return false
	}
	return true
}

// timeWait lets go of everything but what TIME-WAIT needs.
func (c *Conn) timeWait(now time.Duration) {
	c.release()
	c.state = TimeWait
	c.remains = &Remains{
		seq: c.snd.sequence(c.snd.nxt), ack: c.rcv.sequence(c.rcv.nxt), ts: c.ts,
		lasts: c.cfg.TimeWait, until: now + c.cfg.TimeWait, answers: c.limits.duplicates,
	}
	c.timers.set(timerLast, c.remains.until)
}

// lastTimeout is the end of TIME-WAIT, or of a FIN-WAIT-2 that nobody waits in.
func (c *Conn) lastTimeout(now time.Duration) {
	switch c.state {
	case TimeWait:
		c.end()
	case FinWait2:
		c.fail(now, nil)
	}
}
