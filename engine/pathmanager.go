package engine

import (
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

const (
	defaultMaxSubflows = 8
	hardMaxSubflows    = 32 // what the engine has room for, whatever the policy says
	maxJoinsInFlight   = 2
	maxSources         = 16  // local addresses considered
	maxPairs           = 192 // remembered outcomes; sources x targets fits

	// At most so many dials per connection and minute: a server can't use its clients to reach into
	// their network. Addresses where a join was completed do not count.
	announcedDials = 4

	probeInterval = 500 * time.Millisecond // fresh joins on a path that was lost while working ...
	probePeriod   = 60 * time.Second       // ... for this long, then with back-off
	backoffFirst  = time.Second
	backoffLimit  = 60 * time.Second
	maxCancels    = 64
	maxPatience   = 5 * time.Second // for the answer to one probe
)

// pathPlanner is the path manager (RFC 6182 section 4: "Path Management: This is the function to
// detect and use multiple paths between two hosts"). It decides which subflows to open and when; it
// opens none itself. Inputs come as method calls, next and pollCancel are the outputs.
type pathPlanner struct {
	client bool
	rand   io.Reader     // jitter
	delay  time.Duration // lazy opening, see Config.JoinDelay
	bytes  int64

	book    *addrBook
	policy  extapi.PathPolicy
	tunnel  bool // the default route is a tunnel: other interfaces need a rule
	ready   bool // joins are allowed: the peer has proved that it got the keys
	stopped bool // fallen back or closing: none are
	patient bool // no data waits for a path: none is probed
	blind   bool // no loss signal: no second subflow per interface
	born    time.Duration
	moved   int64

	listed     []extapi.Candidate // the usable local addresses
	origin     extapi.Candidate   // the local side of the first subflow
	originGone bool               // it was listed once and is no longer
	flows      []plannedFlow
	joins      []plannedJoin
	asked      []JoinRequest // by the program, not yet handed out
	cancels    []uint32
	pairs      []pair
	dials      []time.Duration // the latest to unproven announced addresses, oldest first
	attempt    uint32

	now time.Duration // the newest that an input brought
	memo
}

// memo saves looking at all pairs after every segment.
type memo struct {
	dirty   bool // something changed since the last look
	version uint32
	due     time.Duration // when to look again
	hasDue  bool
	targets []remoteAddr // scratch
}

// route is a way from a local address to a remote one.
type route struct {
	local  netip.Addr
	iface  string
	remote netip.AddrPort
	port   bool // remote counts with its port
}

// plannedFlow is a subflow that exists.
type plannedFlow struct {
	id    PathID
	route route
	cand  extapi.Candidate
	stale bool
	probe PathID // the subflow whose path it serves
	rtt   time.Duration
}

// plannedJoin is a subflow asked for, whose outcome is open.
type plannedJoin struct {
	attempt uint32
	route   route
	probe   PathID
	started time.Duration
	giveUp  time.Duration // of a probe; 0: the driver's own timeout
	program bool          // the program asked for it: the outcome teaches nothing
}

func (p *pathPlanner) init(now time.Duration, cfg Config, book *addrBook) {
	*p = pathPlanner{
		client: cfg.Client, rand: cfg.Rand, delay: cfg.JoinDelay, bytes: cfg.JoinBytes,
		book: book, policy: cfg.Policy, born: now, now: now,
	}
	p.dirty = true
}

// touch takes the time of an input that may change the plan.
func (p *pathPlanner) touch(now time.Duration) {
	p.now = max(p.now, now)
	p.dirty = true
}

// joinInitial takes the peer's C flag.
func (p *pathPlanner) joinInitial(allowed bool) { p.book.setJoinInitial(allowed) }

// setPolicy replaces the policy. The caller closes the flows for which role then says RoleNever.
func (p *pathPlanner) setPolicy(now time.Duration, policy extapi.PathPolicy) {
	p.touch(now)
	p.policy = policy
	p.book.setAnyPort(policy.AnyAnnouncedPort)
	for i := range p.pairs {
		if q := &p.pairs[i]; q.state == pairClosed {
			q.state = pairIdle
		}
	}
}

// setTunnel says whether the default route is a tunnel: then other interfaces need a policy that says
// so, lest a VPN is bypassed by accident.
func (p *pathPlanner) setTunnel(now time.Duration, is bool) {
	p.touch(now)
	p.tunnel = is
}

// established says that joins are allowed from now on.
func (p *pathPlanner) established(now time.Duration) {
	p.touch(now)
	if !p.ready {
		p.ready, p.born = true, now
	}
}

// stop ends all planning.
func (p *pathPlanner) stop(now time.Duration) {
	p.touch(now)
	p.stopped = true
	for _, j := range p.joins {
		p.cancel(j.attempt)
	}
	p.joins, p.asked = nil, nil
}

// calm ends all hurry: nothing but the last DATA_ACK may wait for a path. Many connections may come to that at once, when
// their peer is slow to close. If all of them gave up unanswered joins for fresh ones they would keep it, and us, from
// ever answering.
func (p *pathPlanner) calm(now time.Duration) {
	p.touch(now)
	p.patient = true
	for i := range p.joins {
		p.joins[i].giveUp = 0
	}
}

// progress takes how many bytes the connection has moved, both ways.
func (p *pathPlanner) progress(now time.Duration, moved int64) {
	if p.moved < p.bytes && moved >= p.bytes {
		p.touch(now)
	}
	p.moved = moved
}

// setLocals takes the usable local addresses. What was learnt about one that has vanished is
// forgotten and its joins are cancelled; one that is new or back starts with a clean slate.
func (p *pathPlanner) setLocals(now time.Duration, list []extapi.Candidate) {
	p.touch(now)
	fresh := make([]extapi.Candidate, 0, min(len(list), maxSources))
	for _, c := range list {
		a := c.Local.Addr().Unmap()
		if len(fresh) == maxSources || scopeOf(a) == scopeNone || listedAt(fresh, a, c.Interface) >= 0 {
			continue
		}
		c.Local, c.Remote = netip.AddrPortFrom(a, 0), netip.AddrPort{}
		fresh = append(fresh, c)
	}
	p.joins = slices.DeleteFunc(p.joins, func(j plannedJoin) bool {
		gone := p.vanished(j.route, fresh)
		if gone {
			p.cancel(j.attempt)
		}
		return gone
	})
	p.pairs = slices.DeleteFunc(p.pairs, func(q pair) bool {
		appeared := listedAt(fresh, q.route.local, q.route.iface) >= 0 && listedAt(p.listed, q.route.local, q.route.iface) < 0
		return appeared && q.state != pairLost || p.vanished(q.route, fresh)
	})
	here := route{local: p.origin.Local.Addr(), iface: p.origin.Interface}
	p.originGone = p.vanished(here, fresh) || p.originGone && listedAt(fresh, here.local, here.iface) < 0
	p.listed = fresh
}

// cancel tells the driver that a join is not wanted any more. One that has not been handed out yet
// never will be.
func (p *pathPlanner) cancel(attempt uint32) {
	if i := slices.IndexFunc(p.asked, func(r JoinRequest) bool { return r.Attempt == attempt }); i >= 0 {
		p.asked = slices.Delete(p.asked, i, i+1)
		return
	}
	if len(p.cancels) == maxCancels {
		p.cancels = slices.Delete(p.cancels, 0, 1)
	}
	p.cancels = append(p.cancels, attempt)
}

// cancelProbes lets the probes of a subflow's path go.
func (p *pathPlanner) cancelProbes(id PathID) {
	p.joins = slices.DeleteFunc(p.joins, func(j plannedJoin) bool {
		if j.probe == id {
			p.cancel(j.attempt)
		}
		return j.probe == id
	})
}

func listedAt(list []extapi.Candidate, a netip.Addr, iface string) int {
	return slices.IndexFunc(list, func(c extapi.Candidate) bool { return c.Local.Addr() == a && c.Interface == iface })
}

// vanished tells whether the local end of r was listed and is not in fresh. A local end that never
// was (loopback, a bound address) can't vanish.
func (p *pathPlanner) vanished(r route, fresh []extapi.Candidate) bool {
	return listedAt(p.listed, r.local, r.iface) >= 0 && listedAt(fresh, r.local, r.iface) < 0
}

// first takes the connection's first subflow, whose id is 1.
func (p *pathPlanner) first(now time.Duration, f FlowParams) {
	p.opened(now, 0, 1, f)
	p.origin = p.flows[len(p.flows)-1].cand
}

// opened takes a subflow that exists now: the answer to a JoinRequest, or one that the peer joined
// (attempt 0). A probe that was given up and answers after all is as welcome, unless its path has come
// back meanwhile: then it is one too many (probeOf).
func (p *pathPlanner) opened(now time.Duration, attempt uint32, id PathID, f FlowParams) {
	p.touch(now)
	fl := plannedFlow{id: id, cand: p.candidate(f)}
	fl.route = route{local: fl.cand.Local.Addr(), iface: fl.cand.Interface, remote: unmap(f.Remote), port: p.portCounts(unmap(f.Remote))}
	p.blind = p.blind || f.Blind
	i := p.joinAt(attempt)
	asked := i >= 0 && p.joins[i].program
	if i >= 0 {
		fl.rtt = (now - p.joins[i].started) / 2 // connect and handshake are two round trips
		p.joins = slices.Delete(p.joins, i, i+1)
	}
	if attempt != 0 {
		p.book.prove(fl.route.remote)
		if q := p.pairOf(fl.route); q != nil {
			fl.probe = q.probe
			q.found()
		}
		if id := p.served(fl.route); id != 0 && !asked && (i < 0 && fl.probe == 0 || p.alone()) {
			fl.probe = id
		}
	}
	p.flows = append(p.flows, fl)
}

// candidate describes the local side of a subflow, the interface looked up where it is not known.
func (p *pathPlanner) candidate(f FlowParams) extapi.Candidate {
	a := f.Local.Addr().Unmap()
	for _, c := range p.listed {
		if c.Local.Addr() == a && (f.Interface == "" || f.Interface == c.Interface) {
			return c
		}
	}
	return extapi.Candidate{Local: netip.AddrPortFrom(a, 0), Interface: f.Interface, IfIndex: f.IfIndex, Kind: f.Kind, Cost: f.Cost}
}

func (p *pathPlanner) portCounts(a netip.AddrPort) bool {
	for _, k := range p.book.announced {
		if k.addr == a {
			return k.withPort
		}
	}
	return false
}

func (p *pathPlanner) joinAt(attempt uint32) int {
	return slices.IndexFunc(p.joins, func(j plannedJoin) bool { return j.attempt == attempt })
}

func (p *pathPlanner) flowAt(id PathID) int {
	return slices.IndexFunc(p.flows, func(f plannedFlow) bool { return f.id == id })
}

// probeOf returns the stale or lost subflow whose path the subflow id tries again; 0: none.
func (p *pathPlanner) probeOf(id PathID) PathID {
	if i := p.flowAt(id); i >= 0 {
		return p.flows[i].probe
	}
	return 0
}

// served returns the working subflow beside which there may be no further one on r; 0: there may.
func (p *pathPlanner) served(r route) PathID {
	if _, ok := p.class(p.uses(r, false)); ok {
		return 0
	}
	for i := range p.flows {
		if f := &p.flows[i]; !f.stale && (f.route.same(r) || p.alone() && f.route.sameInterface(r)) {
			return f.id
		}
	}
	return 0
}

// alone tells whether an interface may have one subflow only.
func (p *pathPlanner) alone() bool { return p.blind && !p.book.loopback }

// role evaluates the policy for a subflow that exists.
func (p *pathPlanner) role(id PathID) (role extapi.Role, cost int, ok bool) {
	i := p.flowAt(id)
	if i < 0 {
		return 0, 0, false
	}
	c := p.flows[i].cand
	c.Remote = p.flows[i].route.remote
	role, cost = p.policy.Evaluate(c)
	return role, cost, true
}

// failed takes the outcome of a join that came to nothing. refused: the other side said no, in
// contrast to a timeout or an unreachable network.
func (p *pathPlanner) failed(now time.Duration, attempt uint32, refused bool) {
	p.touch(now)
	i := p.joinAt(attempt)
	if i < 0 {
		return // given up or cancelled meanwhile
	}
	j := p.joins[i]
	p.joins = slices.Delete(p.joins, i, i+1)
	p.asked = slices.DeleteFunc(p.asked, func(r JoinRequest) bool { return r.Attempt == attempt })
	if j.program {
		return
	}
	if q := p.addPair(j.route); q != nil {
		if refused && j.probe == 0 && q.state == pairLost {
			q.after = pairRefused // asked for beside the subflow that was lost meanwhile
		}
		p.retry(q, refused)
	}
}

// stale says that a subflow makes no progress: its path is probed, beside it. rtt is its round-trip
// time, 0 if unknown.
func (p *pathPlanner) stale(now time.Duration, id PathID, rtt time.Duration) {
	i := p.flowAt(id)
	if i < 0 || p.flows[i].stale {
		return
	}
	p.touch(now)
	p.flows[i].stale = true
	p.setRTT(id, rtt)
	p.loseRoute(&p.flows[i])
}

// recovered says that a stale subflow works again by itself. A probe on its way is let go.
func (p *pathPlanner) recovered(now time.Duration, id PathID) {
	i := p.flowAt(id)
	if i < 0 || !p.flows[i].stale {
		return
	}
	p.touch(now)
	p.flows[i].stale = false
	p.cancelProbes(id)
	if q := p.pairOf(p.flows[i].route); q != nil && q.probe == id {
		q.found()
	}
}

// setRTT notes the round-trip time of a subflow: probes of its path wait for their answer for four of them.
func (p *pathPlanner) setRTT(id PathID, rtt time.Duration) {
	if i := p.flowAt(id); i >= 0 && rtt > 0 {
		p.flows[i].rtt = rtt
	}
}

// lost takes the end of a subflow that nobody wanted. worked: data could flow on it; else it counts
// as a failed join.
func (p *pathPlanner) lost(now time.Duration, id PathID, worked bool) {
	p.touch(now)
	f, ok := p.remove(id)
	if !ok || f.stale {
		return // a stale one is being probed already
	}
	if worked {
		p.loseRoute(&f)
		return
	}
	if q := p.pairOf(f.route); q != nil && id != 1 {
		if f.probe != 0 && q.lostSince != 0 {
			q.after, q.state, q.probe = q.state, pairLost, f.probe
		}
		p.retry(q, false)
	}
}

// closed takes the orderly end of a subflow: either side wanted it, so it is not opened again by
// itself until a new announcement, a returning address or a new policy.
func (p *pathPlanner) closed(now time.Duration, id PathID) { p.end(now, id, pairClosed) }

// refused takes the end of a subflow by the peer's reset with a reason that does not pass.
func (p *pathPlanner) refused(now time.Duration, id PathID) { p.end(now, id, pairRefused) }

func (p *pathPlanner) end(now time.Duration, id PathID, s pairState) {
	p.touch(now)
	f, ok := p.remove(id)
	if !ok || p.uses(f.route, false).onPair > 0 || p.alone() && p.flowAt(f.probe) >= 0 {
		return
	}
	p.cancelProbes(id)
	if q := p.addPair(f.route); q != nil {
		q.state, q.probe = s, 0
	}
}

// replaced takes the end of a stale subflow whose path another serves now.
func (p *pathPlanner) replaced(now time.Duration, id, by PathID) {
	p.touch(now)
	p.remove(id)
	if i := p.flowAt(by); i >= 0 {
		p.flows[i].probe = 0
	}
}

func (p *pathPlanner) remove(id PathID) (plannedFlow, bool) {
	i := p.flowAt(id)
	if i < 0 {
		return plannedFlow{}, false
	}
	f := p.flows[i]
	p.flows = slices.Delete(p.flows, i, i+1)
	return f, true
}
