package engine

import (
	"io"
	"net/netip"
	"slices"
	"time"
)

// pairState says what was learnt about a route.
type pairState uint8

const (
	pairIdle    pairState = iota
	pairFailed            // the last join got no answer: backs off
	pairLost              // it worked and was lost: probed
	pairRefused           // the peer said no: not tried again without a new announcement
	pairClosed            // ended in order: not opened again by itself
)

// pair is the memory of one route.
type pair struct {
	route     route
	state     pairState
	after     pairState     // what a lost pair returns to: one subflow may work where a second was refused
	fails     int           // joins in a row that failed, in the back-off phase
	next      time.Duration // not before
	tried     bool
	lastTry   time.Duration
	lostSince time.Duration
	probe     PathID // the subflow that was lost
	rtt       time.Duration
	gen       uint32 // of the announcement that the state was learnt under
}

// same compares routes by what tells subflows apart; the port counts always.
func (r route) same(o route) bool {
	return r.local == o.local && r.iface == o.iface && r.remote == o.remote
}

// sameInterface compares the ways out. Unnamed interfaces are told apart by their addresses.
func (r route) sameInterface(o route) bool {
	if r.iface != "" && o.iface != "" {
		return r.iface == o.iface
	}
	return r.local == o.local
}

// sameRemote compares the other ends: "A remote counts as an address and port where it was announced
// with a port".
func (r route) sameRemote(o route) bool {
	if r.port || o.port {
		return r.remote == o.remote
	}
	return r.remote.Addr() == o.remote.Addr()
}

func (p *pathPlanner) pairOf(r route) *pair {
	for i := range p.pairs {
		if p.pairs[i].route.same(r) {
			return &p.pairs[i]
		}
	}
	return nil
}

// addPair finds or makes the memory of r; nil: there is room for no more.
func (p *pathPlanner) addPair(r route) *pair {
	if q := p.pairOf(r); q != nil {
		return q
	}
	if len(p.pairs) >= maxPairs {
		return nil
	}
	p.pairs = append(p.pairs, pair{route: r, gen: p.generation(r.remote)})
	return &p.pairs[len(p.pairs)-1]
}

// renew forgets failures and refusals when the address has been announced anew: "A sender that wants to
// trigger a new incoming connection attempt on a previously advertised address/port combination can
// therefore refresh ADD_ADDR information by sending the option again" (RFC 8684 section 3.4.1).
func (q *pair) renew(gen uint32) {
	if q.gen == gen {
		return
	}
	q.gen, q.after, q.fails, q.next = gen, pairIdle, 0, 0
	if q.state != pairLost {
		q.state = pairIdle
	}
}

// found ends the search for a lost path.
func (q *pair) found() {
	if q.state == pairLost || q.state == pairFailed {
		q.state = q.after
	}
	q.after, q.probe = pairIdle, 0
}

// generation is that of the newest announcement of a.
func (p *pathPlanner) generation(a netip.AddrPort) uint32 {
	for _, k := range p.book.announced {
		if k.addr == a {
			return k.gen
		}
	}
	if a == p.book.firstRemote {
		return p.book.initialGen
	}
	return 0
}

// loseRoute starts probing the path of f, which has worked. A first probe leaves at once, unless the
// path flaps.
func (p *pathPlanner) loseRoute(f *plannedFlow) {
	q := p.addPair(f.route)
	if q == nil || q.state == pairLost {
		return
	}
	q.after, q.state, q.probe, q.rtt, q.fails = q.state, pairLost, f.id, f.rtt, 0
	q.lostSince = max(p.now, 1) // 0 means never
	q.next = p.now
	if q.tried {
		q.next = max(q.next, q.lastTry+probeInterval)
	}
}

// probes says whether joins on a lost pair are still urgent, so that an unanswered one is soon replaced.
func (p *pathPlanner) probes(q *pair) bool { return !p.patient && p.now < q.lostSince+probePeriod }

// retry plans the next join on q after one that failed now.
func (p *pathPlanner) retry(q *pair, refused bool) {
	switch {
	case q.state == pairLost && !refused && p.probes(q):
		q.next = q.lastTry + probeInterval
		return
	case q.state == pairLost:
		// A relay or a firewall on the way that restarts refuses for a while. The path has proved
		// itself before, so it is asked again, ever more rarely.
	case q.state == pairRefused || q.state == pairClosed:
		return
	case refused:
		q.state = pairRefused
		return
	default:
		q.state = pairFailed
	}
	wait := backoffLimit
	if q.fails < 6 {
		wait = min(backoffFirst<<q.fails, backoffLimit)
		q.fails++
	}
	q.next = p.now + p.jitter(wait)
}

// jitter shortens d by up to a quarter, so that the clients of a server which went away do not come
// back in step.
func (p *pathPlanner) jitter(d time.Duration) time.Duration {
	var b [1]byte
	if p.rand == nil {
		return d
	}
	if _, err := io.ReadFull(p.rand, b[:]); err != nil {
		return d
	}
	return d - d/4*time.Duration(b[0])/255
}

// patience is how long one probe may wait for its answer: beyond that the old SYN sits in back-off,
// and a fresh one finds the path sooner.
func (q *pair) patience() time.Duration {
	return min(max(probeInterval, 4*q.rtt), maxPatience)
}

// expire gives up probes without an answer.
func (p *pathPlanner) expire() {
	p.joins = slices.DeleteFunc(p.joins, func(j plannedJoin) bool {
		if j.giveUp == 0 || p.now < j.giveUp {
			return false
		}
		p.cancel(j.attempt)
		p.dirty = true
		if q := p.pairOf(j.route); q != nil {
			p.retry(q, false)
		}
		return true
	})
}

// forgetUnknown drops the memory of addresses that the peer has withdrawn.
func (p *pathPlanner) forgetUnknown() {
	p.pairs = slices.DeleteFunc(p.pairs, func(q pair) bool {
		known := slices.ContainsFunc(p.targets, func(t remoteAddr) bool { return t.addr == q.route.remote })
		return !known
	})
}
