package onpath

import (
	"net/netip"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// NAT translates the source of what goes forward to a public address with a port of its own for each flow,
// and back.
type NAT struct {
	Public netip.Addr    // packets of the other family pass unchanged
	Idle   time.Duration // a mapping that was not used for so long is forgotten; 0: never
	Reset  bool          // what comes for a forgotten mapping is answered with a RST; else it vanishes

	out  flows[natMapping] // by the inside's ends
	in   flows[natMapping] // by the outside's ends
	port uint16
}

type natMapping struct {
	inside, outside netip.AddrPort
	used            time.Duration
	known           bool
}

// Rebind forgets all mappings: the flows that go on get other ports, as after a reboot of the box or a change
// of its address.
func (n *NAT) Rebind() { n.out, n.in = flows[natMapping]{}, flows[natMapping]{} }

// Process implements Element.
func (n *NAT) Process(now time.Duration, p []byte, d Dir, emit Emit) {
	v, ok := locate(p)
	if !ok || v.is4() != n.Public.Is4() {
		emit(p, d)
		return
	}
	if d == Back {
		n.back(now, &v, p, emit)
		return
	}
	k := flowOf(&v, d)
	m := n.out.get(k)
	if m == nil || !n.fresh(m, now) {
		if !v.has(packet.SYN) && n.Idle > 0 {
			n.refuse(&v, d, emit) // a stateful box opens no mapping in the middle of a connection
			return
		}
		m = n.open(k)
	}
	m.used = now
	v.begin()
	v.setSrc(m.outside)
	v.end()
	if r := n.in.get(flow{m.outside, k.far}); r != nil {
		r.used = now
	}
	emit(p, d)
}

func (n *NAT) back(now time.Duration, v *view, p []byte, emit Emit) {
	m := n.in.get(flowOf(v, Back))
	if m == nil || !n.fresh(m, now) {
		if v.dst().Addr() == n.Public {
			n.refuse(v, Back, emit)
			return
		}
		emit(p, Back)
		return
	}
	m.used = now
	if o := n.out.get(flow{m.inside, v.src()}); o != nil {
		o.used = now
	}
	v.begin()
	v.setDst(m.inside)
	v.end()
	emit(p, Back)
}

func (n *NAT) fresh(m *natMapping, now time.Duration) bool {
	return m.known && (n.Idle <= 0 || now-m.used <= n.Idle)
}

// open gives a flow the next port.
func (n *NAT) open(k flow) *natMapping {
	n.port++
	n.port = max(n.port, 1024)
	outside := netip.AddrPortFrom(n.Public, n.port)
	m := n.out.make(k)
	*m = natMapping{inside: k.near, outside: outside, known: true}
	*n.in.make(flow{outside, k.far}) = *m
	return m
}

func (n *NAT) refuse(v *view, d Dir, emit Emit) {
	if !n.Reset || v.has(packet.RST) {
		return
	}
	if q := resetFor(v); q != nil {
		emit(q, d.Reverse())
	}
}

// Balance sends connections to servers that it picks for their SYN, as a load balancer in front of several
// machines does, and gives the answers the address that was asked for. A zero address leaves a connection
// where it goes.
func Balance(pick func(syn *packet.Segment) netip.AddrPort) Element {
	type server struct{ asked, given netip.AddrPort }
	var asked flows[server] // near end and the address that was asked for
	var given flows[server] // near end and the server
	return Func(func(p []byte, d Dir, emit Emit) {
		v, ok := locate(p)
		if !ok {
			emit(p, d)
			return
		}
		k := flowOf(&v, d)
		if s, err := packet.Parse(p); err == nil && d == Forward && v.has(packet.SYN) && !v.has(packet.ACK) {
			if to := pick(&s); to.IsValid() {
				x := server{k.far, to}
				*asked.make(k), *given.make(flow{k.near, to}) = x, x
			}
		}
		v.begin()
		if x := asked.get(k); x != nil && d == Forward {
			v.setDst(x.given)
		} else if x := given.get(k); x != nil && d == Back {
			v.setSrc(x.asked)
		}
		v.end()
		emit(p, d)
	})
}
