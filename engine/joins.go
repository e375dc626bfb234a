package engine

import (
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/options"
	"github.com/mptcp-go/mptcp/scheduler"
)

// maxJoinsPerSecond bounds the MP_JOINs of the peer that are answered per connection: each costs an
// HMAC, and whoever sends them may not have the keys.
const maxJoinsPerSecond = 32

// joinLimits count what the peer's joins cost.
type joinLimits struct {
	since   time.Duration // start of the second that n counts in
	n       int
	pending int // answered, not completed
}

// SetLocalAddrs takes the usable local addresses of this host (Remote of the candidates is ignored):
// a new one becomes a new subflow, one that has vanished closes its subflows and is withdrawn with
// REMOVE_ADDR.
func (c *Conn) SetLocalAddrs(now time.Duration, list []extapi.Candidate) {
	if c.closed() {
		return
	}
	hosts := make([]netip.Addr, 0, len(list))
	for _, a := range list {
		hosts = append(hosts, a.Local.Addr())
	}
	had := c.addrs.hosts
	c.addrs.hosts = hosts
	c.addrs.setHosts(hosts)
	c.paths.setLocals(now, list)
	for i := len(c.flows) - 1; i >= 0 && !c.closed(); i-- {
		s := c.flows[i]
		a := s.p.Local.Addr().Unmap()
		if containsAddr(had, a) && !containsAddr(hosts, a) {
			c.cfg.Counters.Count(mib.RmSubflow)
			c.abortFlow(now, s, ResetUnspecified, ErrAddrGone)
		}
	}
	c.replan(now)
	c.flushSignals(now)
	c.pump(now)
}

func containsAddr(l []netip.Addr, a netip.Addr) bool {
	for _, x := range l {
		if x.Unmap() == a {
			return true
		}
	}
	return false
}

// SetAnnounce takes the addresses to announce with ADD_ADDR. scoped keeps back those outside the
// scope that the connection arrived on: for addresses that the program did not list itself.
func (c *Conn) SetAnnounce(now time.Duration, list []netip.AddrPort, scoped bool) {
	if c.closed() {
		return
	}
	c.addrs.auto = c.addrs.auto[:0]
	for _, a := range list {
		if c.addrs.announceable(unmap(a), scoped) {
			c.addrs.auto = append(c.addrs.auto, a)
		}
	}
	c.addrs.announceAll(now)
	c.flushSignals(now)
}

// announceAll announces what the listener and the program want announced, and withdraws the rest.
func (a *addresses) announceAll(now time.Duration) {
	a.announce(now, append(a.auto[:len(a.auto):len(a.auto)], a.own...), false)
}

// SetListening says where this side accepts connections, so that it never dials itself.
func (c *Conn) SetListening(list []netip.AddrPort) { c.addrs.setListening(list) }

// SetTunnel says whether the default route leads into a tunnel: then other interfaces are used only
// where a rule of the policy says so.
func (c *Conn) SetTunnel(now time.Duration, on bool) { c.paths.setTunnel(now, on) }

// AddLocalAddr announces an address of ours to the peer (RFC 6897 section 5.3.3).
func (c *Conn) AddLocalAddr(now time.Duration, a netip.AddrPort) error {
	switch {
	case c.closed():
		return ErrNoSubflow
	case !a.IsValid() || a.Addr().IsUnspecified() || a.Addr().IsMulticast():
		return &ProtocolError{Section: "RFC 8684 section 3.4.1", Detail: "only a unicast address with a port can be announced, not " + a.String()}
	}
	c.addrs.own = append(c.addrs.own, a)
	c.addrs.announceAll(now)
	c.flushSignals(now)
	return nil
}

// RemoveLocalAddr withdraws an address and closes the subflows that use it, but not the last one that
// works: ErrLastSubflow says that it stays.
func (c *Conn) RemoveLocalAddr(now time.Duration, a netip.AddrPort) error {
	var last error
	found := false
	for i, x := range c.addrs.own {
		if x == a {
			c.addrs.own = append(c.addrs.own[:i], c.addrs.own[i+1:]...)
			found = true
			break
		}
	}
	if found {
		c.addrs.announceAll(now)
	}
	for i := len(c.flows) - 1; i >= 0 && !c.closed(); i-- {
		s := c.flows[i]
		if s.p.Local == a || a.Port() == 0 && s.p.Local.Addr() == a.Addr() {
			found = true
			switch err := c.CloseFlow(now, s.id); err {
			case nil:
				c.cfg.Counters.Count(mib.RmSubflow)
			case ErrLastSubflow:
				last = err
			}
		}
	}
	c.flushSignals(now)
	c.pump(now)
	if !found {
		return ErrNoSubflow
	}
	return last
}

// replan lets the path planner look again.
func (c *Conn) replan(now time.Duration) {
	if at, ok := c.paths.wake(); ok {
		c.time.arm(max(at, now))
	}
}

// JoinFailed is the answer to a JoinRequest that came to nothing. refused says that the other side
// said no (a reset, MP_TCPRST, a wrong answer): that path is not tried again without a new announcement.
func (c *Conn) JoinFailed(now time.Duration, attempt uint32, err error, refused bool) {
	c.paths.failed(now, attempt, refused)
	if refused && c.closing.waiting { // the peer has forgotten the connection: it has all it wants
		c.closing.confirmed = true
		c.checkClosed(now)
		return
	}
	c.replan(now)
}

// RequestJoin asks for a subflow on the program's behalf. Invalid addresses mean any. The returned
// attempt is the JoinRequest's, which PollJoin gives out.
func (c *Conn) RequestJoin(now time.Duration, local, remote netip.AddrPort) (attempt uint32, err error) {
	if c.closed() {
		return 0, c.closing.err
	}
	return c.paths.ask(now, local, remote)
}

// AcceptJoin looks at the peer's MP_JOIN: the first of the three messages, whose token named this
// connection. It is cheap; the HMACs come later. The responder answers it, and FlowParams is for
// AddFlow once the third message was right. Every AcceptJoin is followed by AddFlow or JoinRefused.
func (c *Conn) AcceptJoin(now time.Duration, syn options.MPJoin, local, remote netip.AddrPort, nonce uint32) (*JoinResponder, FlowParams, error) {
	j := &c.joins
	if now-j.since >= time.Second {
		j.since, j.n = now, 0
	}
	j.n++
	switch {
	case c.closed() || c.closing.parting(now) || c.fall.begun() || !c.remoteKnown || !c.established:
		return nil, FlowParams{}, &ResetError{Reason: ResetProhibited}
	case j.n > maxJoinsPerSecond || len(c.flows)+j.pending >= c.paths.limit()+maxSpareFlows || c.freeSlot() == 0:
		return nil, FlowParams{}, &ResetError{Reason: ResetProhibited, Transient: true}
	}
	id, ok := c.addrs.localID(local)
	if !ok {
		return nil, FlowParams{}, &ResetError{Reason: ResetResources, Transient: true}
	}
	j.pending++
	p := FlowParams{
		Local: local, Remote: remote, LocalID: id, RemoteID: extapi.AddrID(syn.AddrID),
		PeerBackup: syn.Backup, Accepted: true,
	}
	return NewJoinResponder(c.keys, nonce, id, false), p, nil
}

// maxSpareFlows is how many flows beyond the policy's limit the accepting side takes: the peer
// replaces stale subflows by fresh ones before the old ones are gone.
const maxSpareFlows = 4

// JoinRefused says that a join which AcceptJoin let in failed: its third message was wrong or late.
func (c *Conn) JoinRefused(now time.Duration) { c.joins.pending = max(0, c.joins.pending-1) }

// CloseFlow ends a subflow in order: what it carries moves elsewhere first. The last one that works is
// not closed before everything is delivered.
func (c *Conn) CloseFlow(now time.Duration, id PathID) error {
	s := c.flow(id)
	if s == nil || !s.open() {
		return ErrNoSubflow
	}
	if !c.otherUsable(s) && !c.closing.finished {
		return ErrLastSubflow
	}
	c.paths.closed(now, id)
	c.closeFlow(now, s)
	c.pump(now)
	return nil
}

// SetPolicy replaces the path policy. Subflows that it excludes are closed, roles change at once.
func (c *Conn) SetPolicy(now time.Duration, p extapi.PathPolicy) error {
	c.paths.setPolicy(now, p)
	c.addrs.wishes = nil
	for i := len(c.flows) - 1; i >= 0 && !c.closed(); i-- {
		s := c.flows[i]
		role, cost, ok := c.paths.role(s.id)
		if !ok || s.p.Accepted {
			continue
		}
		s.p.Cost = cost
		if role == extapi.RoleNever {
			_ = c.CloseFlow(now, s.id) // the last one stays until another takes over
			continue
		}
		s.p.Role = role
		c.setBackup(now, s, role == extapi.RoleBackup)
	}
	c.pathsChanged(now)
	c.replan(now)
	c.pump(now)
	return nil
}

// SetScheduler replaces the scheduler.
func (c *Conn) SetScheduler(now time.Duration, s scheduler.Scheduler, name string) {
	c.sched.init(s, name)
	c.pathsChanged(now)
	c.pump(now)
}
