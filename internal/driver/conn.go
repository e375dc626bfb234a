package driver

import (
	"net"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
)

// Conn is one Multipath TCP connection. Its methods may be called at once from any goroutine, and
// behave as those of *net.TCPConn; errors are plain (the caller wraps them in *net.OpError).
type Conn struct {
	fixed
	epoch time.Time // what now counts from
	born  time.Time

	mu      sync.Mutex // guards everything below; no other lock is taken under it
	eng     *engine.Conn
	flows   []*flow
	packets []*packetFlow // subflows without a socket; their ids are the engine's affair
	sent    chan struct{} // closed when one of them has sent; nil while nobody waits for that
	raws    int           // flows that the reader role reads
	owns    int           // flows that have reader goroutines of their own
	lastIO  time.Duration // when bytes last moved
	latest  time.Duration // the newest now: no event is older
	rd, wr  gate
	run     run
	role    role
	alarm   alarm
	events  events
	joins   joins
	life    life
}

// NewConn makes a connection without subflows. start, if not nil, is called with the engine before
// anything else happens (SetRemote, SetChecksum).
func NewConn(p Params, start func(now time.Duration, e *engine.Conn)) *Conn {
	c := &Conn{fixed: p.fixed(), epoch: time.Now()}
	c.born = c.epoch
	if !p.Epoch.IsZero() {
		c.epoch = p.Epoch
	}
	now := c.now()
	c.eng = engine.NewConn(now, p.Engine, p.Key)
	c.eng.SetID(p.ID, p.Carrier)
	if start != nil {
		start(now, c.eng)
	}
	return c
}

func (c *Conn) now() time.Duration {
	c.latest = time.Since(c.epoch)
	return c.latest
}

// Update runs f under the lock as one event: for carriers, and for calls that this package has no
// name for. f must not block.
func (c *Conn) Update(f func(now time.Duration, e *engine.Conn)) {
	c.mu.Lock()
	now := c.now()
	f(now, c.eng)
	c.leave(now)
}

// leave ends an event: it drains the engine's outputs, writes what the flows have queued, unlocks, and
// reports what happened.
func (c *Conn) leave(now time.Duration) {
	c.settle(now)
	c.flush(now, false)
	if c.life.ended {
		c.bury()
	}
	report := c.due()
	c.mu.Unlock()
	if report {
		c.report()
	}
}

// settle drains what the engine has to say and wakes who waited for it.
func (c *Conn) settle(now time.Duration) {
	c.pollJoins()
	for {
		ev, ok := c.eng.PollEvent()
		if !ok {
			break
		}
		c.joins.event(ev)
		c.push(now, ev)
	}
	c.wakeReady()
	c.handOver(now)
	c.checkEnd()
	c.arm(now)
}

// wakeReady wakes the callers of Read, Write and Flush that can go on.
func (c *Conn) wakeReady() {
	if c.rd.blocked && (c.rd.closed || c.rd.err != nil || c.eng.Readable()) {
		c.wakeRead()
	}
	if c.wr.blocked && (c.wr.closed || c.wr.err != nil || c.eng.Writable()) {
		c.wakeWrite()
	}
	if len(c.life.flushes) > 0 && (c.eng.Drained() || c.eng.Err() != nil || c.life.ended) {
		c.life.wakeFlushes()
	}
}

// wakeRead makes the caller whose turn to read it is look again, wherever it waits.
func (c *Conn) wakeRead() {
	c.rd.wake()
	if c.role.user == userRead {
		c.role.interrupt()
	}
}

func (c *Conn) wakeWrite() {
	c.wr.wake()
	if c.role.user == userWrite {
		c.role.interrupt()
	}
}

// LocalAddr is the first subflow's local address, for the connection's life.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the first subflow's remote address, for the connection's life.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Token is this side's token (RFC 8684 section 3.2).
func (c *Conn) Token() uint32 { return c.key.Token() }

// Keys are both sides' keys, for the handshakes of joins.
func (c *Conn) Keys() engine.Keys {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.eng.Keys()
}

// Info is a snapshot of the connection.
func (c *Conn) Info() extapi.ConnInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info()
}

func (c *Conn) info() extapi.ConnInfo {
	i := c.eng.Info()
	i.Established = c.born
	return i
}

// Subflows are snapshots of the subflows that exist.
func (c *Conn) Subflows() []extapi.SubflowInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for _, f := range c.flows {
		c.measure(now, f, 0)
	}
	return c.eng.Subflows(now)
}

// Err says why the connection ended; nil while it lives and after an orderly end.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rd.err != nil {
		return c.rd.err
	}
	return c.eng.Err()
}

// NetConns are the sockets of the living subflows: to set options on, nothing else.
func (c *Conn) NetConns() []net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := make([]net.Conn, 0, len(c.flows))
	for _, f := range c.flows {
		l = append(l, f.net)
	}
	return l
}
