package engine

import (
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
)

const (
	finMin = 200 * time.Millisecond // first retransmission of a DATA_FIN
	finMax = 10 * time.Second
	// lingerFIN is how long the subflows may take for their own FINs once both DATA_FINs are acknowledged. The peer's on one
	// whose TCP has acknowledged ours may take as long as TIME_WAIT would, while no other says that it waits for nothing.
	lingerFIN = 2 * time.Second
)

// dataFIN is our DATA_FIN, which takes one number of the data sequence space for itself (RFC 8684
// section 3.3.3). It rides on the last mapping when it is known by then, else it travels alone.
type dataFIN struct {
	queued bool
	dsn    uint64        // its data sequence number: the end of the data
	sent   bool          // on a flow that is still there
	flow   PathID        // that flow
	at     time.Duration // when to send it again
	tries  uint
	acked  bool
}

// rides says whether the DATA_FIN goes along with seg: it ends where the data ends.
func (d *dataFIN) rides(c *Conn, seg *segment) bool {
	return d.queued && !d.acked && seg.dsn+uint64(seg.n) == d.dsn && seg.n < maxMapping+1
}

func (d *dataFIN) sentOn(now time.Duration, id PathID) {
	d.sent, d.flow = true, id
	d.at = now + min(finMin<<min(d.tries, 6), finMax)
}

// forget makes the DATA_FIN due again when the flow that carried it fails.
func (d *dataFIN) forget(id PathID) {
	if d.flow == id {
		d.sent = false
	}
}

// sendFIN sends the DATA_FIN once all data is mapped, and again when its time has come.
func (c *Conn) sendFIN(now time.Duration) {
	d := &c.fin
	if !d.queued || d.acked || c.snd.unsent() > 0 || c.fall.infinite {
		return
	}
	if d.sent && now < d.at {
		c.time.arm(d.at)
		return
	}
	o := options.DSS{HasMap: true, DSN64: true, DSN: d.dsn, DataLen: 1, DataFIN: true}
	if a := c.ackValue(now); a.Valid {
		o.HasAck, o.Ack64, o.DataAck = true, true, a.DataAck
	}
	if c.checksum {
		o.HasChecksum = true
		o.Checksum = dssChecksum(o.DSN, 0, 1, nil)
	}
	if d.sent {
		d.tries++
	}
	for _, s := range c.flows {
		if !s.usable() && c.anyUsable() || !s.open() || s.state == extapi.StateJoining {
			continue
		}
		s.f.Signal(now, o)
		if !s.busy() {
			s.tx.since = now
		}
		d.sentOn(now, s.id)
		c.time.arm(d.at)
		if d.tries == 0 {
			break // the first time on one flow, later on all
		}
	}
}

func (c *Conn) anyUsable() bool {
	for _, s := range c.flows {
		if s.usable() {
			return true
		}
	}
	return false
}

// closeState is where the connection stands between Close and its end.
type closeState struct {
	app      bool          // the application has closed: nobody reads
	until    time.Duration // CloseTimeout after that
	finished bool          // both DATA_FINs are acknowledged
	linger   time.Duration // when subflows that do not finish are reset
	timeWait
	err   error // why the connection failed; nil after an orderly end
	ended bool  // nothing is left
}

// timeWait is the connection's own TIME_WAIT. Our last DATA_ACK may have died with a subflow: until
// the peer's FIN shows that it has it, a join may come for it, or go out with it.
type timeWait struct {
	confirmed bool          // the peer has closed a subflow in order: it waits for nothing
	waiting   bool          // no subflow is left
	over      time.Duration // when we stop waiting
}

// waitLimit is how long TIME_WAIT lasts where NoPathTimeout does not say less: the peer waits no longer.
const waitLimit = 60 * time.Second

func (s *closeState) done() bool { return s.finished || s.ended }

// parting says whether the subflows are closing in order: none is needed any more.
func (s *closeState) parting(now time.Duration) bool {
	return s.finished && !s.waiting && now < s.linger
}

// confirm notes that the peer waits for nothing: subflows that it leaves open have lingerFIN from now on.
func (c *Conn) confirm(now time.Duration) {
	if k := &c.closing; k.finished && !k.confirmed {
		k.confirmed, k.linger = true, now+lingerFIN
		c.time.arm(k.linger)
	}
}

func (c *Conn) closed() bool { return c.closing.ended || c.closing.err != nil }

// CloseWrite ends our direction: the peer reads io.EOF after everything written.
func (c *Conn) CloseWrite(now time.Duration) {
	if c.fin.queued || c.closing.err != nil {
		return
	}
	c.fin.queued, c.fin.dsn = true, c.snd.end
	if c.fall.infinite {
		c.closePlain(now)
		return
	}
	c.pump(now)
}

// CloseRead discards what has arrived and what will.
func (c *Conn) CloseRead(now time.Duration) {
	c.rcv.discard = true
	c.rcv.lostData = c.rcv.lostData || c.rcv.q.buffered() > 0
	c.rcv.q.drop()
	c.maybeAck(now, nil)
}

// Close ends both directions for the application; delivery goes on for CloseTimeout.
func (c *Conn) Close(now time.Duration) {
	if c.closing.app {
		return
	}
	c.closing.app = true
	c.closing.until = now + c.cfg.CloseTimeout
	c.time.arm(c.closing.until)
	c.CloseRead(now)
	c.CloseWrite(now)
	c.checkClosed(now)
}

// Abort ends the connection at once with MP_FASTCLOSE on every subflow (RFC 8684 section 3.5): on the one that
// works best with an ACK that is repeated until it is answered (option A there), if the carrier is one that
// loses segments, on the others with a RST.
func (c *Conn) Abort(now time.Duration, r ResetReason) {
	c.fastclose(now, r, &ResetError{Reason: r})
}

func (c *Conn) fastclose(now time.Duration, r ResetReason, err error) {
	if c.closing.ended {
		return
	}
	best := c.fastest()
	if best == nil {
		best = c.ackFlow()
	}
	for _, s := range c.flows {
		if !c.remoteKnown || !s.open() || c.fall.infinite {
			s.f.Abort(now, r)
			continue
		}
		s.f.Signal(now, options.Fastclose{ReceiverKey: uint64(c.keys.Remote)})
		if s == best && s.p.Carrier == extapi.CarrierWire {
			s.f.Close(now)
			continue
		}
		s.f.Abort(now, r)
	}
	c.end(now, err)
}

// fail ends the connection with an error and resets what is left of it.
func (c *Conn) fail(now time.Duration, err error) {
	for _, s := range c.flows {
		s.f.Abort(now, ResetUnspecified)
	}
	c.end(now, err)
}

// end releases everything. Data that has arrived in order stays readable.
func (c *Conn) end(now time.Duration, err error) {
	if c.closing.ended {
		return
	}
	c.closing.ended, c.closing.err = true, err
	c.paths.stop(now)
	for _, s := range c.flows {
		s.state = extapi.StateClosed
		s.rx.drop()
		c.addLog(s)
		c.event(extapi.SubflowClosed{Info: c.counted(s), Err: s.err})
	}
	c.flows, c.slots = nil, 0
	c.snd.drop()
	c.sent.drop()
	c.rcv.end(c.closing.app)
	c.time = timers{}
	c.noPath = 0
	c.event(extapi.ConnClosed{Err: err})
}

// checkClosed moves the close on: "A connection is considered closed once both hosts' DATA_FINs have
// been acknowledged by DATA_ACKs" (RFC 8684 section 3.3.3). Then the subflows are closed too.
func (c *Conn) checkClosed(now time.Duration) {
	if c.closing.ended {
		return
	}
	if c.closing.app && c.rcv.lostData && c.Drained() && !c.rcv.finSeen {
		// What the peer sent was never read, and it does not know: as TCP resets, we do.
		c.fastclose(now, ResetUnspecified, nil)
		return
	}
	if !c.closing.finished && c.fin.acked && c.rcv.finSeen {
		c.closing.finished = true
		c.closing.linger = now + lingerFIN
		c.closing.over = now + max(lingerFIN, min(c.cfg.NoPathTimeout, waitLimit))
		c.time.arm(c.closing.linger)
		for _, s := range c.flows {
			c.closing.confirmed = c.closing.confirmed || s.finRcvd
		}
		c.closeFlows(now)
	}
	switch k := &c.closing; {
	case !k.finished || len(c.flows) > 0:
	case k.confirmed || c.fall.begun() || now >= k.over:
		c.end(now, nil)
	case !k.waiting:
		k.waiting = true
		c.time.arm(k.over)
		c.paths.calm(now)
		c.replan(now)
	}
}

// closeFlows closes every subflow. Each takes our DATA_ACK along ahead of its FIN: the one that has it may fail, and the peer
// must not take the others' FINs for all that we had to say.
func (c *Conn) closeFlows(now time.Duration) {
	told := c.ackFlow()
	for i := len(c.flows) - 1; i >= 0 && !c.closed(); i-- {
		s := c.flows[i]
		if s != told && s.open() && s.state != extapi.StateJoining {
			c.sendAck(now, s)
		}
		c.closeFlow(now, s)
	}
}

// checkTimeouts looks at the deadlines that end connections.
func (c *Conn) checkTimeouts(now time.Duration) {
	k := &c.closing
	switch {
	case c.closed():
		return
	case k.finished: // what was to be delivered has been, and no path is missed
		c.checkLinger(now)
		return
	case k.app && now >= k.until:
		c.fastclose(now, ResetUnspecified, c.undelivered())
		return
	case c.noPath != 0 && now >= c.noPath:
		c.fail(now, c.lastPathError())
		return
	}
	if k.app {
		c.time.arm(k.until)
	}
	c.time.arm(c.noPath)
}

// checkLinger resets the subflows that do not finish in time, and ends TIME_WAIT. Where the peer has our FIN, and owes its own,
// the subflow is the way on which it would ask for the DATA_ACK that it lacks: a reset, and a join in search of a peer that
// may have forgotten us, would be for nothing.
func (c *Conn) checkLinger(now time.Duration) {
	k := &c.closing
	if now >= k.over {
		c.fail(now, nil)
		return
	}
	if now < k.linger {
		c.time.arm(k.linger)
	} else {
		for i := len(c.flows) - 1; i >= 0 && !c.closed(); i-- {
			if s := c.flows[i]; k.confirmed || !s.finAcked {
				c.abortFlow(now, s, ResetUnspecified, errNoFIN)
			}
		}
	}
	c.time.arm(k.over)
}

// undelivered is why a close ran out of time: nil when only the peer's own close is missing.
func (c *Conn) undelivered() error {
	switch {
	case c.Drained():
		return nil
	case c.anyUsable() || c.fall.infinite: // where the FIN has been queued, and the subflow takes nothing new
		return errUndelivered
	}
	return ErrNoPath
}

// Done says that the connection is over: no flow, no timer, nothing to send. Data that has arrived
// may still be readable.
func (c *Conn) Done() bool { return c.closing.ended }

// Err is why the connection ended before its time: nil while it lives and after an orderly end.
func (c *Conn) Err() error { return c.closing.err }
