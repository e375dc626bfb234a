package extapi

import (
	"fmt"
	"net/netip"
	"path"
)

// Role is what a path may be used for.
type Role uint8

const (
	RoleDefault Role = iota // use when the scheduler picks it
	RolePrefer              // pick first while it has room
	RoleAvoid               // pick only when nothing else has room
	RoleBackup              // MP_PRIO B=1: pick only when no non-backup path works
	RoleNever               // do not open
)

var roleNames = []string{"default", "prefer", "avoid", "backup", "never"}

// String returns a stable lower-case name: "backup".
func (r Role) String() string { return nameOf("Role", roleNames, r) }

// MarshalText returns the bytes of String.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText accepts the names that String returns.
func (r *Role) UnmarshalText(text []byte) (err error) {
	*r, err = parseName[Role]("Role", roleNames, text)
	return err
}

// LinkKind is the best guess of the platform at what an interface is.
type LinkKind uint8

const (
	KindAny      LinkKind = iota // in a match only
	KindUnknown                  // the platform cannot tell
	KindEthernet                 // wired, or virtual Ethernet: veth, a virtual machine's card
	KindWiFi                     // IEEE 802.11
	KindCellular                 // a mobile network
	KindTunnel                   // WireGuard, OpenVPN, IPsec, PPP and the like
	KindLoopback                 // this machine
)

var kindNames = []string{"any", "unknown", "ethernet", "wifi", "cellular", "tunnel", "loopback"}

// String returns a stable lower-case name: "wifi".
func (k LinkKind) String() string { return nameOf("LinkKind", kindNames, k) }

// MarshalText returns the bytes of String.
func (k LinkKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts the names that String returns.
func (k *LinkKind) UnmarshalText(text []byte) (err error) {
	*k, err = parseName[LinkKind]("LinkKind", kindNames, text)
	return err
}

// Candidate is a path that could be opened.
type Candidate struct {
	Local     netip.AddrPort // source; port 0: any
	Remote    netip.AddrPort // destination; invalid where only the local side is meant
	Interface string         // name of the interface to leave through
	IfIndex   int            // its index; 0: unknown
	Kind      LinkKind       // KindAny counts as KindUnknown
	Cost      int            // per byte, relative to other paths; 0 unless somebody gave it one
}

// PathMatch selects paths; zero fields match everything.
type PathMatch struct {
	Interface string       // shell pattern on the interface name, as path.Match has it: "wlan*"
	Kind      LinkKind     // KindAny matches all
	Local     netip.Prefix // source address
	Remote    netip.Prefix // destination address
	MaxCost   *int         // matches paths whose Candidate.Cost is at most this
}

// Matches reports whether every field of m that is set agrees with c. A malformed pattern, and an
// address that c does not have, match nothing. IPv4-mapped IPv6 addresses count as IPv4, and zones
// are not compared.
func (m PathMatch) Matches(c Candidate) bool {
	if m.Interface != "" {
		if ok, err := path.Match(m.Interface, c.Interface); err != nil || !ok {
			return false
		}
	}
	kind := c.Kind
	if kind == KindAny {
		kind = KindUnknown
	}
	if m.Kind != KindAny && m.Kind != kind {
		return false
	}
	if m.MaxCost != nil && c.Cost > *m.MaxCost {
		return false
	}
	return prefixMatches(m.Local, c.Local) && prefixMatches(m.Remote, c.Remote)
}

// prefixMatches is netip.Prefix.Contains without its two surprises: there, neither an address with a
// zone nor an IPv4-mapped one is ever inside of anything.
func prefixMatches(p netip.Prefix, a netip.AddrPort) bool {
	if !p.IsValid() {
		return p == netip.Prefix{}
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Contains(a.Addr().Unmap().WithZone(""))
}

// PathRule gives matching paths a role and, optionally, a cost per byte relative to others.
type PathRule struct {
	PathMatch
	Role Role
	Cost int // 0 keeps the candidate's own
}

// PathPolicy says which paths a connection may use and how. The zero value lets it use all. It is
// evaluated in order; the first matching rule wins, then Decide, then Default. When it leaves no
// path, dialing fails with mptcp.ErrPolicy.
type PathPolicy struct {
	Rules       []PathRule
	Default     Role // of paths that neither a rule nor Decide speaks about
	MaxSubflows int  // 0 means 8

	// By default each further subflow uses a local interface or a remote address that no other uses. PerPair is how many
	// there may be for one pair of addresses, told apart by ports (ECMP); 0 means 1. FullMesh takes every pair. Where
	// the carrier does not learn of losses (ModeStream without Linux' TCP_INFO) there is one subflow for each
	// interface all the same, but on loopback: several could not be kept from taking several shares.
	PerPair  int
	FullMesh bool

	AnyAnnouncedPort bool // dial announced addresses also on ports other than the connection's

	// Decide is asked about paths that no rule matches; false leaves them to Default. It runs under
	// the connection's lock: be quick, call nothing. A panic in it counts as false.
	Decide func(Candidate) (Role, bool)
}

// Evaluate returns the role of c and its cost. It changes nothing and depends on nothing but p and c.
func (p PathPolicy) Evaluate(c Candidate) (Role, int) {
	role, cost, _ := p.TryEvaluate(c)
	return role, cost
}

// TryEvaluate is Evaluate for callers who want to tell of a Decide that panicked: role and cost are
// then those of Default, and the error holds the value of the panic.
func (p PathPolicy) TryEvaluate(c Candidate) (role Role, cost int, err error) {
	for i := range p.Rules {
		r := &p.Rules[i]
		if !r.Matches(c) {
			continue
		}
		if r.Cost != 0 {
			return r.Role, r.Cost, nil
		}
		return r.Role, c.Cost, nil
	}
	role, ok, err := p.decide(c)
	if !ok {
		role = p.Default
	}
	return role, c.Cost, err
}

func (p PathPolicy) decide(c Candidate) (role Role, ok bool, err error) {
	if p.Decide == nil {
		return 0, false, nil
	}
	defer func() {
		if v := recover(); v != nil {
			role, ok, err = 0, false, fmt.Errorf("extapi: PathPolicy.Decide panicked: %v", v)
		}
	}()
	role, ok = p.Decide(c)
	return role, ok, nil
}

// Only allows the interfaces whose names match one of the shell patterns and no others: it sets
// Default to RoleNever. Only() allows none. Combine shorthands by appending Rules.
func Only(ifaces ...string) PathPolicy {
	p := byInterface(RoleDefault, ifaces)
	p.Default = RoleNever
	return p
}

// Prefer makes the scheduler pick matching interfaces first while they have room.
func Prefer(ifaces ...string) PathPolicy { return byInterface(RolePrefer, ifaces) }

// Avoid makes the scheduler pick matching interfaces only when nothing else has room.
func Avoid(ifaces ...string) PathPolicy { return byInterface(RoleAvoid, ifaces) }

// Backup keeps matching interfaces for when no other works.
func Backup(ifaces ...string) PathPolicy { return byInterface(RoleBackup, ifaces) }

func byInterface(role Role, ifaces []string) PathPolicy {
	var p PathPolicy
	for _, pattern := range ifaces {
		if pattern == "" {
			continue // an empty pattern would match every interface, which no caller means by a name
		}
		p.Rules = append(p.Rules, PathRule{PathMatch: PathMatch{Interface: pattern}, Role: role})
	}
	return p
}
