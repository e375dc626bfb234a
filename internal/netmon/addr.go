// Package netmon knows the local addresses that subflows may use, the interfaces they belong to and
// when any of it changes.
//
// What is listed: unicast addresses of interfaces that are up and running. What is not: IPv6 addresses
// that duplicate address detection has not passed (tentative) or that are on their way out
// (deprecated); IPv6 link-local addresses, which every interface has and which reach nothing but its
// own link; IPv4 link-local addresses where the interface has another IPv4 address. Temporary
// addresses (RFC 8981) are listed and flagged: good to dial from, too short-lived to be announced.
package netmon

import (
	"cmp"
	"net"
	"net/netip"
	"slices"

	"github.com/mptcp-go/mptcp/extapi"
)

// Addr is a local address with what matters beyond extapi.Candidate.
type Addr struct {
	extapi.Candidate      // Local with port 0, Interface, IfIndex, Kind
	Temporary        bool // an RFC 8981 privacy address
	Bridge           bool // of an Ethernet bridge: containers, virtual machines
	Tunnel           bool // of a tunnel: a VPN
	DefaultRoute     bool // the interface carries a default route
	WayOut           bool // the routing table picks this interface for far destinations of the address's family
}

// Announceable reports whether a peer may be told of a: not when it is temporary, nor when it belongs
// to a bridge or tunnel that carries no default route (docker0, cni0, virbr0, a VPN). Peers elsewhere
// rarely reach such addresses, and need not know of them.
func Announceable(a Addr) bool {
	return !a.Temporary && (a.DefaultRoute || !a.Bridge && !a.Tunnel)
}

// route is one way to a set of destinations.
type route struct {
	dst     netip.Prefix
	ifIndex int
}

// table is everything that is known at one instant. It is never changed once published.
type table struct {
	addrs       []Addr
	routes      []route
	routesKnown bool
}

func (t *table) equal(u *table) bool {
	return t.routesKnown == u.routesKnown && slices.Equal(t.addrs, u.addrs) && slices.Equal(t.routes, u.routes)
}

// hasRoute reports whether a route leads through the interface to remote. It says yes where it does
// not know: opening a path then tells.
func (t *table) hasRoute(ifIndex int, remote netip.Addr) bool {
	if !t.routesKnown || ifIndex == 0 {
		return true
	}
	remote = remote.Unmap().WithZone("")
	return slices.ContainsFunc(t.routes, func(r route) bool {
		return r.ifIndex == ifIndex && r.dst.Contains(remote)
	})
}

// finish drops the addresses that this package does not list and orders the rest: by interface, IPv4
// before IPv6, and otherwise as the system has them, its primary ones first.
func (t *table) finish() {
	hasOther := func(a Addr) bool {
		return slices.ContainsFunc(t.addrs, func(b Addr) bool {
			return b.IfIndex == a.IfIndex && b.Local.Addr().Is4() && !b.Local.Addr().IsLinkLocalUnicast()
		})
	}
	kept := make([]Addr, 0, len(t.addrs))
	for _, a := range t.addrs {
		ip := a.Local.Addr()
		if ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() && (ip.Is6() || hasOther(a)) {
			continue
		}
		kept = append(kept, a)
	}
	slices.SortStableFunc(kept, func(a, b Addr) int {
		if c := cmp.Compare(a.IfIndex, b.IfIndex); c != 0 {
			return c
		}
		return cmp.Compare(a.Local.Addr().BitLen(), b.Local.Addr().BitLen())
	})
	t.addrs = kept
}

// far are addresses of each family that only a default route leads to: a.root-servers.net. Nothing is
// ever sent to them from here.
var far = []string{"198.41.0.4:53", "[2001:503:ba3e::2:30]:53"}

// markWayOut asks the routing table, with all its rules, which local address it would send from to far
// destinations: connecting a UDP socket decides that and sends nothing.
func (t *table) markWayOut() {
	for _, to := range far {
		c, err := net.Dial("udp", to)
		if err != nil {
			continue // no way out in this family
		}
		if from, ok := c.LocalAddr().(*net.UDPAddr); ok {
			t.markInterfaceOf(from.AddrPort().Addr().Unmap())
		}
		c.Close()
	}
}

func (t *table) markInterfaceOf(from netip.Addr) {
	i := slices.IndexFunc(t.addrs, func(a Addr) bool { return a.Local.Addr() == from })
	if i < 0 {
		return
	}
	for k := range t.addrs {
		if a := &t.addrs[k]; a.IfIndex == t.addrs[i].IfIndex && a.Local.Addr().Is4() == from.Is4() {
			a.WayOut, a.DefaultRoute = true, true
		}
	}
}
