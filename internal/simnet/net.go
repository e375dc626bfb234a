package simnet

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// Net is a simulated internet with hosts, for programs that want net.Conn. It runs on package time:
// under testing/synctest in virtual time. Close it when done.
type Net struct {
	mu     sync.Mutex
	sim    *Sim
	epoch  time.Time
	timer  *time.Timer
	cfg    PipeConfig
	hosts  []*Host
	closed bool
	names  map[string][]netip.Addr
}

// NewNet makes an internet without hosts. cfg is what all its sockets have in common.
func NewNet(seed uint64, cfg PipeConfig) *Net {
	return &Net{sim: New(seed), epoch: time.Now(), cfg: cfg, names: map[string][]netip.Addr{}}
}

// enter locks the network and brings it up to now.
func (n *Net) enter() {
	n.mu.Lock()
	n.sim.Run(time.Since(n.epoch))
}

// leave gives the network up again.
func (n *Net) leave() {
	n.rearm()
	n.mu.Unlock()
}

// rearm runs what is due at once and sets the timer for what is not.
func (n *Net) rearm() {
	n.sim.Run(n.sim.now)
	if at, ok := n.sim.Next(); ok && !n.closed {
		wait := max(0, at-time.Since(n.epoch))
		if n.timer == nil {
			n.timer = time.AfterFunc(wait, n.tick)
		} else {
			n.timer.Reset(wait)
		}
	} else if n.timer != nil {
		n.timer.Stop()
	}
}

func (n *Net) tick() {
	n.enter()
	n.leave()
}

// Close resets all connections, closes all listeners and stops the clock.
func (n *Net) Close() {
	n.enter()
	defer n.leave()
	n.closed = true
	for _, h := range n.hosts {
		for _, c := range slices.Clone(h.conns) {
			c.sock.kill()
		}
		for _, l := range slices.Clone(h.listeners) {
			l.shut()
		}
		for _, w := range h.watchers {
			close(w)
		}
		h.watchers = nil
	}
}

// SetName makes LookupNetIP find addrs under host.
func (n *Net) SetName(host string, addrs ...netip.Addr) {
	n.enter()
	defer n.leave()
	n.names[host] = slices.Clone(addrs)
}

// LookupNetIP is like net.Resolver's: network is ip, ip4 or ip6.
func (n *Net) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	n.enter()
	defer n.leave()
	var found []netip.Addr
	for _, a := range n.names[host] {
		if network == "ip" || (network == "ip4") == a.Unmap().Is4() {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return found, nil
}

// Host makes a host, or returns the one of that name. It has a loopback interface.
func (n *Net) Host(name string) *Host {
	n.enter()
	defer n.leave()
	for _, h := range n.hosts {
		if h.name == name {
			return h
		}
	}
	h := &Host{net: n, name: name, port: 32768}
	n.hosts = append(n.hosts, h)
	h.addInterface("lo", extapi.KindLoopback, LinkConfig{}, LinkConfig{})
	h.ifaces[0].addrs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	return h
}

// owner finds the interface that has the address a, seen from h.
func (n *Net) owner(h *Host, a netip.Addr) *Interface {
	if a.IsLoopback() {
		return h.ifaces[0]
	}
	for _, x := range n.hosts {
		for _, i := range x.ifaces {
			if slices.Contains(i.addrs, a) {
				return i
			}
		}
	}
	return nil
}
