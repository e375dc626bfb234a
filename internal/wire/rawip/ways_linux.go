package rawip

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// lookOut finds ways for super-segments, for one flow after the other: it asks the kernel several questions,
// for which nobody who sends has the time.
func (l *Link) lookOut() {
	defer l.running.Done()
	for {
		select {
		case <-l.done:
			return
		case f := <-l.look:
			g := l.generation.Load()
			f.path.Store(l.findWay(f))
			f.looked.Store(g)
			f.pending.Store(false)
		}
	}
}

// findWay is how super-segments of the flow could leave, or nil.
func (l *Link) findWay(f *flow) *way {
	local, remote := f.local.Addr(), f.remote.Addr()
	h, err := l.routes.next(local, remote, f.ifIndex)
	if err != nil || h.kind == unix.RTN_LOCAL {
		return nil // on this host segments are large without it: lo's MTU is 64 KiB
	}
	if loopbackRoutes(remote.Is6()) && l.sameWithout(f, h) {
		if lo, err := l.routes.device(0, "lo"); err == nil {
			return &way{ifIndex: lo.index, loopback: true}
		}
	}
	if l.cfg.Super == SuperLoopback || tracksConnections() {
		return nil
	}
	d, err := l.routes.device(h.oif, "")
	if err != nil || !d.ether || h.gateway.Is4() != remote.Is4() && h.gateway.IsValid() {
		return nil
	}
	mac, ok := l.routes.neighbour(h.oif, h.gateway)
	if !ok {
		return nil
	}
	return &way{ifIndex: h.oif, dst: mac, src: d.address}
}

// sameWithout reports whether the route, by which lo's packets go, leads out of the interface that the flow
// is bound to.
func (l *Link) sameWithout(f *flow, h hop) bool {
	if f.ifIndex == 0 {
		return true
	}
	free, err := l.routes.next(f.local.Addr(), f.remote.Addr(), 0)
	return err == nil && free.oif == h.oif && free.gateway == h.gateway
}

// loopbackRoutes reports whether the host routes what comes out of lo with one of its own addresses as the
// source. It takes an administrator to allow that: net.ipv4.conf.lo.accept_local=1 and
// net.ipv4.conf.lo.forwarding=1, or net.ipv6.conf.lo.force_forwarding=1 or net.ipv6.conf.all.forwarding=1.
func loopbackRoutes(v6 bool) bool {
	if v6 {
		return sysctl("net/ipv6/conf/lo/force_forwarding") || sysctl("net/ipv6/conf/all/forwarding")
	}
	return (sysctl("net/ipv4/conf/lo/accept_local") || sysctl("net/ipv4/conf/all/accept_local")) && sysctl("net/ipv4/conf/lo/forwarding")
}

// tracksConnections reports whether the host tracks connections, for a stateful firewall or for address
// translation. Both need to see every packet, and what goes straight to the device they do not see.
func tracksConnections() bool {
	b, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	return err == nil && strings.TrimSpace(string(b)) != "0"
}

func sysctl(name string) bool {
	b, err := os.ReadFile("/proc/sys/" + name)
	return err == nil && strings.TrimSpace(string(b)) != "0"
}
