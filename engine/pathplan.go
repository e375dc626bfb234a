package engine

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

var (
	errJoinExcluded = errors.New("mptcp: the path policy excludes this path")
	errJoinLimit    = errors.New("mptcp: the connection has as many subflows as it may")
	errJoinStopped  = errors.New("mptcp: the connection opens no subflows: not established, fallen back or closing")
	errJoinNowhere  = errors.New("mptcp: no local and remote address in reach of each other")
)

// choice is a join that could be made.
type choice struct {
	route route
	cand  extapi.Candidate // with Remote
	to    remoteAddr
	role  extapi.Role
	probe bool
	rank  [4]int // smaller is better, from left to right
	when  time.Duration
}

// use counts who uses the parts of a route.
type use struct {
	onPair, interfaces, remotes int
}

// uses counts the working subflows, and with joins those being opened, that share something with r.
// A stale subflow uses nothing: what it had is looked for elsewhere.
func (p *pathPlanner) uses(r route, joins bool) use {
	var u use
	for i := range p.flows {
		if !p.flows[i].stale {
			u.add(r, p.flows[i].route)
		}
	}
	if joins {
		for i := range p.joins {
			u.add(r, p.joins[i].route)
		}
	}
	return u
}

func (u *use) add(r, o route) {
	if r.same(o) {
		u.onPair++
	}
	if r.sameInterface(o) {
		u.interfaces++
	}
	if r.sameRemote(o) {
		u.remotes++
	}
}

// class rules whether one more subflow on a route is wanted, and how much: 0 is the most. Where no
// carrier sees losses, nobody could couple two subflows that share an interface, and with it perhaps a
// bottleneck: whatever the policy says there is one for each.
func (p *pathPlanner) class(u use) (class int, ok bool) {
	switch {
	case p.alone() && u.interfaces > 0:
		return 0, false
	case u.onPair > 0:
		return 2, u.onPair < max(1, p.policy.PerPair)
	case u.interfaces == 0 && u.remotes == 0:
		return 0, true
	case u.interfaces == 0 || u.remotes == 0 || p.policy.FullMesh:
		return 1, true
	default:
		return 0, false
	}
}

// limit is MaxSubflows, resolved.
func (p *pathPlanner) limit() int {
	if p.policy.MaxSubflows <= 0 {
		return defaultMaxSubflows
	}
	return min(p.policy.MaxSubflows, hardMaxSubflows)
}

func (p *pathPlanner) working() int {
	n := 0
	for i := range p.flows {
		if !p.flows[i].stale {
			n++
		}
	}
	return n
}

// full tells whether no further join may be made now. Stale subflows do not keep their replacement
// out, but their number is bounded too.
func (p *pathPlanner) full() bool {
	return p.working()+len(p.joins) >= p.limit() || len(p.flows)+len(p.joins) >= 2*p.limit()
}

// next returns the join to make now, if any.
func (p *pathPlanner) next(now time.Duration) (JoinRequest, bool) {
	p.now = max(p.now, now)
	if p.stopped || !p.ready {
		return JoinRequest{}, false
	}
	if len(p.asked) > 0 {
		r := p.asked[0]
		p.asked = slices.Delete(p.asked, 0, 1)
		return r, true
	}
	if !p.client || (!p.dirty && p.version == p.book.version && (!p.hasDue || p.now < p.due)) {
		return JoinRequest{}, false
	}
	p.expire()
	c, ok := p.look()
	if !ok {
		return JoinRequest{}, false
	}
	return p.start(c)
}

// tick says what time it is; next is to be drained afterwards.
func (p *pathPlanner) tick(now time.Duration) { p.now = max(p.now, now) }

// poll is next at the time of the latest input.
func (p *pathPlanner) poll() (JoinRequest, bool) { return p.next(p.now) }

// undrained is how soon the owner is reminded to drain next when it has not after an input.
const undrained = 10 * time.Millisecond

// wake returns when next may have something without a further input. It is exact once next has been
// drained; before that it is a little after now, and never now, so that an owner who has reasons not
// to drain does not spin.
func (p *pathPlanner) wake() (time.Duration, bool) {
	switch {
	case p.stopped || !p.ready || !p.client:
		return 0, false
	case p.dirty || p.version != p.book.version || p.hasDue && p.due <= p.now:
		return p.now + undrained, true
	default:
		return p.due, p.hasDue
	}
}

// pollCancel returns the attempt of a join that is no longer wanted: the driver may drop it. Its
// outcome is ignored, but a subflow that comes of it is still taken.
func (p *pathPlanner) pollCancel() (attempt uint32, ok bool) {
	if len(p.cancels) == 0 {
		return 0, false
	}
	attempt = p.cancels[0]
	p.cancels = slices.Delete(p.cancels, 0, 1)
	return attempt, true
}

// look goes through all pairs of a local and a remote address, returns the best that may be joined
// now, and notes when the next becomes due.
func (p *pathPlanner) look() (best choice, ok bool) {
	p.targets = p.book.targets(p.targets[:0])
	if p.version != p.book.version {
		p.forgetUnknown()
	}
	p.dirty, p.version, p.hasDue = false, p.book.version, false
	for i := range p.joins {
		if g := p.joins[i].giveUp; g != 0 {
			p.wakeAt(g)
		}
	}
	if len(p.joins) >= maxJoinsInFlight || p.full() {
		return choice{}, false
	}
	for _, local := range p.sources() {
		for _, to := range p.targets {
			c, fits := p.consider(local, to)
			switch {
			case !fits:
			case c.when > p.now:
				p.wakeAt(c.when)
			case !ok || slices.Compare(c.rank[:], best.rank[:]) < 0:
				best, ok = c, true
			}
		}
	}
	return best, ok
}

func (p *pathPlanner) wakeAt(t time.Duration) {
	if !p.hasDue || t < p.due {
		p.due, p.hasDue = t, true
	}
}

// sources are the local ends to leave from. A connection whose first subflow is on loopback uses
// loopback as its interface, which is not among the usable addresses as a rule. Probes also leave
// from where the lost subflow did.
func (p *pathPlanner) sources() []extapi.Candidate {
	list := p.listed
	if p.book.loopback {
		return p.loopbackSources()
	}
	if a := p.origin.Local.Addr(); a.IsValid() && !p.originGone && listedAt(list, a, p.origin.Interface) < 0 && p.originLost() {
		list = append(slices.Clip(list), p.origin)
	}
	return list
}

// loopbackSources are the loopback addresses that are listed, that of the first subflow, and one of
// each family, since 127.0.0.1 may well reach an announced ::1.
func (p *pathPlanner) loopbackSources() []extapi.Candidate {
	list := slices.DeleteFunc(slices.Clone(p.listed), func(c extapi.Candidate) bool {
		return scopeOf(c.Local.Addr()) != scopeLoopback
	})
	add := func(a netip.Addr, known func(extapi.Candidate) bool) {
		if !a.IsValid() || slices.ContainsFunc(list, known) {
			return
		}
		c := p.origin
		c.Local, c.Kind = netip.AddrPortFrom(a, 0), extapi.KindLoopback
		list = append(list, c)
	}
	origin := p.origin.Local.Addr()
	add(origin, func(c extapi.Candidate) bool { return c.Local.Addr() == origin })
	add(netip.AddrFrom4([4]byte{127, 0, 0, 1}), func(c extapi.Candidate) bool { return c.Local.Addr().Is4() })
	add(netip.IPv6Loopback(), func(c extapi.Candidate) bool { return c.Local.Addr().Is6() })
	return list
}

// originLost tells whether the path of the first subflow is being probed.
func (p *pathPlanner) originLost() bool {
	q := p.pairOf(route{local: p.origin.Local.Addr(), iface: p.origin.Interface, remote: p.book.firstRemote})
	return q != nil && q.state == pairLost
}

// consider judges one pair; false: it may not be joined, now or later, unless something changes.
func (p *pathPlanner) consider(local extapi.Candidate, to remoteAddr) (choice, bool) {
	c := choice{cand: local, to: to}
	c.cand.Remote = to.addr
	c.route = route{local: local.Local.Addr(), iface: local.Interface, remote: to.addr, port: to.withPort}
	if !canReach(c.route.local, c.route.iface, to.addr.Addr()) || p.joining(c.route) {
		return c, false
	}
	if c.role, c.cand.Cost = p.policy.Evaluate(c.cand); c.role == extapi.RoleNever || p.bypasses(c.cand) {
		return c, false
	}
	q := p.pairOf(c.route)
	if q != nil {
		q.renew(to.gen)
		if q.state == pairRefused || q.state == pairClosed {
			return c, false
		}
		c.probe, c.when = q.state == pairLost, q.next
	}
	// A speculative join elsewhere must not keep a path from being found again.
	class, ok := p.class(p.uses(c.route, !c.probe))
	if !ok || (!c.probe && !p.atHome(local)) {
		return c, false
	}
	c.rank = [4]int{boolInt(c.probe), roleRank(c.role), class, boolInt(scopeOf(c.route.local) != scopeOf(to.addr.Addr()))}
	c.when = max(c.when, p.lazyUntil(), p.dialFrom(to))
	return c, true
}

// atHome tells whether new paths may leave from c: from every address that is listed, and on
// loopback from all.
func (p *pathPlanner) atHome(c extapi.Candidate) bool {
	return p.book.loopback || listedAt(p.listed, c.Local.Addr(), c.Interface) >= 0
}

// joining tells whether a join on r is on its way: one at a time.
func (p *pathPlanner) joining(r route) bool {
	return slices.ContainsFunc(p.joins, func(j plannedJoin) bool { return j.route.same(r) })
}

// bypasses tells whether c would lead around the tunnel that the default route goes into, without a
// rule that says so. The interface that the first subflow uses is the program's own choice.
func (p *pathPlanner) bypasses(c extapi.Candidate) bool {
	if !p.tunnel || c.Kind == extapi.KindTunnel || c.Kind == extapi.KindLoopback {
		return false
	}
	here := route{local: c.Local.Addr(), iface: c.Interface}
	if here.sameInterface(route{local: p.origin.Local.Addr(), iface: p.origin.Interface}) {
		return false
	}
	const nobody = extapi.Role(255)
	policy := p.policy
	policy.Default = nobody
	role, _ := policy.Evaluate(c)
	return role == nobody
}

// roleRank orders paths for the case that MaxSubflows is too small for all.
func roleRank(r extapi.Role) int {
	switch r {
	case extapi.RolePrefer:
		return 0
	case extapi.RoleAvoid:
		return 2
	case extapi.RoleBackup:
		return 3
	default:
		return 1
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// lazyUntil is when the second subflow may be opened, so that short exchanges cost nothing. A
// connection that has no working subflow does not wait.
func (p *pathPlanner) lazyUntil() time.Duration {
	if p.moved >= p.bytes || p.working() == 0 {
		return 0
	}
	return p.born + p.delay
}

// dialFrom is when an announced address may be dialled under the limit per minute.
func (p *pathPlanner) dialFrom(to remoteAddr) time.Duration {
	if to.proven || len(p.dials) < announcedDials {
		return 0
	}
	return p.dials[0] + time.Minute
}

// start turns a choice into a request.
func (p *pathPlanner) start(c choice) (JoinRequest, bool) {
	p.dirty = true
	q := p.addPair(c.route)
	if q == nil {
		p.dirty = false
		return JoinRequest{}, false
	}
	q.tried, q.lastTry = true, p.now
	local, ok := p.book.localID(c.cand.Local)
	if !ok {
		p.retry(q, false)
		return JoinRequest{}, false
	}
	if !c.to.proven {
		if len(p.dials) == announcedDials {
			p.dials = slices.Delete(p.dials, 0, 1)
		}
		p.dials = append(p.dials, p.now)
	}
	r := p.request(c, local)
	j := plannedJoin{attempt: r.Attempt, route: c.route, started: p.now}
	if c.probe {
		r.Probe, j.probe = q.probe, q.probe
		if p.probes(q) {
			j.giveUp = p.now + q.patience()
		}
	}
	p.joins = append(p.joins, j)
	return r, true
}

func (p *pathPlanner) request(c choice, local extapi.AddrID) JoinRequest {
	p.attempt++
	return JoinRequest{
		Attempt: p.attempt, Path: c.cand, LocalID: local, RemoteID: c.to.id,
		Backup: c.role == extapi.RoleBackup, Role: c.role,
	}
}

// ask is the program's OpenSubflow: it overrides the rules on which paths are worth a subflow, the
// lazy start and what was learnt about the pair, but neither the policy nor the limits. An invalid
// or unspecified address, and a zero port of remote, mean any.
func (p *pathPlanner) ask(now time.Duration, local, remote netip.AddrPort) (attempt uint32, err error) {
	p.touch(now)
	switch {
	case p.stopped || !p.ready:
		return 0, errJoinStopped
	case p.full() || len(p.asked) >= hardMaxSubflows:
		return 0, errJoinLimit
	}
	c, err := p.pick(unmap(local), unmap(remote))
	if err != nil {
		return 0, err
	}
	id, ok := p.book.localID(c.cand.Local)
	if !ok {
		return 0, errJoinLimit
	}
	r := p.request(c, id)
	p.asked = append(p.asked, r)
	p.joins = append(p.joins, plannedJoin{attempt: r.Attempt, route: c.route, started: p.now, program: true})
	return r.Attempt, nil
}

// pick finds the pair for ask that shares least with what is in use.
func (p *pathPlanner) pick(local, remote netip.AddrPort) (best choice, err error) {
	err = errJoinNowhere
	found := false
	for _, from := range p.askedSources(local) {
		for _, to := range p.askedTargets(remote) {
			c := choice{cand: from, to: to}
			c.cand.Remote = to.addr
			c.route = route{local: from.Local.Addr(), iface: from.Interface, remote: to.addr, port: to.withPort}
			if !canReach(c.route.local, c.route.iface, to.addr.Addr()) {
				continue
			}
			if c.role, c.cand.Cost = p.policy.Evaluate(c.cand); c.role == extapi.RoleNever {
				err = errJoinExcluded
				continue
			}
			u := p.uses(c.route, true)
			c.rank = [4]int{u.onPair, roleRank(c.role), u.interfaces + u.remotes}
			if !found || slices.Compare(c.rank[:], best.rank[:]) < 0 {
				best, found = c, true
			}
		}
	}
	if found {
		return best, nil
	}
	return best, err
}

// askedSources are the local ends that fit local. One that is not listed is taken at its word: the
// system's connect decides.
func (p *pathPlanner) askedSources(local netip.AddrPort) []extapi.Candidate {
	if !local.Addr().IsValid() || local.Addr().IsUnspecified() {
		return append(p.sources()[:len(p.sources()):len(p.sources())], p.origin)
	}
	for _, c := range append(slices.Clone(p.sources()), p.origin) {
		if c.Local.Addr() == local.Addr() {
			c.Local = local
			return []extapi.Candidate{c}
		}
	}
	return []extapi.Candidate{{Local: local}}
}

// askedTargets are the remote ends that fit remote. The program may name any.
func (p *pathPlanner) askedTargets(remote netip.AddrPort) []remoteAddr {
	p.targets = p.book.targets(p.targets[:0])
	if !remote.Addr().IsValid() || remote.Addr().IsUnspecified() {
		return p.targets
	}
	if remote.Port() == 0 {
		remote = netip.AddrPortFrom(remote.Addr(), p.book.firstRemote.Port())
	}
	for _, t := range p.targets {
		if t.addr == remote {
			return []remoteAddr{t}
		}
	}
	return []remoteAddr{{addr: remote, withPort: true}}
}
