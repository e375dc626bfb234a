package driver

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/scheduler"
)

// ErrFull says that the connection takes no further subflow, or is closed.
var ErrFull = errors.New("driver: the connection takes no further subflow")

// joins are subflows on their way.
type joins struct {
	ctx     context.Context
	stop    context.CancelFunc
	pending []*attempt
	running map[uint32]context.CancelFunc // by attempt; one that the engine has cancelled is not among them

	established bool // both sides are known to have both keys
	waiting     []chan struct{}
}

// attempt is an OpenSubflow that waits for its result.
type attempt struct {
	n    uint32
	path engine.PathID // once the subflow exists
	done chan struct{}
	err  error
}

func (j *joins) cancel() {
	if j.stop != nil {
		j.stop()
	}
	for _, a := range j.pending {
		a.finish(errClosed)
	}
	j.pending = nil
	j.release()
}

// take says whether the subflow of an attempt is still wanted; attempt 0 is one that nobody here asked for.
func (j *joins) take(attempt uint32) bool {
	if attempt == 0 {
		return true
	}
	_, wanted := j.running[attempt]
	delete(j.running, attempt)
	return wanted
}

// came tells who waits for the subflow of an attempt which one it is.
func (j *joins) came(attempt uint32, id engine.PathID) {
	for _, a := range j.pending {
		if a.n == attempt && a.n != 0 {
			a.path = id
		}
	}
}

func (j *joins) release() {
	for _, ch := range j.waiting {
		close(ch)
	}
	j.waiting = nil
}

// AwaitEstablished waits until the connection is established, over, or ctx ends: a join may overtake
// the end of the first subflow's handshake.
func (c *Conn) AwaitEstablished(ctx context.Context) {
	c.mu.Lock()
	if c.joins.established || c.life.over {
		c.mu.Unlock()
		return
	}
	ch := make(chan struct{})
	c.joins.waiting = append(c.joins.waiting, ch)
	c.leave(c.now())
	select {
	case <-ch:
	case <-ctx.Done():
	}
}

func (a *attempt) finish(err error) {
	a.err = err
	close(a.done)
}

// settle ends the attempts that match with err.
func (j *joins) settle(match func(*attempt) bool, err error) {
	keep := j.pending[:0]
	for _, a := range j.pending {
		if match(a) {
			a.finish(err)
			continue
		}
		keep = append(keep, a)
	}
	clear(j.pending[len(keep):])
	j.pending = keep
}

// event looks for news of subflows that somebody waits for.
func (j *joins) event(ev extapi.Event) {
	if _, ok := ev.(extapi.ConnEstablished); ok {
		j.established = true
		j.release()
	}
	if len(j.pending) == 0 {
		return
	}
	switch e := ev.(type) {
	case extapi.SubflowEstablished:
		j.settle(func(a *attempt) bool { return a.path == e.Info.ID }, nil)
	case extapi.SubflowClosed:
		err := e.Err
		if err == nil {
			err = ErrFull
		}
		j.settle(func(a *attempt) bool { return a.path == e.Info.ID }, err)
	}
}

// pollJoins starts the subflows that the engine asks for, and gives up those that it wants no more: their path has
// come back by itself, or a fresh SYN is sooner there than one in back-off.
func (c *Conn) pollJoins() {
	j := &c.joins
	for {
		r, ok := c.eng.PollJoin()
		if !ok {
			break
		}
		if j.ctx == nil {
			j.ctx, j.stop = context.WithCancel(context.Background())
			j.running = make(map[uint32]context.CancelFunc)
		}
		ctx, stop := context.WithCancel(j.ctx)
		j.running[r.Attempt] = stop
		go c.join(ctx, stop, r)
	}
	for {
		n, ok := c.eng.PollCancel()
		if !ok {
			return
		}
		if stop := j.running[n]; stop != nil {
			stop()
			delete(j.running, n)
		}
	}
}

// join opens one subflow.
func (c *Conn) join(ctx context.Context, stop context.CancelFunc, r engine.JoinRequest) {
	defer stop()
	if c.joinTimeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, c.joinTimeout)
		defer stop()
	}
	err := errors.ErrUnsupported
	if c.joiner != nil {
		err = c.joiner(ctx, c, r)
	}
	if err == nil {
		return
	}
	var refused *Refusal
	c.mu.Lock()
	now := c.now()
	delete(c.joins.running, r.Attempt)
	c.eng.JoinFailed(now, r.Attempt, err, errors.As(err, &refused))
	c.joins.settle(func(a *attempt) bool { return a.n == r.Attempt }, err)
	c.leave(now)
}

// Attach makes s a subflow of the connection. On an error its socket is closed.
func (c *Conn) Attach(s Subflow) (engine.PathID, error) {
	f := &flow{f: s.Flow, net: s.Net, raw: s.Raw, prologue: s.Prologue, intake: s.Intake, joining: s.Params.Joining}
	f.writer = func() { c.drain(f) }
	if f.raw != nil {
		f.writer = func() { c.drainRaw(f) }
	}
	c.mu.Lock()
	c.settleDirect()
	now := c.now()
	if s.Hold > 0 {
		f.hold = now + s.Hold
	}
	if s.Intake != nil && s.Timeout > 0 {
		f.until.set(now, s.Timeout)
	}
	if !c.life.ended && c.joins.take(s.Params.Attempt) {
		f.id = c.eng.AddFlow(now, s.Flow, s.Params)
	}
	if f.id == 0 {
		c.leave(now)
		s.Flow.Release()
		resetOnClose(s.Net)
		s.Net.Close()
		return 0, ErrFull
	}
	s.Bind(c.eng, f.id)
	c.enrol(f)
	c.joins.came(s.Params.Attempt, f.id)
	c.measure(now, f, 0)
	if s.Established {
		c.eng.HandleEstablished(now, f.id)
	}
	if len(s.Rest) > 0 {
		if err := c.feed(now, f, s.Rest); err != nil {
			c.refuse(now, f, err)
		}
	}
	c.leave(now)
	return f.id, nil
}

// enrol finds who reads a new flow: the reader role, or a goroutine of its own.
func (c *Conn) enrol(f *flow) {
	c.flows = append(c.flows, f)
	if f.own = f.raw == nil || !c.watchable(f); f.own {
		c.owns++
		go c.readOwn(f)
		return
	}
	c.raws++
	c.role.interrupt()
}

// watchable makes the poll set ready for one more flow.
func (c *Conn) watchable(f *flow) bool {
	r := &c.role
	if r.set != nil {
		return r.set.add(f) == nil
	}
	if c.raws == 0 {
		return true
	}
	set, err := newPollSet()
	if err != nil {
		return false
	}
	if set.add(f) != nil {
		set.close()
		return false
	}
	for _, x := range c.flows {
		if !x.own && !x.eof && x != f && set.add(x) != nil {
			set.close()
			return false
		}
	}
	r.set = set
	return true
}

// OpenSubflow opens a subflow and waits until it is usable or refused. Zero addresses: any.
func (c *Conn) OpenSubflow(ctx context.Context, local, remote netip.AddrPort) (extapi.PathID, error) {
	c.mu.Lock()
	now := c.now()
	if c.life.over {
		c.mu.Unlock()
		return 0, errClosed
	}
	n, err := c.eng.RequestJoin(now, local, remote)
	if err != nil {
		c.leave(now)
		return 0, err
	}
	a := &attempt{n: n, done: make(chan struct{})}
	c.joins.pending = append(c.joins.pending, a)
	c.leave(now)
	select {
	case <-a.done:
	case <-ctx.Done():
		c.mu.Lock()
		select {
		case <-a.done: // a result wins
		default:
			c.joins.settle(func(x *attempt) bool { return x == a }, context.Cause(ctx))
		}
		c.mu.Unlock()
	}
	return a.path, a.err
}

// CloseSubflow closes a subflow once its data is safe elsewhere.
func (c *Conn) CloseSubflow(id extapi.PathID) error {
	return c.change(func(now time.Duration) error { return c.eng.CloseFlow(now, id) })
}

// SetBackup asks the peer (MP_PRIO) to use a subflow only when no other works, or as any other.
func (c *Conn) SetBackup(id extapi.PathID, backup bool) error {
	return c.change(func(now time.Duration) error { return c.eng.SetBackup(now, id, backup) })
}

// SetPathPolicy replaces the policy; subflows follow.
func (c *Conn) SetPathPolicy(p extapi.PathPolicy) error {
	return c.change(func(now time.Duration) error { return c.eng.SetPolicy(now, p) })
}

// SetScheduler replaces the scheduler.
func (c *Conn) SetScheduler(f scheduler.Factory) error {
	x, name := f.New(), f.Name() // without the lock: they are the program's
	return c.change(func(now time.Duration) error {
		c.eng.SetScheduler(now, x, name)
		return nil
	})
}

// AddLocalAddr makes an address available to the connection (RFC 6897 section 5.3.3).
func (c *Conn) AddLocalAddr(a netip.AddrPort) error {
	return c.change(func(now time.Duration) error { return c.eng.AddLocalAddr(now, a) })
}

// RemoveLocalAddr withdraws an address and closes its subflows.
func (c *Conn) RemoveLocalAddr(a netip.AddrPort) error {
	return c.change(func(now time.Duration) error { return c.eng.RemoveLocalAddr(now, a) })
}

// SetLocalAddrs tells which local addresses there are.
func (c *Conn) SetLocalAddrs(l []extapi.Candidate) {
	c.Update(func(now time.Duration, e *engine.Conn) { e.SetLocalAddrs(now, l) })
}

// SetAnnounce tells which addresses to announce (ADD_ADDR); scoped keeps back those outside the
// scope that the connection arrived on.
func (c *Conn) SetAnnounce(l []netip.AddrPort, scoped bool) {
	c.Update(func(now time.Duration, e *engine.Conn) { e.SetAnnounce(now, l, scoped) })
}

func (c *Conn) change(f func(now time.Duration) error) error {
	c.mu.Lock()
	if c.life.over {
		c.mu.Unlock()
		return errClosed
	}
	now := c.now()
	err := f(now)
	c.leave(now)
	return err
}

// Established says whether both sides are known to have both keys.
func (c *Conn) Established() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joins.established
}
