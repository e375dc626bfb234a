package engine

import (
	"io"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/seqnum"
)

// maxWindow is how far back old data may lie before it is taken for a wild sequence number.
const maxWindow = 1 << 30

// receiver is the receiving half: data-level reassembly, the connection-level window, what was
// acknowledged, and the peer's DATA_FIN.
type receiver struct {
	q   reassembly
	win recvWindow
	rtt rttWatch

	last      PathID // the flow that delivered last: acknowledgements go back there
	delivered uint64 // bytes that the application has read
	discard   bool   // CloseRead: what arrives is acknowledged and dropped
	unbounded bool   // after a fallback TCP alone keeps the window
	lostData  bool   // data was dropped that the application never read
	count     *mib.Tally

	fin      uint64 // data sequence number of the peer's DATA_FIN
	finKnown bool
	finSeen  bool // everything before it has arrived
}

// begin starts at the peer's first data sequence number.
func (r *receiver) begin(first uint64, cfg *kept) {
	r.q.init(first, cfg.Memory)
	r.q.discard = r.discard
	r.count = cfg.Counters
	r.q.store.most = cfg.RecvBuffer / shortPiece
	r.win.init(int64(cfg.RecvBuffer), cfg.Memory)
	r.win.start(first, initialWindow)
}

// insert puts a piece of data where it belongs and says whether it was (partly) a copy. What lies beyond the
// window is dropped, and not DATA_ACKed (RFC 8684 section 3.8).
func (r *receiver) insert(dsn uint64, p pool.Ref) (dup bool) {
	if n := inWindow(dsn, p.Len(), r.win.rightEdge()); n < p.Len() && !r.unbounded {
		r.count.Count(mib.NoDSSInWindow)
		if n == 0 {
			p.Release()
			return false
		}
		p.B = p.B[:n]
	}
	n := p.Len()
	end := dsn + uint64(n)
	fresh, old, dropped := r.q.insert(dsn, p)
	if old > 0 {
		r.count.Count(mib.DuplicateData)
	}
	if fresh == 0 && old+dropped < n {
		r.count.Count(mib.OFOQueue)
	}
	if r.discard && fresh > 0 {
		r.lostData = true
	}
	r.win.arrived(end, r.q.buffered())
	return old > 0
}

// ackNext is the DATA_ACK: the DATA_FIN counts once everything before it has arrived.
func (r *receiver) ackNext() uint64 {
	if r.finSeen {
		return r.fin + 1
	}
	return r.q.rcvNxt()
}

// end keeps what the application may still read.
func (r *receiver) end(nobody bool) {
	if nobody {
		r.q.drop()
	} else {
		r.q.forgetOutOfOrder()
	}
}

// Read copies in-order data into b. Zero bytes without an error mean that none is there; io.EOF means
// that the peer has closed its direction and everything was read.
func (c *Conn) Read(now time.Duration, b []byte) (int, error) {
	if n := c.rcv.q.read(b); n > 0 {
		c.consumed(now, n)
		return n, nil
	}
	return 0, c.readErr(len(b) == 0)
}

// NextRef returns the next in-order bytes without copying them; the caller releases the reference. It
// is empty when there are none.
func (c *Conn) NextRef(now time.Duration) (pool.Ref, error) {
	if p, ok := c.rcv.q.next(); ok {
		c.consumed(now, p.Len())
		return p, nil
	}
	return pool.Ref{}, c.readErr(false)
}

func (c *Conn) readErr(empty bool) error {
	switch {
	case empty && c.closing.err == nil:
		return nil
	case c.rcv.discard:
		return io.EOF
	case c.rcv.q.buffered() > 0:
		return nil
	case c.rcv.finSeen:
		return io.EOF
	}
	return c.closing.err
}

// Readable says whether Read would return something: data, io.EOF or an error.
func (c *Conn) Readable() bool {
	return c.rcv.q.buffered() > 0 || c.rcv.finSeen || c.rcv.discard || c.closing.err != nil
}

func (c *Conn) consumed(now time.Duration, n int) {
	c.rcv.delivered += uint64(n)
	c.rcv.win.consumed(now, n, c.maxRTT())
	c.maybeAck(now, nil)
}

// ackValue is what every DSS carries back.
func (c *Conn) ackValue(now time.Duration) Ack {
	if !c.remoteKnown || c.fall.infinite {
		return Ack{}
	}
	next, ack := c.rcv.ackNext(), c.dataAck()
	return Ack{Valid: true, DataAck: ack, Window: max(0, c.rcv.win.advertise(next, c.rcv.q.buffered())+seqnum.Diff(next, ack))}
}

// dataAck is the DATA_ACK as it stands.
func (c *Conn) dataAck() uint64 {
	if c.fall.found() && !c.rcv.finSeen {
		// What TCP has yet to bring it brings. Where there are more or fewer bytes than the peer has sent, our count would be
		// no DATA_ACK to it, or one that makes it send data again, which would arrive twice.
		return c.fall.declared
	}
	return c.rcv.ackNext()
}

// Advertise is the DATA_ACK and the window as they stand, for a carrier whose every segment has room for
// both: it asks when a segment leaves, and what it is told counts as told to the peer.
func (c *Conn) Advertise(now time.Duration) Ack { return c.ackValue(now) }

// Window is the receive window as it stands, in bytes beyond what is acknowledged: beyond the DATA_ACK, or,
// after a fallback, beyond what TCP acknowledges. It is rounded to units of 1<<scale bytes so that its right edge does not
// shrink. What it says counts as promised, but not as acknowledged.
func (c *Conn) Window(now time.Duration, scale uint8) int64 {
	w, next, unit := &c.rcv.win, c.rcv.ackNext(), int64(1)<<scale
	acked, owed := w.acked, w.owed
	n := w.rounded(next, c.rcv.q.buffered(), scale)
	w.acked, w.owed = acked, owed
	n += seqnum.Diff(next, c.dataAck())
	return max(0, (n+unit-1)&^(unit-1))
}

// maxRTT is the longest round-trip time of the subflows; 0 while none knows its own.
func (c *Conn) maxRTT() time.Duration {
	var m time.Duration
	for _, s := range c.flows {
		m = max(m, s.stats.SRTT)
	}
	return m
}

// ackFlow is the flow that acknowledgements take: the one that delivered last has just shown that it
// works; else any that does.
func (c *Conn) ackFlow() *subflow {
	if s := c.flow(c.rcv.last); s != nil && s.usable() {
		return s
	}
	var open *subflow
	for _, s := range c.flows {
		if s.usable() {
			return s
		}
		if open == nil && s.open() && s.state != extapi.StateJoining {
			open = s
		}
	}
	return open
}

// sendAck acknowledges at once, on s.
func (c *Conn) sendAck(now time.Duration, s *subflow) {
	a := c.ackValue(now)
	if !a.Valid {
		return
	}
	s.f.Ack(now, a)
}

// ackAll tells every flow where we stand.
func (c *Conn) ackAll(now time.Duration) {
	for _, s := range c.flows {
		if s.usable() {
			c.sendAck(now, s)
		}
	}
}

// reack repeats the newest acknowledgement on every flow that works, after one has failed that may
// have taken it along.
func (c *Conn) reack(now time.Duration) {
	if !c.closed() {
		c.ackAll(now)
	}
}

// maybeAck acknowledges when that is due: at once, or by a deadline.
func (c *Conn) maybeAck(now time.Duration, s *subflow) {
	switch {
	case c.closed():
		return
	case c.fall.infinite:
		c.updateWindow(now)
		return
	case !c.remoteKnown:
		return
	}
	if !c.rcv.win.shouldAck(now, c.rcv.ackNext(), c.rcv.q.buffered()) {
		if at, ok := c.rcv.win.deadline(); ok {
			c.time.arm(at)
		}
		return
	}
	if s == nil || !s.usable() {
		if s = c.ackFlow(); s == nil {
			return
		}
	}
	c.sendAck(now, s)
}

// updateWindow tells the peer of a plain connection that the window has opened. What arrives, TCP acknowledges by
// itself.
func (c *Conn) updateWindow(now time.Duration) {
	if !c.rcv.win.reopened(c.rcv.ackNext(), c.rcv.q.buffered()) {
		return
	}
	if len(c.flows) > 0 { // the only one there is; its own half may be closed
		c.flows[0].f.Ack(now, Ack{})
	}
}

// delayedAck sends the acknowledgement that was put off.
func (c *Conn) delayedAck(now time.Duration) { c.maybeAck(now, nil) }

// moved tells the path planner how much the connection has moved, since it opens further subflows for
// connections that are worth it, and keeps an eye on what the receive window grows by.
func (c *Conn) moved(now time.Duration) {
	c.watchRTT(now)
	sent := c.snd.una - c.snd.first
	c.paths.progress(now, int64(sent+c.rcv.delivered)+int64(c.rcv.q.buffered()))
}

// forgetOutOfOrder releases what lies behind a hole: it will never be filled.
func (r *reassembly) forgetOutOfOrder() {
	before := r.store.pinned
	r.store.forget()
	r.budget.adjust(r.store.pinned - before)
}
