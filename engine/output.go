package engine

import "github.com/mptcp-go/mptcp/extapi"

// maxEvents bounds the events that wait for PollEvent; what does not fit is counted and reported.
const maxEvents = 256

// outputs wait for the driver.
type outputs struct {
	events []extapi.Event
	head   int
	lost   int
}

func (c *Conn) event(e extapi.Event) {
	o := &c.out
	if len(o.events)-o.head >= maxEvents {
		o.lost++
		return
	}
	o.events = append(o.events, e)
}

// PollEvent returns the next thing that happened.
func (c *Conn) PollEvent() (extapi.Event, bool) {
	o := &c.out
	if o.head < len(o.events) {
		e := o.events[o.head]
		o.events[o.head] = nil
		o.head++
		return e, true
	}
	o.events, o.head = o.events[:0], 0
	if o.lost > 0 {
		e := extapi.EventsLost{N: o.lost}
		o.lost = 0
		return e, true
	}
	return nil, false
}

// PollJoin returns the next subflow that the driver is asked to open.
func (c *Conn) PollJoin() (JoinRequest, bool) {
	if !c.established || c.closed() || c.closing.finished && !c.closing.waiting || c.fall.begun() {
		return JoinRequest{}, false
	}
	r, ok := c.paths.poll()
	if !ok {
		c.replan(c.paths.now) // what is due later is known only now
		return r, false
	}
	r.Backup = c.addrs.wishes.or(r.Path.Local, r.RemoteID, r.Backup)
	return r, true
}

// PollCancel returns the attempt of a JoinRequest that is no longer wanted. The driver may drop it
// without a JoinFailed; a flow that comes of it all the same is still taken.
func (c *Conn) PollCancel() (attempt uint32, ok bool) { return c.paths.pollCancel() }
