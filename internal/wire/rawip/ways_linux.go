package rawip

import (
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// shunTime is how long new flows do without a way that a flow has given up.
const shunTime = 5 * time.Minute

// shunned are the ways that were given up, and until when. There are at most two per interface and family.
type shunned struct {
	mu    sync.Mutex
	until map[way]time.Duration
}

func (s *shunned) add(w way, until time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil || len(s.until) > 2*maxBound {
		s.until = map[way]time.Duration{}
	}
	s.until[w] = until
}

func (s *shunned) has(w way, now time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.until[w]
	return ok && now < until
}

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
			w := l.findWay(f)
			if w != nil && l.shunned.has(*w, l.cfg.Clock()) {
				w = nil
			}
			f.path.Store(w)
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
			return &way{ifIndex: lo.index, loopback: true, v6: remote.Is6()}
		}
	}
	if l.cfg.Super == SuperLoopback || tracksConnections() {
		return nil
	}
	d, err := l.routes.device(h.oif, "")
	if err == nil && h.mtu == 0 {
		h.mtu = d.mtu
	}
	if err != nil || transformed(local, remote, min(h.mtu, d.mtu)) {
		return nil
	}
	if !d.ether || h.gateway.Is4() != remote.Is4() && h.gateway.IsValid() {
		return nil
	}
	mac, ok := l.routes.neighbour(h.oif, h.gateway)
	if !ok {
		return nil
	}
	return &way{ifIndex: h.oif, dst: mac, src: d.address, v6: remote.Is6()}
}

// transformed reports whether the host wraps packets to remote before it sends them, as IPsec does: what goes
// straight to the device would go in the clear. The policies themselves are for administrators to read; yet
// a socket that is connected gets its route with them applied, and they take room from its MTU. When in doubt
// the answer is yes.
func transformed(local, remote netip.Addr, mtu int) bool {
	family, level, name := unix.AF_INET, unix.IPPROTO_IP, unix.IP_MTU
	if remote.Is6() {
		family, level, name = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_MTU
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	if attach(fd, []bpf.Instruction{bpf.RetConstant{Val: 0}}) != nil ||
		unix.Bind(fd, sockaddr(netip.AddrPortFrom(local, 0), 0)) != nil ||
		unix.Connect(fd, sockaddr(netip.AddrPortFrom(remote, 0), 0)) != nil {
		return true
	}
	got, err := unix.GetsockoptInt(fd, level, name)
	return err != nil || got < mtu
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
