package driver

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/mptcp-go/mptcp/engine"
)

// user says who has the reader role.
type user uint8

const (
	userNone user = iota
	userRead
	userWrite
	userBackground
)

// role is the right to read from the connection's sockets. The caller of Read that waits has it, or
// the caller of Write that waits for acknowledgements, or else, after calm, a background reader. Packets come in where those
// of other connections do: there it is the right to receive for all of them, and else that of a goroutine of the carrier's.
type role struct {
	held   bool
	user   user
	freed  time.Duration // when it was given back
	inlet  Inlet         // what the holder receives from, where it is no socket of the connection's
	last   *flow         // the flow that was read last
	parked parking       // what the holder waits on; nil: it runs
	intr   bool          // the wait is over: parked's deadline is in the past
	set    *pollSet      // waits for several sockets at once
	direct bool          // a read into the application's buffer is under way
	landed chan struct{} // closed when it is over, for who waits for that
	barred int           // how many wait for that: no other may begin before they have had their turn
}

// parking is what a wait can be interrupted through.
type parking interface {
	SetReadDeadline(time.Time) error
}

// longAgo interrupts a wait.
var longAgo = time.Unix(1, 0)

// interrupt ends the holder's wait, if it waits.
func (r *role) interrupt() {
	if r.parked != nil && !r.intr {
		r.intr = true
		r.parked.SetReadDeadline(longAgo)
	}
}

// take takes the role if it is free and there is something to read from.
func (c *Conn) take(u user) bool {
	if c.role.held || c.raws == 0 && !c.takeInlet() {
		return false
	}
	c.role.held, c.role.user = true, u
	if now := c.now(); now-c.role.freed >= glanceEvery {
		for _, f := range c.flows {
			f.f.Resumed(now)
		}
	}
	return true
}

// give gives the role back.
func (c *Conn) give(now time.Duration) {
	c.role.held, c.role.user = false, userNone
	c.role.freed = now
	if c.role.inlet != nil {
		c.leaveInlet()
	}
}

// giveUp gives the role back if u has it.
func (c *Conn) giveUp(now time.Duration, u user) {
	if c.role.user == u {
		c.give(now)
	}
}

// handOver finds a new holder for a free role: who waits for what the sockets may bring.
func (c *Conn) handOver(now time.Duration) {
	switch {
	case c.role.held || c.raws == 0:
	case c.rd.waiting:
		c.rd.wake()
	case c.wr.waiting:
		c.wr.wake()
	case c.readNow():
		c.startReader()
	}
}

// readNow says whether reading can't wait until the application reads: somebody waits for
// acknowledgements, or a handshake for its end.
func (c *Conn) readNow() bool {
	if len(c.life.flushes) > 0 || len(c.joins.waiting) > 0 || c.life.closed {
		return true
	}
	for _, f := range c.flows {
		if (f.joining || f.broken != nil) && !f.own {
			return true
		}
	}
	return false
}

func (c *Conn) startReader() {
	if c.take(userBackground) {
		go c.background()
	}
}

// background reads until a caller of Read or Write takes the role over.
func (c *Conn) background() {
	c.mu.Lock()
	for c.raws > 0 && !c.life.ended {
		c.step(nil, true)
		c.prepare()
		if c.rd.blocked && !c.rd.waiting || c.wr.blocked && !c.wr.waiting {
			break // woken: from here on it reads itself
		}
	}
	now := c.now()
	c.give(now)
	c.leave(now)
}

// step reads once, from the flow that has most to say, and feeds the engine. With wait it waits until
// there is something, or until it is interrupted. app is where payload may go that is next in order;
// step returns how much did. The role's holder calls it; the lock is free while it waits and reads.
func (c *Conn) step(app []byte, wait bool) int {
	if c.owns > 0 {
		app = nil // another goroutine may deliver the same bytes meanwhile
	}
	switch c.raws {
	case 0:
		return c.receive(app, wait)
	case 1:
		for _, f := range c.flows {
			if !f.own && !f.eof {
				return c.read(f, app, wait)
			}
		}
	}
	f := c.role.last
	if f == nil || f.drained || f.eof || f.burst >= fairBurst {
		f = c.poll(wait)
	}
	if f == nil {
		return 0
	}
	return c.read(f, app, false)
}

// fairBurst is how much is read from one flow before the others are looked at.
const fairBurst = 256 << 10

// read is one read of a flow.
func (c *Conn) read(f *flow, app []byte, wait bool) int {
	c.role.last = f
	b := &f.buf
	b.left, b.app = 0, nil
	if f.intake == nil {
		b.left = f.f.PayloadLeft()
	}
	if f.intake == nil && c.role.barred == 0 {
		b.app = app[:min(len(app), direct(c.eng, f))]
	}
	if wait {
		c.role.parked = f.net
	}
	c.role.direct = len(b.app) > 0
	c.mu.Unlock()
	n, err := f.raw.Readv(b, wait)
	c.mu.Lock()
	c.unpark()
	n = c.took(f, n, err)
	c.role.land()
	return n
}

// direct is how much of the next bytes of a flow may go into the application's buffer.
func direct(eng *engine.Conn, f *flow) int {
	left := f.buf.left
	room := eng.DirectRoom(f.id)
	if room < left || left == 0 && (f.buf.astray || !eng.DirectNext(f.id)) {
		return room
	}
	return math.MaxInt
}

// land ends a read into the application's buffer.
func (r *role) land() {
	r.direct = false
	if r.landed != nil {
		close(r.landed)
		r.landed = nil
	}
}

// settleDirect waits until no read into the application's buffer is under way: another subflow could
// deliver the same bytes (reinjection), and they would be counted twice.
func (c *Conn) settleDirect() {
	c.role.barred++
	defer func() { c.role.barred-- }()
	for c.role.direct {
		if c.role.landed == nil {
			c.role.landed = make(chan struct{})
		}
		ch := c.role.landed
		c.role.interrupt()
		c.mu.Unlock()
		<-ch
		c.mu.Lock()
	}
}

// unpark ends a wait. An interruption leaves the past deadline behind: it is taken back.
func (c *Conn) unpark() {
	if c.role.intr {
		c.role.intr = false
		c.role.parked.SetReadDeadline(time.Time{})
	}
	c.role.parked = nil
}

// took feeds what a read brought.
func (c *Conn) took(f *flow, n int, err error) (direct int) {
	now := c.now()
	b := &f.buf
	defer func() { b.app = nil }()
	if f.gone || f.eof {
		b.Drop()
		return 0
	}
	switch {
	case err == ErrAgain:
		f.drained = true
		return 0
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0
	case err == io.EOF:
		c.ended(now, f)
		return 0
	case err != nil && f.intake != nil:
		c.unanswered(now, f, err)
		return 0
	case err != nil:
		c.lose(now, f, err)
		return 0
	}
	if f.intake != nil {
		err = c.feed(now, f, b.stage[:n])
		b.Drop()
		if err != nil && f.intake != nil {
			c.miscarry(now, err)
			return 0
		}
	} else {
		f.drained = n < b.total
		f.burst += n
		c.heard(now, f)
		direct, err = b.feed(now, c.eng, f, n)
	}
	if err != nil {
		c.refuse(now, f, err)
	}
	return direct
}

// ended takes the peer's FIN on a flow.
func (c *Conn) ended(now time.Duration, f *flow) {
	c.stopReading(f)
	if f.intake != nil {
		c.unanswered(now, f, io.ErrUnexpectedEOF)
		return
	}
	if err := f.f.FeedEOF(now); err != nil && f.broken == nil {
		c.refuse(now, f, err)
		return
	}
	if f.finSent || f.broken != nil {
		c.lose(now, f, f.broken)
	}
}

// unanswered ends a connection whose handshake will never be done.
func (c *Conn) unanswered(now time.Duration, f *flow, err error) {
	if _, _, why := f.intake.Feed(now, c.eng, nil); why != nil {
		err = fmt.Errorf("%w: %w", why, err)
	}
	c.miscarry(now, err)
}

// miscarry ends a connection that never came about: what was written may have been read by somebody
// who does not speak this protocol, and is not sent again.
func (c *Conn) miscarry(now time.Duration, err error) {
	c.rd.err, c.wr.err = err, err
	c.rd.wake()
	c.wr.wake()
	c.role.interrupt()
	c.eng.Abort(now, engine.ResetUnspecified)
}

// stopReading takes a flow out of what the role's holder waits for.
func (c *Conn) stopReading(f *flow) {
	if f.eof {
		return
	}
	f.eof = true
	if f.own {
		c.owns--
	} else {
		c.raws--
	}
	if c.role.last == f {
		c.role.last = nil
	}
	if !f.own && c.role.set != nil {
		c.role.set.remove(f)
	}
	c.role.interrupt() // what the holder waits on has changed
}

// poll finds a flow with something to read. With wait it waits for one.
func (c *Conn) poll(wait bool) *flow {
	set := c.role.set
	if f := c.ready(); f != nil {
		return f
	}
	if wait {
		c.role.parked = set.file
	}
	c.mu.Unlock()
	set.wait(wait)
	c.mu.Lock()
	c.unpark()
	return c.ready()
}

// ready takes the next flow out of what the last wait found: first the one that carries what the
// application is waiting for.
func (c *Conn) ready() *flow {
	set := c.role.set
	best := -1
	for i := 0; i < set.n; i++ {
		f := c.flow(set.id(i))
		if f == nil || f.eof || f.own {
			continue
		}
		if best < 0 {
			best = i
		}
		if f.f.PayloadLeft() > 0 && c.eng.DirectRoom(f.id) > 0 {
			best = i
			break
		}
	}
	if best < 0 {
		set.n = 0
		return nil
	}
	f := c.flow(set.id(best))
	set.take(best)
	f.drained, f.burst = false, 0
	return f
}
