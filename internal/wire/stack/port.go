package stack

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/timer"
	"github.com/mptcp-go/mptcp/internal/wire"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// port is one subflow on a link. It is the link's Handler and, once it is part of a connection, the
// driver's Packets.
type port struct {
	s      *Stack
	marked atomic.Bool
	d      atomic.Pointer[driver.Conn] // whose lock guards what follows; nil: mu does
	mu     sync.Mutex

	flow    *wire.Flow
	lf      link.Flow
	timer   *timer.Timer[port] // while mu guards
	route   link.Route
	through int    // index of the interface that segments have to leave through; 0: the route's
	batch   *batch // between Gather and Sent, and while some of it waits for room
	n       int
	sent    int    // of these, how many have left or are lost
	room    uint64 // the stall's version before the last attempt
	top     uint32 // sequence number behind the last byte that was sent
	timed   uint64 // retransmission timeouts that the link knows of

	told     bool
	settle   func(now time.Duration, r wire.Result) *driver.Conn // takes the handshake's result, once; returns the connection that the port is part of now, entered
	after    func()                                              // follows settle, without a lock
	over     bool
	heir     *wait         // has the four-tuple since then, to answer in TIME-WAIT
	trouble  error         // of the last segment that could not leave
	failed   bool          // that was in the batch at hand
	said     time.Duration // when the program was told of such last; 0: never
	accepted bool          // its SYN came to a listener
}

// enter locks the port and returns the time. With a connection, leave it with its Pause or Leave.
func (p *port) enter(at time.Duration) (*driver.Conn, time.Duration) {
	for {
		d := p.d.Load()
		if d == nil {
			p.mu.Lock()
			if p.d.Load() == nil {
				return nil, max(at, p.s.now())
			}
			p.mu.Unlock()
			continue
		}
		now := d.Enter(at)
		if p.d.Load() == d {
			return d, now
		}
		d.Pause()
	}
}

// HandleSegment takes a segment from the link.
func (p *port) HandleSegment(at time.Duration, s *packet.Segment, buf pool.Ref) {
	d, now := p.enter(at)
	if d == nil && p.over {
		p.mu.Unlock()
		if p.heir != nil {
			p.heir.HandleSegment(at, s, buf)
		} else if l := p.lf.Listener(); l != nil {
			l.HandleSegment(at, s, buf)
		}
		return
	}
	p.take(now, d, s, buf)
	if d != nil {
		d.Pause()
	} else {
		p.mu.Unlock()
	}
	p.s.mark(p)
}

// take hands a segment to the flow, under the lock: that of d, if there is one.
func (p *port) take(now time.Duration, d *driver.Conn, s *packet.Segment, buf pool.Ref) {
	if s.Flags.Has(packet.ACK) && p.lf != nil {
		p.lf.Acked(s.Ack)
	}
	var payload pool.Ref
	if len(s.Payload) > 0 {
		payload = pool.Ref{C: buf.C, B: s.Payload}.Pass()
		if l := payload.Loan(); l != nil && l.To() != any(d) {
			payload = payload.Own() // a Read of another connection has lent it
			s.Payload = payload.B
		}
	}
	p.flow.HandleSegment(now, s, payload)
}

// HandleICMP takes an ICMP error from the link.
func (p *port) HandleICMP(at time.Duration, e *packet.ICMPError) {
	d, now := p.enter(at)
	if !p.over {
		p.flow.HandleICMP(now, e)
	}
	if d != nil {
		d.Pause()
	} else {
		p.mu.Unlock()
	}
	p.s.mark(p)
}

// flush ends the events of a batch, and returns the connection that the port is part of.
func (p *port) flush(at time.Duration) *driver.Conn {
	d, now := p.enter(at)
	if d != nil {
		d.Leave(now)
		return d
	}
	p.leave(now)
	return nil
}

// leave ends an event of a port that is its own: settles the handshake, sends, sets the timer, unlocks.
func (p *port) leave(now time.Duration) {
	if p.over {
		p.mu.Unlock()
		return
	}
	if r, ok := p.flow.Settled(); ok && !p.told {
		p.told = true
		if errors.Is(r.Err, tcp.ErrTimeout) {
			r.Err = p.because(r.Err)
		}
		d := p.settle(now, r)
		after := p.after
		p.settle, p.after = nil, nil
		if d != nil {
			p.stop()
			p.s.unwatch(p)
			p.mu.Unlock()
			d.Leave(now)
		} else {
			p.rest(now)
		}
		if after != nil {
			after()
		}
		return
	}
	p.rest(now)
}

// rest is leave for a port that stays its own.
func (p *port) rest(now time.Duration) {
	for p.gather(now, false) > 0 {
		p.Transmit()
		p.Sent(now)
	}
	if p.batch == nil && p.flow.Done() {
		p.bury()
	} else {
		p.arm(now)
	}
	p.mu.Unlock()
}

// arm sets the timer of a port that is its own.
func (p *port) arm(now time.Duration) {
	at, ok := p.flow.Next()
	if !ok {
		p.stop()
		return
	}
	if p.timer == nil {
		p.timer = timer.After(max(0, at-now), p, (*port).fire)
		return
	}
	p.timer.Reset(max(0, at-now))
}

func (p *port) stop() {
	p.timer.End()
	p.timer = nil
}

func (p *port) fire() {
	d, now := p.enter(0)
	if d != nil {
		d.Pause() // it has timers of its own
		return
	}
	if !p.over {
		p.flow.HandleTimeout(now)
	}
	p.leave(now)
}

// giveUp ends a handshake that nobody waits for any more, or the subflow that has come of it meanwhile if the stack is
// closed.
func (p *port) giveUp(err error) {
	d, now := p.enter(0)
	if d != nil {
		if p.s.isClosed() {
			p.flow.Abort(now, engine.ResetUnspecified)
			d.Leave(now)
		} else {
			d.Pause()
		}
		return
	}
	if !p.over {
		p.flow.Abort(now, engine.ResetUnspecified)
	}
	if p.told || p.over {
		p.leave(now)
		return
	}
	p.told = true
	p.settle(now, wire.Result{Err: p.because(err)})
	after := p.after
	p.settle, p.after = nil, nil
	p.rest(now)
	if after != nil {
		after()
	}
}

// because adds to the error of a handshake that had no answer what kept its segments from leaving.
func (p *port) because(err error) error {
	if p.trouble == nil {
		return err
	}
	return fmt.Errorf("%w; segments could not leave: %w", err, p.trouble)
}

// bury forgets the port. Its lock is held.
func (p *port) bury() {
	if p.over {
		return
	}
	p.over = true
	if p.batch != nil {
		p.flow.Sent(p.s.now())
		p.drop()
	}
	p.stop()
	p.s.forget(p)
	p.lf.Close()
}

// The driver's side.

// Inlet is where its segments come in.
func (p *port) Inlet() driver.Inlet { return p.lf.Inlet() }

// Next is when HandleTimeout is due.
func (p *port) Next() (time.Duration, bool) { return p.flow.Next() }

// HandleTimeout does what is due.
func (p *port) HandleTimeout(now time.Duration) { p.flow.HandleTimeout(now) }

// Gather collects the next segments that are to leave. What more would make larger may wait for that.
func (p *port) Gather(now time.Duration, more bool) (n int, waits bool) {
	n = p.gather(now, more)
	return n, p.batch == nil && p.flow.Corked() // a full link wakes the port by itself
}

// gather collects first the segments that have found the link full, and no others as long as it is.
func (p *port) gather(now time.Duration, more bool) int {
	if p.batch != nil {
		if p.room == p.s.stall.version.Load() {
			return 0
		}
		return p.n - p.sent
	}
	b := batches.Get().(*batch)
	p.flow.SetSuper(p.super())
	p.flow.Cork(more)
	n := 0
	for n < batchLen && p.flow.Poll(now, b.slot(n)) {
		b.segs[n].IfIndex = p.through
		p.observe(&b.segs[n])
		n++
	}
	if n == 0 {
		b.clear(1)
		batches.Put(b)
		return 0
	}
	p.batch, p.n, p.sent = b, n, 0
	return n
}

// observe tells the link which segments were lost: a retransmission says so.
func (p *port) observe(s *packet.Segment) {
	n := uint32(s.SeqLen())
	if n == 0 {
		return
	}
	if s.Flags.Has(packet.SYN) {
		p.top = s.Seq
	}
	if end := s.Seq + n; int32(end-p.top) > 0 {
		p.top = end
		return
	}
	timeouts := p.flow.Conn().Stats().Timeouts
	p.lf.Lost(s.Seq, timeouts > p.timed)
	p.timed = timeouts
}

// Transmit sends what Gather collected.
func (p *port) Transmit() {
	p.room = p.s.stall.version.Load()
	if _, err := p.s.link.Send(p.batch.segs[p.sent:p.n]); err != nil {
		var full *link.FullError
		if errors.As(err, &full) {
			p.sent += full.At
			return
		}
		p.trouble, p.failed = err, true // the link counts its errors; for TCP a segment is lost
		if errors.Is(err, syscall.EMSGSIZE) {
			p.measure()
		}
	}
	p.sent = p.n
}

// superRate is the rate in bytes per second from which on a flow sends super-segments: 17 full segments in a millisecond.
// Slower flows would save little; much higher, those that are slow for want of super-segments would never get any. And
// Linux, where it splits a super-segment in front of a queue that limits the rate, leaves the memory of the whole to the
// last part. A receiver on the same host counts that against its buffer, twice as much as there is, and has offered a
// window for more than it can keep: a connection that holds so much out of order moves nothing any more, not even what is
// missing.
//
// What the window promises counts only where some of it comes through: who has little to send has a window that has never
// been full, and the round-trip time of an empty queue. With both directions busy on few CPUs, a fast flow without
// super-segments may come to no more than superRate itself.
const (
	superRate   = 24 << 20
	superProven = superRate / 4 // for some time, in bytes per second
)

// super is how many bytes of payload a super-segment may have now; 0: none.
func (p *port) super() int {
	c := p.flow.Conn()
	if c.Rate() < superRate || c.LastingRate() < superProven {
		return 0
	}
	return p.lf.Super()
}

// measure asks for the route's MTU anew: the interface takes no longer what it once did.
func (p *port) measure() {
	iface := ""
	if p.through != 0 {
		iface = strconv.Itoa(p.through)
	}
	if r, err := p.s.link.Route(p.lf.Local().Addr(), p.lf.Remote().Addr(), iface); err == nil {
		p.route.MTU = r.MTU
	}
}

// Sent ends what Gather began.
func (p *port) Sent(now time.Duration) {
	if p.sent < p.n {
		p.s.stall.add(p)
		return
	}
	if p.failed {
		p.failed = false
		p.flow.Conn().LinkMTU(now, p.route.MTU, p.batch.segs[:p.n])
		if p.flow.ID() != 0 && (p.said == 0 || now-p.said >= time.Second) {
			p.said = now
			p.flow.SendFailed(p.trouble)
		}
	}
	p.flow.Sent(now)
	p.drop()
}

// drop ends a batch.
func (p *port) drop() {
	p.batch.clear(p.n)
	batches.Put(p.batch)
	p.batch, p.n, p.sent = nil, 0, 0
}

// Over says that the connection can forget the port.
func (p *port) Over() bool { return p.batch == nil && (p.flow.Done() || p.flow.Waits()) }

// Release ends the port. What TIME-WAIT has to answer, its heir answers.
func (p *port) Release() {
	if p.flow.Done() {
		p.flow.Detach()
	} else {
		p.heir = p.s.rest(p)
	}
	p.bury()
	p.d.Store(nil)
	if p.heir != nil && p.accepted {
		p.s.waits.thin()
	}
}
