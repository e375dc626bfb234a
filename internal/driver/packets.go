package driver

import (
	"slices"
	"time"

	"github.com/mptcp-go/mptcp/engine"
)

// Packets is a subflow whose TCP is our own: it makes packets, where others have a socket to write to.
// Packets that come in are fed to it between Enter and Leave, by who receives them; what it has to say leaves
// at the end of every event. All of it but Transmit runs under the connection's lock.
type Packets interface {
	// Inlet is where they come in; nil: nobody but the carrier receives there.
	Inlet() Inlet
	// Next is when HandleTimeout wants to be called; false: nothing is due.
	Next() (time.Duration, bool)
	HandleTimeout(now time.Duration)
	// Gather collects the next packets that are to leave and returns their number; 0: there are none. more says
	// that the application is likely to write more at once: what would grow by that may stay, and waits says so.
	Gather(now time.Duration, more bool) (n int, waits bool)
	// Transmit sends what Gather collected. The lock is free; one goroutine at a time is in it.
	Transmit()
	// Sent ends what Gather began.
	Sent(now time.Duration)
	// Over says that the subflow needs nothing more from the connection: Release is the last call.
	Over() bool
	Release()
}

// packetFlow is one subflow that makes packets. It outlives the engine's subflow until its FINs are
// acknowledged.
type packetFlow struct {
	p       Packets
	writing bool // somebody is between Gather and Sent
	quiet   bool // it had nothing to send since the flush began

	collect time.Duration // what waits for more leaves then; 0: nothing does
}

// Enter begins an event that a carrier brings, one that happened at the time given: it takes the lock and
// returns the event's time. Leave or Pause ends it.
func (c *Conn) Enter(at time.Duration) time.Duration {
	c.mu.Lock()
	return max(at, c.latest)
}

// Pause ends an event whose consequences can wait for the Leave of one that follows at once.
func (c *Conn) Pause() { c.mu.Unlock() }

// Leave ends an event and lets it have its consequences.
func (c *Conn) Leave(now time.Duration) { c.leave(now) }

// Adopt makes p a subflow of the connection, between Enter and Leave. attach puts it under the engine and
// returns its id; 0, as without asking it when nobody wants the subflow any more: it was not taken. attempt
// is that of the engine's JoinRequest, if it answers one.
func (c *Conn) Adopt(p Packets, attempt uint32, attach func(e *engine.Conn) engine.PathID) engine.PathID {
	if c.life.ended || !c.joins.take(attempt) {
		return 0
	}
	id := attach(c.eng)
	if id != 0 {
		c.packets = append(c.packets, &packetFlow{p: p})
		c.joins.came(attempt, id)
	}
	return id
}

// EachPackets calls f with every subflow of the kind, as one event. f must not block.
func (c *Conn) EachPackets(f func(now time.Duration, p Packets)) {
	c.mu.Lock()
	now := c.now()
	for _, x := range c.packets {
		f(now, x.p)
	}
	c.leave(now)
}

// transmit sends what the packet flows have to say. The lock is held at both ends and free while
// packets leave.
func (c *Conn) transmit(all bool) {
	c.sendAll(all)
	for c.forgetOver() {
		// The event that brought a flow to its end may have been paused, and no Leave comes to a flow that has gone.
		c.settle(c.now())
		c.sendAll(all)
	}
}

// sendAll gathers and transmits until no packet flow has anything to say; all of it, or but for what collects. What leaves
// starts timers, and so does what may leave only later: they are nobody else's to look after.
func (c *Conn) sendAll(all bool) {
	for _, f := range c.packets {
		f.quiet = false
	}
	for {
		f := c.talker()
		if f == nil {
			break
		}
		f.writing = true
		for c.gather(f, all) {
			c.mu.Unlock()
			f.p.Transmit()
			c.mu.Lock()
			now := c.now()
			f.p.Sent(now)
			c.lastIO = now
		}
		f.writing, f.quiet = false, true
		c.wakeSent()
		c.arm(c.now())
	}
}

// AwaitSent waits until nobody is between Gather and Sent. Who is there sends also what has become due meanwhile, which
// nobody else can.
func (c *Conn) AwaitSent() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for slices.ContainsFunc(c.packets, func(f *packetFlow) bool { return f.writing }) {
		if c.sent == nil {
			c.sent = make(chan struct{})
		}
		ch := c.sent
		c.mu.Unlock()
		<-ch
		c.mu.Lock()
	}
}

func (c *Conn) wakeSent() {
	if c.sent != nil {
		close(c.sent)
		c.sent = nil
	}
}

// gather collects the next packets of f, if there are any. What waits for more has its time from now on.
func (c *Conn) gather(f *packetFlow, all bool) bool {
	now := c.now()
	n, waits := f.p.Gather(now, !all && c.moreComes(now, f))
	switch {
	case !waits:
		f.collect = 0
	case f.collect == 0:
		f.collect = now + collectTime
	}
	return n > 0
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

// forgetOver drops the packet flows that are at their end, if there are any.
func (c *Conn) forgetOver() (any bool) {
	keep := c.packets[:0]
	for _, f := range c.packets {
		if !f.writing && f.p.Over() {
			f.p.Release()
			any = true
			continue
		}
		keep = append(keep, f)
	}
	clear(c.packets[len(keep):])
	c.packets = keep
	return any
}

// firePackets calls the packet flows whose time has come.
func (c *Conn) firePackets(now time.Duration) {
	for _, f := range c.packets {
		if at, ok := f.p.Next(); ok && at <= now {
			f.p.HandleTimeout(now)
		}
	}
}
