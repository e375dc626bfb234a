package engine

import (
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/options"
)

// maxPrioPerSecond bounds the MP_PRIO options of the peer that are acted upon: flapping costs nothing.
const maxPrioPerSecond = 16

// HandleOption takes an option that stands on its own.
func (c *Conn) HandleOption(now time.Duration, id PathID, o options.Option) {
	s := c.flow(id)
	if s == nil || s.state == extapi.StateClosed || !c.remoteKnown {
		return
	}
	s.tx.lastRx = now
	if c.fall.infinite && !ends(o) {
		return
	}
	switch o := o.(type) {
	case options.AddAddr:
		c.takeAddAddr(now, s, o)
	case options.RemoveAddr:
		c.takeRemoveAddr(now, s, o)
	case options.MPPrio:
		c.takePrio(now, s, o)
	case options.MPFail:
		c.handleFail(now, s, o)
	case options.Fastclose:
		c.takeFastclose(now, s, o)
	case options.TCPRst:
		s.err = &ResetError{Reason: ResetReason(o.Reason), Transient: o.Transient, Remote: true, Path: s.id}
	}
}

// ends says whether an option counts after a fallback too, having been sent before the peer knew.
func ends(o options.Option) bool {
	switch o.(type) {
	case options.MPFail, options.Fastclose, options.TCPRst:
		return true
	}
	return false
}

// takeFastclose ends the connection when the peer proves with our key that it is the peer (RFC 8684
// section 3.5). With another key the option is ignored.
func (c *Conn) takeFastclose(now time.Duration, s *subflow, o options.Fastclose) {
	if Key(o.ReceiverKey) != c.keys.Local {
		c.violation(s, "RFC 8684 section 3.5", "MP_FASTCLOSE with a wrong key")
		return
	}
	c.cfg.Counters.Count(mib.MPFastcloseRx)
	if c.closing.finished { // nothing is lost: the peer only hurries
		c.fail(now, nil)
		return
	}
	err := &ResetError{Remote: true}
	if e, ok := s.err.(*ResetError); ok {
		err.Reason = e.Reason
	}
	c.fail(now, err)
}

// takePrio changes how the peer wants the subflow used: it speaks of what we send (RFC 8684 section 3.3.8).
func (c *Conn) takePrio(now time.Duration, s *subflow, o options.MPPrio) {
	if now-s.prioSince > time.Second {
		s.prioSince, s.prios = now, 0
	}
	s.prios++
	c.cfg.Counters.Count(mib.MPPrioRx)
	if s.p.PeerBackup == o.Backup {
		return
	}
	s.p.PeerBackup = o.Backup
	if s.prios > maxPrioPerSecond {
		return // it counts from the next chunk on
	}
	c.event(extapi.SubflowPriority{ID: s.id, Backup: o.Backup, Remote: true})
	c.pathsChanged(now)
	c.pump(now)
}

// SetBackup asks the peer to use the subflow only when no regular one works, and does so itself. Those that take its place later
// do the same, until a policy says otherwise.
func (c *Conn) SetBackup(now time.Duration, id PathID, backup bool) error {
	s := c.flow(id)
	if s == nil || !s.open() {
		return ErrNoSubflow
	}
	c.addrs.wishes.set(s.p.Local, s.p.RemoteID, backup)
	c.setBackup(now, s, backup)
	c.pump(now)
	return nil
}

func (c *Conn) setBackup(now time.Duration, s *subflow, backup bool) {
	if s.p.Backup == backup {
		return
	}
	s.p.Backup = backup
	if c.remoteKnown {
		s.f.Signal(now, options.MPPrio{Backup: backup})
	}
	c.event(extapi.SubflowPriority{ID: s.id, Backup: backup})
	c.pathsChanged(now)
}

// takeAddAddr takes an ADD_ADDR or its echo. One whose HMAC is wrong is ignored without an echo:
// "If a host receives an ADD_ADDR option for which it cannot validate the HMAC, it SHOULD silently ignore
// the option" (RFC 8684 section 3.4.1).
func (c *Conn) takeAddAddr(now time.Duration, s *subflow, o options.AddAddr) {
	if o.Echo {
		c.cfg.Counters.Count(mib.EchoAdd)
		c.addrs.handleEcho(o)
		return
	}
	if !c.keys.CheckAddAddr(o) {
		c.violation(s, "RFC 8684 section 3.4.1", "ADD_ADDR with a wrong HMAC")
		return
	}
	c.cfg.Counters.Count(mib.AddAddr)
	if o.HasPort {
		c.cfg.Counters.Count(mib.PortAdd)
	}
	verdict := c.addrs.handleAdd(now, o, s.p.Remote.Port())
	if !verdict.echoed() {
		c.cfg.Counters.Count(mib.AddAddrDrop)
		return
	}
	echo := o
	echo.Echo, echo.HMAC = true, 0
	if s.open() {
		s.f.Signal(now, echo)
	} else if x := c.ackFlow(); x != nil { // nothing follows a FIN
		x.f.Signal(now, echo)
	}
	if verdict == announceNew || verdict == announceRefreshed {
		addr, _ := c.addrs.remote(extapi.AddrID(o.AddrID))
		c.event(extapi.AddrAnnounced{ID: extapi.AddrID(o.AddrID), Addr: addr, Remote: true})
		c.replan(now)
	}
}

// takeRemoveAddr takes a REMOVE_ADDR: the addresses are not dialled again. Subflows that use one are
// asked first, as RFC 8684 section 3.4.2 wants it with a TCP keep-alive: a path that answers stays.
func (c *Conn) takeRemoveAddr(now time.Duration, s *subflow, o options.RemoveAddr) {
	for _, b := range o.IDs[:o.N] {
		id := extapi.AddrID(b)
		if !c.addrs.handleRemove(id) && !c.usesRemote(id) {
			c.cfg.Counters.Count(mib.RmAddrDrop)
			continue
		}
		c.cfg.Counters.Count(mib.RmAddr)
		c.addrs.wishes.forget(id)
		c.event(extapi.AddrRemoved{ID: id, Remote: true})
		for _, x := range c.flows {
			if x.p.RemoteID == id && x.open() && !x.p.Initial || x.p.Initial && id == 0 && x.open() {
				c.question(now, x)
			}
		}
	}
	c.replan(now)
}

func (c *Conn) usesRemote(id extapi.AddrID) bool {
	for _, x := range c.flows {
		if x.p.RemoteID == id {
			return true
		}
	}
	return false
}

// question asks a flow whose address the peer has withdrawn whether it is alive.
func (c *Conn) question(now time.Duration, s *subflow) {
	if s.questioned != 0 {
		return
	}
	s.questioned = s.f.Probe(now) + max(time.Second, 4*s.srtt())
	c.time.arm(s.questioned)
}

// checkQuestioned closes the questioned flows that have not answered in time.
func (c *Conn) checkQuestioned(now time.Duration) {
	for i := len(c.flows) - 1; i >= 0 && !c.closed(); i-- {
		s := c.flows[i]
		switch {
		case s.questioned == 0:
		case s.questioned > now:
			c.time.arm(s.questioned)
		default:
			s.questioned = 0
			c.paths.closed(now, s.id)
			c.abortFlow(now, s, ResetUnspecified, nil)
		}
	}
}

// flushSignals sends the ADD_ADDR and REMOVE_ADDR that are due, on a flow that works.
func (c *Conn) flushSignals(now time.Duration) {
	if !c.established || c.closed() || c.fall.begun() {
		return
	}
	s := c.fastest()
	if s == nil {
		if s = c.ackFlow(); s == nil {
			return
		}
	}
	for {
		o, ok := c.addrs.pollRemove()
		if !ok {
			break
		}
		for _, x := range c.flows { // it is not acknowledged: tell it on every flow (RFC 8684 section 3.4.2)
			if x.usable() || x == s {
				x.f.Signal(now, o)
			}
		}
		for _, id := range o.IDs[:o.N] {
			c.event(extapi.AddrRemoved{ID: extapi.AddrID(id)})
		}
	}
	for {
		o, ok := c.addrs.pollAnnounce(now, s.srtt(), s.p.Local.Port())
		if !ok {
			break
		}
		o.HMAC = c.keys.AddAddrHMAC(true, o)
		s.f.Signal(now, o)
		addr := netip.AddrPortFrom(o.Addr, o.Port)
		c.event(extapi.AddrAnnounced{ID: extapi.AddrID(o.AddrID), Addr: addr})
	}
	if at, ok := c.addrs.wake(); ok {
		c.time.arm(at)
	}
}

// resendSignals repeats what was not echoed.
func (c *Conn) resendSignals(now time.Duration) {
	c.checkQuestioned(now)
	c.flushSignals(now)
}

// violation reports a breach of the protocol that had no effect.
func (c *Conn) violation(s *subflow, section, detail string) {
	c.event(extapi.ProtocolViolation{ID: s.id, Err: &ProtocolError{Section: section, Detail: detail}})
}
