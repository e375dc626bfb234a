package engine

import "net/netip"

// scope says how far an address reaches. The order matters: a narrower scope is a smaller value.
type scope uint8

const (
	scopeNone      scope = iota // not a unicast address that a subflow could use
	scopeLoopback               // 127.0.0.0/8, ::1
	scopeLinkLocal              // 169.254.0.0/16, fe80::/10
	scopePrivate                // RFC 1918, RFC 6598, RFC 4193 (ULA)
	scopeGlobal
)

func (s scope) String() string {
	return [...]string{"none", "loopback", "link-local", "private", "global"}[s]
}

var (
	thisNetwork  = netip.MustParsePrefix("0.0.0.0/8")      // RFC 1122 section 3.2.1.3: source only
	reservedV4   = netip.MustParsePrefix("240.0.0.0/4")    // RFC 1112 section 4, broadcast included
	sharedV4     = netip.MustParsePrefix("100.64.0.0/10")  // RFC 6598: carrier-grade NAT
	compatibleV6 = netip.MustParsePrefix("::/96")          // RFC 4291 section 2.5.5.1: deprecated
	siteLocalV6  = netip.MustParsePrefix("fec0::/10")      // RFC 3879: deprecated, still private
	nat64        = netip.MustParsePrefix("64:ff9b::/96")   // RFC 6052: the last 32 bits are IPv4
	nat64Local   = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215: a site's own translators
	sixToFour    = netip.MustParsePrefix("2002::/16")      // RFC 3056: bits 16 to 47 are IPv4
)

// scopeOf classifies a. An IPv6 address that a translator turns into an IPv4 address has the scope
// of the latter: or else it would be a way around every rule that looks at scopes.
func scopeOf(a netip.Addr) scope {
	a = a.Unmap()
	switch {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast():
		return scopeNone
	case a.IsLoopback():
		return scopeLoopback
	case a.IsLinkLocalUnicast():
		return scopeLinkLocal
	case a.IsPrivate():
		return scopePrivate
	case a.Is4():
		return scopeOf4(a)
	default:
		return scopeOf6(a.WithZone(""))
	}
}

func scopeOf4(a netip.Addr) scope {
	switch {
	case thisNetwork.Contains(a) || reservedV4.Contains(a):
		return scopeNone
	case sharedV4.Contains(a):
		return scopePrivate
	default:
		return scopeGlobal
	}
}

func scopeOf6(a netip.Addr) scope {
	b := a.As16()
	switch {
	case compatibleV6.Contains(a):
		return scopeNone
	case siteLocalV6.Contains(a) || nat64Local.Contains(a):
		return scopePrivate
	case nat64.Contains(a):
		return scopeOf(netip.AddrFrom4([4]byte(b[12:16])))
	case sixToFour.Contains(a):
		return scopeOf(netip.AddrFrom4([4]byte(b[2:6])))
	default:
		return scopeGlobal
	}
}

// canReach tells whether a packet from local can plausibly arrive at remote: same family, loopback
// only with loopback, link-local only with link-local on the same link. Between private and global
// addresses both ways are plausible: a NAT in front of the private one, or one site that uses both.
// iface is the interface of the local address.
func canReach(local netip.Addr, iface string, remote netip.Addr) bool {
	local, remote = local.Unmap(), remote.Unmap()
	if local.Is4() != remote.Is4() {
		return false
	}
	l, r := scopeOf(local), scopeOf(remote)
	switch {
	case l == scopeNone || r == scopeNone:
		return false
	case l == scopeLoopback || r == scopeLoopback:
		return l == r
	case l == scopeLinkLocal || r == scopeLinkLocal:
		return l == r && sameZone(local, iface, remote)
	default:
		return true
	}
}

// sameZone compares the links of two link-local addresses. A remote IPv6 link-local address means
// nothing without its zone; IPv4 has none to compare.
func sameZone(local netip.Addr, iface string, remote netip.Addr) bool {
	if remote.Is4() {
		return true
	}
	zone := remote.Zone()
	return zone != "" && (zone == local.Zone() || zone == iface)
}

// arrivalScope is the scope that a connection lives in: the wider of its two ends, so that a
// listener behind a NAT that a global client reached counts as global.
func arrivalScope(local, remote netip.Addr) scope {
	return max(scopeOf(local), scopeOf(remote))
}
