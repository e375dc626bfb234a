package engine

import (
	"net/netip"
	"slices"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
)

const (
	maxAnnounced     = 8  // remembered announcements of the peer; RFC 8684 section 3.4.1 lets a host discard more
	maxObserved      = 16 // remembered ids that the peer used in MP_JOIN
	maxAddsPerMinute = 64 // announcements looked at: a flood costs no more than the counter
	maxLocalIDs      = 64 // local addresses with an id at any time

	announceSends   = 3 // RFC 8684 section 3.4.1: "the lack of this type of echo can indicate ... that the ADD_ADDR needs to be retransmitted"
	announceMinWait = 500 * time.Millisecond
	announceMaxWait = 10 * time.Second
)

// localAddr is an address of ours that has an id.
type localAddr struct {
	id   extapi.AddrID
	addr netip.Addr // invalid: whatever the routing table chooses
	port uint16     // announced with this port; 0: any port of the address

	told      bool // the peer has seen this id: it must be removed before it names another address
	announced bool // ADD_ADDR is wanted
	echoed    bool
	sends     int
	next      time.Duration // of the next ADD_ADDR
	leaving   bool          // REMOVE_ADDR is due
}

// remoteAddr is an address of the peer.
type remoteAddr struct {
	id       extapi.AddrID
	addr     netip.AddrPort
	withPort bool   // counts as an address and port, not as an address
	proven   bool   // a join there was completed: the peer's keys live behind it
	gen      uint32 // grows with every announcement of this address
}

// addrBook holds the address identifiers of one connection, both sides' (RFC 8684 section 3.4).
// "A host MUST store the mappings between Address IDs and addresses both for itself and the remote
// host" (section 3.2).
type addrBook struct {
	firstLocal, firstRemote netip.AddrPort // of the first subflow: both have id 0
	loopback                bool           // the first subflow is on loopback
	anyPort                 bool           // PathPolicy.AnyAnnouncedPort

	joinInitial bool   // the peer takes joins to its initial address and port (C flag clear)
	initialGone bool   // the peer removed id 0
	initialGen  uint32 // grows when the initial address may be tried anew
	version     uint32 // grows with every change of the targets

	hosts  []netip.Addr     // our own usable addresses
	self   []netip.AddrPort // what we listen on
	local  []localAddr      // in the order of their ids' allocation
	lastID extapi.AddrID

	announced []remoteAddr // by ADD_ADDR
	observed  []remoteAddr // by MP_JOIN

	addsFrom time.Duration // start of the minute that adds counts in
	adds     int
}

// init prepares an empty book.
func (b *addrBook) init(cfg Config) {
	b.loopback, b.anyPort = cfg.Loopback, cfg.Policy.AnyAnnouncedPort
	b.joinInitial = true
}

// first takes the addresses of the connection's first subflow.
func (b *addrBook) first(local, remote netip.AddrPort) {
	b.firstLocal, b.firstRemote = unmap(local), unmap(remote)
	b.local = append(b.local, localAddr{addr: b.firstLocal.Addr(), told: true})
	b.version++
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// setJoinInitial takes the peer's C flag of MP_CAPABLE: "the sender of this option will not accept
// additional MPTCP subflows to the source address and port" (RFC 8684 section 3.1).
func (b *addrBook) setJoinInitial(allowed bool) {
	if b.joinInitial != allowed {
		b.joinInitial = allowed
		b.version++
	}
}

// setAnyPort takes PathPolicy.AnyAnnouncedPort. It rules the announcements that come after it.
func (b *addrBook) setAnyPort(allowed bool) { b.anyPort = allowed }

// setListening says where this side accepts connections: never a target of its own joins.
func (b *addrBook) setListening(self []netip.AddrPort) {
	b.self = b.self[:0]
	for _, a := range self {
		b.self = append(b.self, unmap(a))
	}
}

// setHosts takes the usable local addresses. One that was among them and is no longer is withdrawn
// with REMOVE_ADDR, if the peer knows an id of it; one that returns before that keeps its id.
func (b *addrBook) setHosts(hosts []netip.Addr) {
	fresh := make([]netip.Addr, 0, len(hosts))
	for _, a := range hosts {
		fresh = append(fresh, a.Unmap())
	}
	for i := range b.local {
		l := &b.local[i]
		switch {
		case slices.Contains(fresh, l.addr):
			if l.port == 0 {
				l.leaving = false
			}
		case slices.Contains(b.hosts, l.addr):
			l.leave()
		}
	}
	b.hosts = fresh
	b.dropUntold()
}

// leave withdraws l.
func (l *localAddr) leave() {
	l.leaving, l.announced = true, false
}

// dropUntold forgets withdrawn addresses that the peer never heard of. Id 0 stays reserved.
func (b *addrBook) dropUntold() {
	b.local = slices.DeleteFunc(b.local, func(l localAddr) bool { return l.leaving && !l.told && l.id != 0 })
	for i := range b.local {
		if l := &b.local[i]; l.id == 0 && !l.told {
			l.leaving = false
		}
	}
}

// localID returns the id to name the local address a in an MP_JOIN, a new one if it has none; false
// when all ids are taken.
func (b *addrBook) localID(a netip.AddrPort) (extapi.AddrID, bool) {
	a = unmap(a)
	for _, exact := range []bool{true, false} {
		for i := range b.local {
			l := &b.local[i]
			if l.addr != a.Addr() || (exact && (l.port == 0 || l.port != a.Port())) || (!exact && l.port != 0) {
				continue
			}
			l.told, l.leaving = true, false
			return l.id, true
		}
	}
	l := b.allot(a.Addr(), 0)
	if l == nil {
		return 0, false
	}
	l.told = true
	return l.id, true
}

// allot gives the address the next free id. Ids go round, so that one that was removed rests as long
// as possible: a late MP_JOIN with the old meaning can't be taken for the new one.
func (b *addrBook) allot(a netip.Addr, port uint16) *localAddr {
	if len(b.local) >= maxLocalIDs {
		return nil
	}
	for {
		b.lastID++
		if b.lastID != 0 && !b.hasID(b.lastID) {
			break
		}
	}
	b.local = append(b.local, localAddr{id: b.lastID, addr: a, port: port})
	return &b.local[len(b.local)-1]
}

func (b *addrBook) hasID(id extapi.AddrID) bool {
	return slices.ContainsFunc(b.local, func(l localAddr) bool { return l.id == id })
}

// announce takes the addresses that a listener wants announced, prefiltered by the caller. When
// scoped, only those in the scope that the connection arrived on remain; the caller clears it for
// addresses that the program listed itself. Addresses announced before and absent now are withdrawn.
func (b *addrBook) announce(now time.Duration, list []netip.AddrPort, scoped bool) {
	wanted := make([]netip.AddrPort, 0, len(list))
	for _, a := range list {
		if a = unmap(a); b.announceable(a, scoped) && !slices.Contains(wanted, a) {
			wanted = append(wanted, a)
		}
	}
	for i := range b.local {
		l := &b.local[i]
		if l.announced && !slices.Contains(wanted, netip.AddrPortFrom(l.addr, l.port)) {
			l.leave()
		}
	}
	for _, a := range wanted {
		b.announceOne(now, a)
	}
	b.dropUntold()
}

func (b *addrBook) announceOne(now time.Duration, a netip.AddrPort) {
	i := slices.IndexFunc(b.local, func(l localAddr) bool { return l.addr == a.Addr() && l.port == a.Port() })
	if i >= 0 {
		if l := &b.local[i]; !l.announced {
			*l = localAddr{id: l.id, addr: l.addr, port: l.port, told: l.told, announced: true, next: now}
		}
		return
	}
	if l := b.allot(a.Addr(), a.Port()); l != nil {
		l.announced, l.next = true, now
	}
}

// announceable rules what leaves this host: addresses only in the scope that the connection
// arrived on.
func (b *addrBook) announceable(a netip.AddrPort, scoped bool) bool {
	s := scopeOf(a.Addr())
	if s == scopeNone || a.Port() == 0 || a == b.firstLocal {
		return false
	}
	if s == scopeLoopback && !b.loopback {
		return false
	}
	return !scoped || s == arrivalScope(b.firstLocal.Addr(), b.firstRemote.Addr())
}

// pollAnnounce returns the next ADD_ADDR to send on a subflow from port, its HMAC left to the caller. rtt is the
// connection's round-trip time, 0 if unknown: an echo is missed after three of them, then six.
func (b *addrBook) pollAnnounce(now, rtt time.Duration, port uint16) (options.AddAddr, bool) {
	for i := range b.local {
		l := &b.local[i]
		if !l.pending() || l.sends >= announceSends || now < l.next {
			continue
		}
		wait := min(max(3*rtt, announceMinWait), announceMaxWait)
		l.next = now + wait<<l.sends
		l.sends++
		l.told = true
		o := options.AddAddr{AddrID: uint8(l.id), Addr: l.addr.WithZone("")}
		// Without a port "MPTCP SHOULD attempt to connect to the specified address on the same port as the port that is already
		// in use by the subflow on which the ADD_ADDR signal was sent" (section 3.4.1), which also holds behind a NAT that maps
		// ports. Linux takes the first subflow's.
		if l.port != port || l.port != b.firstLocal.Port() {
			o.HasPort, o.Port = true, l.port
		}
		return o, true
	}
	return options.AddAddr{}, false
}

// pending tells whether l still waits for its echo.
func (l *localAddr) pending() bool { return l.announced && !l.echoed }

// wake returns when pollAnnounce has something to say again.
func (b *addrBook) wake() (at time.Duration, ok bool) {
	for i := range b.local {
		l := &b.local[i]
		if l.pending() && l.sends < announceSends && (!ok || l.next < at) {
			at, ok = l.next, true
		}
	}
	return at, ok
}

// handleEcho takes an ADD_ADDR with the E flag: the peer has our announcement.
func (b *addrBook) handleEcho(o options.AddAddr) {
	for i := range b.local {
		l := &b.local[i]
		if l.announced && l.id == extapi.AddrID(o.AddrID) && l.addr.WithZone("") == o.Addr.Unmap() {
			l.echoed = true
		}
	}
}

// pollRemove returns the REMOVE_ADDR to send, if any. From here on its ids are free for other
// addresses.
func (b *addrBook) pollRemove() (options.RemoveAddr, bool) {
	var o options.RemoveAddr
	b.local = slices.DeleteFunc(b.local, func(l localAddr) bool {
		if !l.leaving || int(o.N) == len(o.IDs) {
			return false
		}
		o.IDs[o.N] = uint8(l.id)
		o.N++
		return true
	})
	// The address of the first subflow keeps id 0 for its life: "The Address IDs of the subflow
	// used in the initial SYN exchange ... are implicit and have the value zero" (section 3.2).
	for _, id := range o.IDs[:o.N] {
		if id == 0 {
			b.local = slices.Insert(b.local, 0, localAddr{addr: b.firstLocal.Addr()})
		}
	}
	return o, o.N > 0
}
