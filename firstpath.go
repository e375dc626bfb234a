package mptcp

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/mptcp-go/mptcp/extapi"
)

// route is one way to reach the peer with the first subflow.
type route struct {
	remote netip.AddrPort
	local  netip.AddrPort   // invalid address: the routing table's choice
	leave  string           // interface to leave through; "": the routing table's choice
	path   extapi.Candidate // what the policy saw; zero when it had nothing to choose
	role   extapi.Role
}

// spec is what the Network is asked for.
func (r route) spec(kernel bool) DialSpec {
	return DialSpec{Local: r.local, Remote: r.remote, Interface: r.leave, KernelMPTCP: kernel}
}

// decides says whether the policy has a say in the first path at all.
func decides(p extapi.PathPolicy) bool {
	return len(p.Rules) > 0 || p.Decide != nil || p.Default != extapi.RoleDefault
}

// routes lists the ways to the remote addresses that the path policy allows, in the order to try
// them: for each remote address its best path first, then the second-best ones.
func (x *dial) routes(ctx context.Context, remotes []netip.AddrPort) ([]route, error) {
	if x.s.bound.IsValid() || !decides(x.s.Paths) {
		list := make([]route, len(remotes))
		for i, r := range remotes {
			list[i] = route{remote: r, local: x.boundTo(r.Addr())}
		}
		return x.allowed(list)
	}
	choices, longest := make([][]route, len(remotes)), 0
	for i, r := range remotes {
		choices[i] = x.choices(ctx, r)
		longest = max(longest, len(choices[i]))
	}
	var list []route
	for rank := range longest {
		for _, c := range choices {
			if rank < len(c) {
				list = append(list, c[rank])
			}
		}
	}
	if len(list) == 0 {
		return nil, ErrPolicy
	}
	return list, nil
}

// boundTo is the LocalAddr of a bound Dialer, or its port when only that was given.
func (x *dial) boundTo(remote netip.Addr) netip.AddrPort {
	if x.local.Addr().IsValid() && !x.local.Addr().IsUnspecified() {
		return x.local
	}
	if x.local.Port() == 0 {
		return netip.AddrPort{}
	}
	any := netip.IPv6Unspecified()
	if remote.Is4() {
		any = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(any, x.local.Port())
}

// allowed drops the routes of a bound Dialer that the policy forbids.
func (x *dial) allowed(list []route) ([]route, error) {
	if !decides(x.s.Paths) {
		return list, nil
	}
	kept := list[:0]
	for _, r := range list {
		r.path, _ = x.h.addrs.find(r.local.Addr())
		r.path.Local, r.path.Remote = r.local, r.remote
		if r.role, r.path.Cost = x.s.Paths.Evaluate(r.path); r.role != extapi.RoleNever {
			kept = append(kept, r)
		}
	}
	if len(kept) == 0 {
		return nil, ErrPolicy
	}
	return kept, nil
}

// choices lists the local interfaces through which the policy lets the dial reach one remote address,
// best role first; among equals the routing table's choice comes first.
func (x *dial) choices(ctx context.Context, remote netip.AddrPort) []route {
	usual := x.source(ctx, remote.Addr())
	list := x.candidates(remote, usual)
	var out []route
	for _, c := range list {
		c.Remote = remote
		r := route{remote: remote, local: netip.AddrPortFrom(c.Local.Addr(), 0), leave: c.Interface}
		r.role, c.Cost = x.s.Paths.Evaluate(c)
		r.path = c
		if r.role == extapi.RoleNever {
			continue
		}
		if c.Local.Addr() == usual || remote.Addr().IsLoopback() {
			r.local, r.leave = netip.AddrPort{}, ""
		}
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b route) int {
		return cmp.Or(
			cmp.Compare(rank(a.role), rank(b.role)),
			cmp.Compare(boolRank(a.path.Local.Addr() == usual), boolRank(b.path.Local.Addr() == usual)),
			cmp.Compare(a.path.Cost, b.path.Cost))
	})
	return onePerInterface(out)
}

// candidates are the local addresses that can reach remote: of its family and scope.
func (x *dial) candidates(remote netip.AddrPort, usual netip.Addr) []extapi.Candidate {
	ip := remote.Addr()
	list := x.h.addrs.lawful(x.h.addrs.current(), x.s.Paths)
	if ip.IsLoopback() || isLocal(x.h.addrs, ip) {
		list = x.h.addrs.loopback()
	}
	var out []extapi.Candidate
	for _, c := range list {
		local := c.Local.Addr()
		if local.Is4() != ip.Is4() {
			continue
		}
		if local != usual && !ip.IsLoopback() && local.IsLinkLocalUnicast() != ip.IsLinkLocalUnicast() {
			continue
		}
		if !x.h.addrs.hasRoute(c.IfIndex, ip) {
			continue
		}
		if ip.Zone() != "" && ip.Zone() != c.Interface {
			continue
		}
		out = append(out, c)
	}
	return out
}

// isLocal says whether ip is one of this machine's own: such a connection runs over loopback.
func isLocal(a *addrBook, ip netip.Addr) bool {
	_, ok := a.find(ip)
	return ok
}

// source is the local address that the routing table takes to remote; invalid when nobody can tell.
func (x *dial) source(ctx context.Context, remote netip.Addr) netip.Addr {
	n, ok := x.h.addrs.around()
	if !ok {
		return netip.Addr{}
	}
	ip, err := n.Source(ctx, remote)
	if err != nil {
		return netip.Addr{}
	}
	return ip
}

// onePerInterface keeps the best route of each interface: another source address on it is no other path.
func onePerInterface(list []route) []route {
	seen := make(map[string]bool, len(list))
	return slices.DeleteFunc(list, func(r route) bool {
		again := seen[r.path.Interface]
		seen[r.path.Interface] = true
		return again
	})
}

// rank orders roles by how gladly a first subflow takes them.
func rank(r extapi.Role) int {
	switch r {
	case extapi.RolePrefer:
		return 0
	case extapi.RoleDefault:
		return 1
	case extapi.RoleAvoid:
		return 2
	}
	return 3
}

func boolRank(first bool) int {
	if first {
		return 0
	}
	return 1
}
