package driver

import (
	"time"

	"github.com/mptcp-go/mptcp/engine"
)

// Packets is a subflow whose TCP is our own: it makes packets, where others have a socket to write to.
// Packets that come in are fed to it within Update, by who reads them; what it has to say leaves at the
// end of every event. All of it but Transmit runs under the connection's lock.
type Packets interface {
	// Next is when HandleTimeout wants to be called; false: nothing is due.
	Next() (time.Duration, bool)
	HandleTimeout(now time.Duration)
	// Gather collects the next packets that are to leave and returns their number; 0: there are none.
	Gather(now time.Duration) int
	// Transmit sends what Gather collected. The lock is free; one goroutine at a time is in it.
	Transmit()
	// Sent ends what Gather began.
	Sent(now time.Duration)
	// Over says that the subflow needs nothing more from the connection: Release is the last call.
	Over() bool
	Release()
}

// packetFlow is one subflow that makes packets. It may be older than the engine's subflow, which begins
// when the handshake is done, and outlives it until both FINs are acknowledged.
type packetFlow struct {
	p       Packets
	writing bool // somebody is between Gather and Sent
	quiet   bool // it had nothing to send since the flush began
}

// Host makes p one of the connection's subflows that make packets, handshake included. It is called
// under the lock: within Update, or before anybody else knows the connection.
func (c *Conn) Host(p Packets) { c.packets = append(c.packets, &packetFlow{p: p}) }

// Adopt puts a subflow whose handshake is done under the engine, and returns its id; 0: the connection
// takes no further subflow. Like Host it is called under the lock.
func (c *Conn) Adopt(now time.Duration, f engine.Flow, p engine.FlowParams) engine.PathID {
	if c.life.ended || !c.joins.take(p.Attempt) {
		return 0
	}
	id := c.eng.AddFlow(now, f, p)
	if id != 0 {
		c.joins.came(p.Attempt, id)
	}
	return id
}

// transmit sends what the packet flows have to say. The lock is held at both ends and free while
// packets leave.
func (c *Conn) transmit() {
	for _, f := range c.packets {
		f.quiet = false
	}
	for {
		f := c.talker()
		if f == nil {
			break
		}
		f.writing = true
		for f.p.Gather(c.now()) > 0 {
			c.mu.Unlock()
			f.p.Transmit()
			c.mu.Lock()
			now := c.now()
			f.p.Sent(now)
			c.lastIO = now
		}
		f.writing, f.quiet = false, true
	}
	c.forgetOver()
}

// talker finds a packet flow that may have something to send and that nobody serves.
func (c *Conn) talker() *packetFlow {
	for _, f := range c.packets {
		if !f.writing && !f.quiet {
			return f
		}
	}
	return nil
}

// forgetOver drops the packet flows that are at their end.
func (c *Conn) forgetOver() {
	keep := c.packets[:0]
	for _, f := range c.packets {
		if !f.writing && f.p.Over() {
			f.p.Release()
			continue
		}
		keep = append(keep, f)
	}
	clear(c.packets[len(keep):])
	c.packets = keep
}

// firePackets calls the packet flows whose time has come.
func (c *Conn) firePackets(now time.Duration) {
	for _, f := range c.packets {
		if at, ok := f.p.Next(); ok && at <= now {
			f.p.HandleTimeout(now)
		}
	}
}
