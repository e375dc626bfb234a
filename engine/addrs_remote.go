package engine

import (
	"net/netip"
	"slices"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
)

// announcement says what became of an ADD_ADDR.
type announcement uint8

const (
	announceIgnored   announcement = iota // a flood, or an id that already names another address: no echo
	announceUnusable                      // echoed, but never dialled
	announceRedundant                     // echoed; this address is known under another id
	announceNew                           // echoed and remembered
	announceRefreshed                     // echoed; refused joins to this address may be tried again
)

// echoed tells whether the peer gets its answer. "A receiver receiving a fresh ADD_ADDR option
// (where E=0) will send the same option back to the sender" (RFC 8684 section 3.4.1).
func (a announcement) echoed() bool { return a != announceIgnored }

// handleAdd takes an ADD_ADDR without E whose HMAC is right. flowPort is the remote port of the
// subflow that it came on: "If no port is specified, MPTCP SHOULD attempt to connect to the
// specified address on the same port as the port that is already in use by the subflow on which the
// ADD_ADDR signal was sent" (section 3.4.1).
func (b *addrBook) handleAdd(now time.Duration, o options.AddAddr, flowPort uint16) announcement {
	if !b.admit(now) {
		return announceIgnored
	}
	port := flowPort
	if o.HasPort {
		port = o.Port
	}
	r := remoteAddr{id: extapi.AddrID(o.AddrID), addr: netip.AddrPortFrom(b.zoned(o.Addr.Unmap()), port), withPort: o.HasPort}
	if !b.usable(r.addr) {
		return announceUnusable
	}
	return b.remember(r)
}

// admit counts announcements: beyond the limit they cost nothing but this.
func (b *addrBook) admit(now time.Duration) bool {
	if now-b.addsFrom >= time.Minute {
		b.addsFrom, b.adds = now, 0
	}
	b.adds++
	return b.adds <= maxAddsPerMinute
}

// zoned gives an announced link-local address the link of the first subflow: the option can't name
// one, and no other is in reach of the connection.
func (b *addrBook) zoned(a netip.Addr) netip.Addr {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return a.WithZone(b.firstRemote.Addr().Zone())
	}
	return a
}

// usable rules which announced addresses this side would ever dial, so that a server can't use its
// clients to reach into their networks.
func (b *addrBook) usable(a netip.AddrPort) bool {
	s, first := scopeOf(a.Addr()), scopeOf(b.firstRemote.Addr())
	switch {
	case s == scopeNone || a.Port() == 0:
		return false
	case s == scopeLoopback && !b.loopback:
		return false
	case s < first:
		return false
	case a.Addr().Is6() && s == scopeLinkLocal && a.Addr().Zone() == "":
		return false
	case a.Port() != b.firstRemote.Port() && !b.anyPort:
		return false
	default:
		return !b.ourselves(a)
	}
}

// ourselves tells whether a is this host. A peer on another machine has no business with any of our
// addresses (two hosts with the same docker0 address are the common case); one on this machine may
// announce them, but not the sockets of this side.
func (b *addrBook) ourselves(a netip.AddrPort) bool {
	if a == b.firstLocal || slices.Contains(b.self, a) {
		return true
	}
	return b.isHost(a.Addr()) && !b.loopback && !b.isHost(b.firstRemote.Addr())
}

func (b *addrBook) isHost(a netip.Addr) bool {
	return a == b.firstLocal.Addr() || slices.Contains(b.hosts, a)
}

// remember stores r. "The address MUST be the same as the address previously assigned to this
// Address ID ... may have the same port number or a different port number" (section 3.4.1).
func (b *addrBook) remember(r remoteAddr) announcement {
	if r.id == 0 && r.addr.Addr() != b.firstRemote.Addr() {
		return announceIgnored
	}
	if r.addr == b.firstRemote && b.joinInitial && !b.initialGone {
		b.initialGen++
		b.version++
		return announceRefreshed
	}
	if r.addr == b.firstRemote && !b.joinInitial {
		return announceUnusable
	}
	i := slices.IndexFunc(b.announced, func(k remoteAddr) bool { return k.id == r.id })
	if i >= 0 {
		return b.refresh(&b.announced[i], r)
	}
	if slices.ContainsFunc(b.announced, func(k remoteAddr) bool { return k.addr == r.addr }) {
		return announceRedundant
	}
	if len(b.announced) >= maxAnnounced {
		return announceIgnored
	}
	b.version++
	b.announced = append(b.announced, r)
	return announceNew
}

func (b *addrBook) refresh(k *remoteAddr, r remoteAddr) announcement {
	if k.addr.Addr() != r.addr.Addr() {
		return announceIgnored
	}
	b.version++
	if k.addr.Port() != r.addr.Port() {
		k.proven = false
	}
	k.addr, k.withPort = r.addr, r.withPort
	k.gen++
	return announceRefreshed
}

// handleRemove takes one id of a REMOVE_ADDR: the address is not dialled again, whatever becomes of
// the subflows that use it. False: the id is unknown, "the receiver will silently ignore the
// request" (section 3.4.2).
func (b *addrBook) handleRemove(id extapi.AddrID) bool {
	known := false
	if id == 0 && !b.initialGone {
		b.initialGone, known = true, true
	}
	forget := func(k remoteAddr) bool { return k.id == id }
	n := len(b.announced) + len(b.observed)
	b.announced = slices.DeleteFunc(b.announced, forget)
	b.observed = slices.DeleteFunc(b.observed, forget)
	known = known || len(b.announced)+len(b.observed) != n
	if known {
		b.version++
	}
	return known
}

// observe stores the id that the peer's MP_JOIN gave to the address it came from.
func (b *addrBook) observe(id extapi.AddrID, addr netip.AddrPort) {
	b.observed = slices.DeleteFunc(b.observed, func(k remoteAddr) bool { return k.id == id })
	if len(b.observed) >= maxObserved {
		b.observed = slices.Delete(b.observed, 0, 1)
	}
	b.observed = append(b.observed, remoteAddr{id: id, addr: unmap(addr)})
}

// remote finds the address behind one of the peer's ids.
func (b *addrBook) remote(id extapi.AddrID) (netip.AddrPort, bool) {
	for _, list := range [][]remoteAddr{b.announced, b.observed} {
		for _, k := range list {
			if k.id == id {
				return k.addr, true
			}
		}
	}
	return b.firstRemote, id == 0 && !b.initialGone
}

// prove notes that a join to addr was completed: what answers there holds the connection's keys.
func (b *addrBook) prove(addr netip.AddrPort) {
	for i := range b.announced {
		if b.announced[i].addr == addr {
			b.announced[i].proven = true
		}
	}
}

// targets appends the addresses that a join may aim at: the initial one, then the announced ones in
// the order of their arrival.
func (b *addrBook) targets(dst []remoteAddr) []remoteAddr {
	if b.joinInitial && !b.initialGone {
		dst = append(dst, remoteAddr{addr: b.firstRemote, proven: true, gen: b.initialGen})
	}
	return append(dst, b.announced...)
}
