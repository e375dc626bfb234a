// Package ipnet is the packet level of a simulation: hosts that exchange IP packets, byte for byte, over paths
// made of the elements of internal/onpath. Everything happens in the events of one simnet.Sim, hence in
// virtual time, from one goroutine, and the same way for the same seed; NewLive is for stacks with goroutines.
//
// A Host is the link.Link of one userspace TCP, which runs on it as it runs on sockets.
package ipnet

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/simnet"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Net is an internet of hosts.
type Net struct {
	sim   *simnet.Sim
	hosts []*Host
	taps  []Tap
	live  *live // nil: the Sim's owner runs it
}

// Tap sees a packet where it leaves a host (sent) and where it reaches one. It must not change p.
type Tap func(now time.Duration, host string, sent bool, p []byte)

// New makes an internet in s, without hosts.
func New(s *simnet.Sim) *Net { return &Net{sim: s} }

// Tap adds an onlooker.
func (n *Net) Tap(t Tap) {
	defer n.enter()()
	n.taps = append(n.taps, t)
}

func (n *Net) tap(h *Host, sent bool, p []byte) {
	for _, t := range n.taps {
		t(n.sim.Now(), h.name, sent, p)
	}
}

// Host makes a host.
func (n *Net) Host(name string) *Host {
	defer n.enter()()
	h := &Host{net: n, name: name, held: map[uint16]int{}, flows: map[fourTuple]*flow{}}
	n.hosts = append(n.hosts, h)
	return h
}

// Port is where a host is attached to paths: an interface with its addresses.
type Port struct {
	host  *Host
	name  string
	index int // from 1
	mtu   int
	addrs []netip.Addr
	paths []*Path
}

// defaultMTU is Ethernet's.
const defaultMTU = 1500

// Attach gives a host an interface. mtu counts bytes of IP packet; 0: 1500.
func (h *Host) Attach(name string, mtu int, addrs ...netip.Addr) *Port {
	if mtu <= 0 {
		mtu = defaultMTU
	}
	defer h.net.enter()()
	p := &Port{host: h, name: name, index: len(h.ports) + 1, mtu: mtu, addrs: slices.Clone(addrs)}
	h.ports = append(h.ports, p)
	return p
}

// Index is the interface's, as in packet.Segment.
func (p *Port) Index() int { return p.index }

// SetAddrs changes the interface's addresses: what arrives for one that has gone is lost. The host's stack
// is told.
func (p *Port) SetAddrs(addrs ...netip.Addr) {
	defer p.host.net.enter()()
	p.addrs = slices.Clone(addrs)
	p.host.changed()
}

// Path joins two interfaces. Net pass a chain of elements on their way; near is the near end of it.
type Path struct {
	net       *Net
	near, far *Port
	chain     *onpath.Chain
	also      []netip.Addr // addresses of middleboxes, that lead into the path from its far end
	timer     *simnet.Event
	due       time.Duration
}

// Join makes a path through these elements, of which the first stands next to near.
func (n *Net) Join(near, far *Port, elements ...onpath.Element) *Path {
	defer n.enter()()
	p := &Path{net: n, near: near, far: far, chain: onpath.NewChain(elements...)}
	near.paths = append(near.paths, p)
	far.paths = append(far.paths, p)
	return p
}

// Owns names addresses that belong to a box on the path, such as the public one of a NAT: what the far end
// sends to them goes into this path.
func (p *Path) Owns(addrs ...netip.Addr) *Path {
	defer p.net.enter()()
	p.also = append(p.also, addrs...)
	return p
}

// leads tells whether a packet to a, from the interface from, goes this way.
func (p *Path) leads(from *Port, a netip.Addr) bool {
	if from == p.near {
		return slices.Contains(p.far.addrs, a)
	}
	return slices.Contains(p.near.addrs, a) || slices.Contains(p.also, a)
}

// Inject puts a packet into the path at the end where it would come in, whoever made it.
func (p *Path) Inject(b []byte, d onpath.Dir) {
	defer p.net.enter()()
	p.inject(b, d)
}

func (p *Path) inject(b []byte, d onpath.Dir) {
	p.advance()
	p.chain.Process(p.net.sim.Now(), b, d, p.arrived)
	p.rearm()
}

// advance lets the elements do what is due, before anything else comes in.
func (p *Path) advance() { p.chain.Tick(p.net.sim.Now(), p.arrived) }

func (p *Path) rearm() {
	at, ok := p.chain.Next()
	if !ok {
		p.timer.Stop()
		return
	}
	if p.timer.Pending() && p.due == at {
		return
	}
	p.timer.Stop()
	p.due = at
	p.timer = p.net.sim.At(at, func() {
		p.advance()
		p.rearm()
	})
}

// arrived is called where a packet leaves the path. Delivery is an event of its own, after what is going on.
func (p *Path) arrived(b []byte, d onpath.Dir) {
	to := p.far
	if d == onpath.Back {
		to = p.near
	}
	p.net.sim.At(p.net.sim.Now(), func() { to.receive(b) })
}

// send puts a packet of the host's on its way.
func (p *Port) send(b []byte, to netip.Addr) error {
	if len(b) > p.mtu {
		return fmt.Errorf("ipnet: %d bytes through %s, whose MTU is %d", len(b), p.name, p.mtu)
	}
	w := p.pathTo(to)
	if w == nil {
		return fmt.Errorf("ipnet: %s has no path to %v", p.name, to)
	}
	p.host.net.tap(p.host, true, b)
	d := onpath.Forward
	if w.near != p {
		d = onpath.Back
	}
	w.inject(b, d)
	return nil
}

// pathTo is the path whose other end has the address, or the only one there is.
func (p *Port) pathTo(to netip.Addr) *Path {
	for _, w := range p.paths {
		if w.leads(p, to) {
			return w
		}
	}
	if len(p.paths) == 1 {
		return p.paths[0]
	}
	return nil
}

// receive takes a packet off a path. What is not for this host is lost.
func (p *Port) receive(b []byte) {
	h := p.host
	h.net.tap(h, false, b)
	if s, err := packet.Parse(b); err == nil {
		if h.portOf(s.Dst.Addr()) != nil {
			h.segment(p, b)
		}
		return
	}
	if e, err := packet.ParseICMP(b); err == nil {
		h.trouble(&e)
	}
}
