package tcp

import (
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/recovery"
)

// Conn is one connection. Its methods are called under one lock of the owner's.
type Conn struct {
	cfg   Config
	h     Handler
	ext   Extension // never nil: noExtension where there is none
	state State
	told  bool // Handler.Closed has been called, or need not be

	hs   handshake
	snd  sender
	rcv  receiver
	rtx  *recovery.Sender // nil before the handshake is done and after the connection has ended
	ts   stamps
	ecn  ecn
	ack  acks
	live liveness
	mtu  pathMTU

	timers  timers
	stats   counters
	limits  limits
	rst     reply    // a RST that has yet to leave
	remains *Remains // in TIME-WAIT alone

	*scratch // while a segment is taken or made
}

// Dial opens a connection. Its SYN waits in Poll.
func Dial(now time.Duration, cfg Config, h Handler) *Conn {
	c := newConn(cfg, h)
	c.state = SynSent
	c.hs.due = true
	c.live.heard = now
	return c
}

// Accept makes a connection of the SYN of a peer. The SYN/ACK waits in Poll, unless the Extension will not
// have the SYN: then the connection is closed already.
func Accept(now time.Duration, cfg Config, h Handler, syn *packet.Segment) *Conn {
	c := newConn(cfg, h)
	c.borrow()
	defer c.giveBack()
	c.head.parse(syn.Options, true)
	c.live.heard = now
	if !c.consult(now, syn, 0, 0, 0) {
		c.end()
		c.told = true
		return c
	}
	c.peerSYN(now, syn)
	c.state = SynReceived
	c.hs.due, c.hs.passive = true, true
	return c
}

func newConn(cfg Config, h Handler) *Conn {
	c := &Conn{cfg: cfg.withDefaults(), h: h, ext: cfg.Extension}
	if c.ext == nil {
		c.ext = noExtension{}
	}
	c.ts.offset = cfg.TSOffset
	c.snd.iss, c.snd.end = cfg.ISN, 1
	c.snd.wnd, c.snd.maxWnd = 0, 0
	c.mtu.start(&c.cfg)
	c.snd.setMSS(defaultMSS(&c.cfg), c.mtu.mss())
	c.rcv.start(&c.cfg)
	c.limits = newLimits()
	return c
}

// Addrs are the connection's addresses.
func (c *Conn) Addrs() (local, remote netip.AddrPort) { return c.cfg.Local, c.cfg.Remote }

// State is where the connection stands.
func (c *Conn) State() State { return c.state }

// Done says that the connection has ended and no segment of it is left to leave: it can be forgotten.
func (c *Conn) Done() bool { return c.state == Closed && !c.rst.due }

// Next is when HandleTimeout is due; false: not at all.
func (c *Conn) Next() (time.Duration, bool) {
	at, ok := c.timers.next()
	if c.rtx != nil {
		if t, has := c.rtx.Next(); has && (!ok || t < at) {
			return t, true
		}
	}
	return at, ok
}

// HandleTimeout does what is due at now. Calling it early does nothing.
func (c *Conn) HandleTimeout(now time.Duration) {
	if c.timers.fired(timerHandshake, now) {
		c.handshakeTimeout(now)
	}
	if c.timers.fired(timerDelayedAck, now) && c.ack.delayed {
		c.ack.expire()
	}
	if c.timers.fired(timerLast, now) {
		c.lastTimeout(now)
	}
	if c.timers.fired(timerPersist, now) {
		c.persistTimeout(now)
	}
	if c.timers.fired(timerKeepAlive, now) {
		c.keepAliveTimeout(now)
	}
	if c.timers.fired(timerUser, now) {
		c.userTimeout(now)
	}
	if c.timers.fired(timerRaiseMTU, now) {
		c.raiseMTU(now)
	}
	if c.rtx != nil {
		if at, ok := c.rtx.Next(); ok && at <= now {
			c.recoveryTimeout(now)
		}
	}
}

// Trim gives memory back that a busy time has left behind, if nothing is going on: for a connection that has
// become idle.
func (c *Conn) Trim() {
	if c.rtx == nil || c.snd.una != c.snd.nxt || c.snd.unsent() > 0 || c.snd.q.lent {
		return
	}
	c.rtx.Trim()
	if c.snd.q.chunks.Len() == 0 {
		c.snd.q = sendQueue{}
	}
	if c.rcv.q.pieces.Len() == 0 {
		c.rcv.q = reassembly{serial: c.rcv.q.serial}
	}
}

// end closes the connection and lets go of what it holds. The Handler is not told.
func (c *Conn) end() {
	c.state = Closed
	c.release()
}

// release drops everything that only a living connection needs.
func (c *Conn) release() {
	c.timers.stopAll()
	c.snd.drop()
	c.rcv.q.drop()
	c.rtx = nil
	c.hs.due = false
	c.live.probe = false
}

// fail ends the connection and tells why.
func (c *Conn) fail(now time.Duration, err error) {
	c.end()
	c.tell(now, err)
}

// tell calls Handler.Closed, once.
func (c *Conn) tell(now time.Duration, err error) {
	if !c.told {
		c.told = true
		c.h.Closed(now, err)
	}
}

// noExtension is plain TCP.
type noExtension struct{}

func (noExtension) Append(_ time.Duration, _ *Outgoing, dst []byte, _ int) []byte { return dst }
func (noExtension) Limit(_ uint64, n int) int                                     { return n }
func (noExtension) Reserve(uint64) int                                            { return 0 }
func (noExtension) Handle(time.Duration, *Incoming) bool                          { return true }
func (noExtension) Asked(time.Duration)                                           {}
func (noExtension) Window(time.Duration, uint8, int64) int64                      { return -1 }

// consult shows the segment to the extension.
func (c *Conn) consult(now time.Duration, s *packet.Segment, off uint64, n int, ack uint64) bool {
	n = max(n, 0) // less than nothing: all of it would lie before the first byte
	c.incoming = Incoming{Seg: s, Kind: kindOf(s.Flags, n), Off: off, Len: n, Ack: ack}
	if n > 0 {
		end := off + uint64(n)
		c.incoming.Duplicate = end <= c.rcv.nxt || c.rcv.q.has(off, end)
		c.incoming.OutOfOrder = off > c.rcv.nxt
	}
	ok := c.ext.Handle(now, &c.incoming)
	c.incoming.Seg = nil
	return ok
}

// payload is the segment's payload on the reference p, or a copy where the caller has none.
func payload(s *packet.Segment, p pool.Ref) pool.Ref {
	n := len(s.Payload)
	switch {
	case n == 0 || n > pool.MaxSize:
		p.B = nil
	case p.C != nil:
		p.B = s.Payload[:n:n]
	default:
		return pool.Copy(s.Payload)
	}
	return p
}
