package check

import (
	"context"
	"crypto/rand"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/stack"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/scheduler"
)

// Path is what is checked.
type Path struct {
	Local     netip.Addr // the zero Addr: the route's
	Interface string     // to leave through; "": the route's
	Remote    netip.AddrPort
}

// Config says how.
type Config struct {
	// Timeout is for each attempt to connect, and for the request.
	Timeout time.Duration
	// Talk has the server answer: it writes a request, without closing c, and reads from what comes. Its first Write is cut in
	// two, between which MP_JOIN and ADD_ADDR are tried, so that the server still waits. Nil: nothing is sent.
	Talk func(c net.Conn) error
	// Progress is told what is tried next; nil: nobody asks.
	Progress func(step string)
	// Open opens the link; Epoch is where both it and the stack count time from.
	Open  func(link.Stack) (link.Link, error)
	Epoch time.Time
}

// Run tries the path, one connection after the other, and returns what it has seen. It closes what it has opened.
func Run(ctx context.Context, cfg Config, p Path) *Facts {
	r := &run{Config: cfg, path: p, w: newWatch(), facts: &Facts{Talked: cfg.Talk != nil}}
	if r.Progress == nil {
		r.Progress = func(string) {}
	}
	clock := func() time.Duration { return time.Since(cfg.Epoch) }
	s, err := stack.New(cfg.Epoch, link.Watched(clock, r.w.segment, func(s link.Stack) (link.Link, error) {
		l, err := cfg.Open(s)
		r.link = l
		return l, err
	}))
	if err != nil {
		r.facts.Err = err
		return r.facts
	}
	defer s.Close()
	r.stack, r.clock = s, clock
	r.all(ctx)
	return r.facts
}

// run is one path's check under way.
type run struct {
	Config
	path  Path
	w     *watch
	stack *stack.Stack
	link  link.Link // unwatched
	clock func() time.Duration
	facts *Facts
}

func (r *run) all(ctx context.Context) {
	f := r.facts
	source, err := r.stack.Source(r.path.Local, r.path.Remote.Addr(), r.path.Interface)
	if err != nil {
		f.Err = err
		return
	}
	r.path.Local = source
	for range 2 { // that nothing tells of the gap may be chance
		r.Progress("TCP")
		r.plain(ctx)
		if f.Plain == nil || !f.Plain.Filled || f.Plain.Hints > 0 || ctx.Err() != nil {
			break
		}
	}
	if f.Plain == nil || f.Plain.Answer != Accepted {
		return
	}
	f.Capable, f.Join = r.capable(ctx, true)
	if c := f.Capable; c != nil && c.Option && c.Acked > 0 && c.DataAcked <= 0 && !c.FailSent && !c.FailReceived {
		f.Unsummed, _ = r.capable(ctx, false)
	}
	if c := f.Capable; c != nil && !c.Option && c.Answer == Accepted && c.BareSYNs == 0 {
		r.Progress("a join of nobody's")
		f.Stray = r.halfOpen(ctx, strayJoin())
	}
	if c := f.Capable; c != nil && c.Answer == Accepted && c.BareSYNs == 0 {
		r.Progress("long SYN options")
		f.Long = r.halfOpen(ctx, longOptions())
	}
}

// quiet is how long a server is given to speak first, where nothing is asked.
const quiet = 300 * time.Millisecond

// seed is what a connection is made from.
func (r *run) seed(key engine.Key) stack.Seed {
	return stack.Seed{
		Key: key,
		Driver: driver.Params{
			JoinTimeout: r.Timeout,
			Engine: engine.Config{
				Client: true, Rand: rand.Reader, Scheduler: scheduler.MinRTT.New(), SchedName: scheduler.MinRTT.Name(),
				SendBuffer: 1 << 20, RecvBuffer: 1 << 20,
				JoinDelay: time.Hour, JoinBytes: 1 << 60, // joins are ours to ask for
				NoPathTimeout: r.Timeout, CloseTimeout: r.Timeout,
			},
		},
		// In IPv6 an ADD_ADDR with a port leaves no room for timestamps.
		TCP:        ourTCP(r.path.Remote.Addr().Is6()),
		Congestion: congestion.Cubic,
	}
}

func ourTCP(noTimestamps bool) func() tcp.Config {
	return func() tcp.Config { return tcp.Config{NoDelay: true, NoTimestamps: noTimestamps} }
}

func (r *run) dial(ctx context.Context, seed stack.Seed) (*driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	d, _, err := r.stack.Dial(ctx, seed, netip.AddrPortFrom(r.path.Local, 0), r.path.Remote, r.path.Interface)
	return d, err
}

// plain connects without MPTCP and, if there is a request, sends it with a gap in the sequence numbers.
func (r *run) plain(ctx context.Context) {
	n := r.w.next(0, false, r.Talk != nil)
	seed := r.seed(0)
	seed.Plain, seed.TCP = extapi.FallbackDisabled, ourTCP(false)
	d, err := r.dial(ctx, seed)
	if err == nil {
		if r.Talk != nil {
			r.facts.Silent = r.talk(ctx, d, func() {}) != nil
		}
		r.close(d)
	}
	r.facts.Plain = r.w.seen(n)
	if r.facts.Plain == nil {
		r.facts.Err = err
	}
}

// talk runs the request, with between in its middle.
func (r *run) talk(ctx context.Context, d *driver.Conn, between func()) error {
	stop := context.AfterFunc(ctx, func() { _ = d.Abort(engine.ResetUnspecified) })
	defer stop()
	return r.Talk(&cutConn{Conn: d, between: func() {
		between()
		_ = d.SetDeadline(time.Now().Add(r.Timeout))
	}})
}

// capable connects with MP_CAPABLE, with checksums or without, and tries everything that belongs to such a connection.
func (r *run) capable(ctx context.Context, checksum bool) (conn, join *Seen) {
	r.Progress("MP_CAPABLE")
	key, err := engine.NewTokens[struct{}](rand.Reader, 0).NewKey(struct{}{})
	if err != nil {
		r.facts.Err = err
		return nil, nil
	}
	n := r.w.next(key.IDSN(), true, false)
	seed := r.seed(key)
	seed.Offer.Checksum, seed.Driver.Engine.Checksum = checksum, checksum
	d, err := r.dial(ctx, seed)
	if err != nil {
		return r.w.seen(n), nil
	}
	joined := false
	further := func() { joined = r.further(ctx, d, n) }
	if r.Talk != nil {
		r.Progress("data with DSS")
		_ = r.talk(ctx, d, further) // what is missing is seen
	} else {
		_ = d.SetReadDeadline(time.Now().Add(quiet))
		_, _ = d.Read(make([]byte, 4096))
		further()
	}
	r.close(d)
	if joined {
		join = r.w.seen(n + 1)
	}
	return r.w.seen(n), join
}

// discard is a port where nobody is to be met (RFC 863).
const discard = 9

// echoes is how long an ADD_ADDR is given: it leaves three times within two seconds.
const echoes = 4 * time.Second

// further tries what needs a connection of which both sides know that it is multipath; true: a join was among it.
func (r *run) further(ctx context.Context, d *driver.Conn, n int) (joined bool) {
	if d.Info().Fallback != extapi.FallbackNone {
		return false
	}
	limit := min(r.Timeout, echoes)
	if r.Talk == nil {
		limit = quiet // nothing of ours is under way that would be acknowledged
	}
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	d.AwaitEstablished(wait)
	if !d.Established() || d.Info().Fallback != extapi.FallbackNone {
		return false
	}
	r.Progress("ADD_ADDR")
	_ = d.AddLocalAddr(netip.AddrPortFrom(r.path.Local, discard))
	r.await(ctx, echoes, func() bool { return r.w.seen(n).Echoed || d.Info().Fallback != extapi.FallbackNone })
	if r.w.seen(n).NoJoins {
		return false
	}
	r.Progress("MP_JOIN")
	join, stop := context.WithTimeout(ctx, r.Timeout)
	defer stop()
	_, _ = d.OpenSubflow(join, netip.AddrPortFrom(r.path.Local, 0), r.path.Remote) // what came of it is seen
	if r.w.seen(n+1) == nil {
		return false
	}
	// Where the limit is reached, Linux answers the third message with a RST.
	r.await(ctx, time.Second, func() bool { j := r.w.seen(n + 1); return j.Fourth || j.Broken || !j.ThirdSent })
	return true
}

// await waits until cond holds, for d at most.
func (r *run) await(ctx context.Context, d time.Duration, cond func() bool) {
	end := time.Now().Add(d)
	for ctx.Err() == nil && !cond() && time.Now().Before(end) {
		time.Sleep(10 * time.Millisecond)
	}
}

// close ends a connection in order; one that does not end is reset.
func (r *run) close(d *driver.Conn) {
	_ = d.Close()
	if !ended(d, min(r.Timeout, 3*time.Second)) {
		_ = d.Abort(engine.ResetUnspecified)
		ended(d, time.Second) // the RST leaves
	}
}

// ended waits for a connection's end, for so long.
func ended(d *driver.Conn, limit time.Duration) bool {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-d.Closed():
		return true
	case <-t.C:
		return false
	}
}

// cutConn cuts the first Write in two, behind its first byte: with that alone there is nothing yet for a box to change that
// works on content, which some servers would answer with plain TCP, without a reason.
type cutConn struct {
	*driver.Conn
	between func() // nil: it was
}

// Write implements net.Conn.
func (c *cutConn) Write(b []byte) (int, error) {
	between := c.between
	if between == nil || len(b) < 2 {
		return c.Conn.Write(b)
	}
	c.between = nil
	n, err := c.Conn.Write(b[:1])
	if err != nil {
		return n, err
	}
	between()
	m, err := c.Conn.Write(b[1:])
	return n + m, err
}

// ReadFrom hides driver.Conn's, which would pass Write by.
func (c *cutConn) ReadFrom(from io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, from)
}
