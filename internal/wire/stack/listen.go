package stack

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// ErrLater is a Greeter's answer as long as it is not ready for connections.
var ErrLater = errors.New("stack: not ready for connections")

// Greeter decides about the connections that come to a Listener. Its methods must not block.
type Greeter interface {
	// Seed is what a connection is to be made from. capable says that the peer asks for Multipath TCP, so that
	// a key is needed. An error refuses it; with ErrLater the SYN is dropped, so that it comes again.
	Seed(local, remote netip.AddrPort, capable bool) (Seed, error)
	// Lookup finds the connection that a token names.
	Lookup(token uint32) (*driver.Conn, bool)
	// Welcome takes a connection whose handshake is done.
	// owner is the Seed's.
	Welcome(d *driver.Conn, r wire.Result, owner any)
}

// Listener takes the connections and joins that come to a port.
type Listener struct {
	s   *Stack
	g   Greeter
	lp  link.Port
	tcp *tcp.Listener
	mu  sync.Mutex // guards tcp
}

// Listen takes a local port: see link.Link.
func (s *Stack) Listen(local netip.AddrPort, backlog int, g Greeter) (*Listener, error) {
	l := &Listener{s: s, g: g}
	l.tcp = tcp.NewListener(tcp.ListenConfig{Secret: s.secret, Backlog: backlog})
	var err error
	l.mu.Lock() // segments wait until lp is set
	l.lp, err = s.link.Listen(local, l)
	l.mu.Unlock()
	return l, err
}

// Local is the address that is listened on.
func (l *Listener) Local() netip.AddrPort { return l.lp.Local() }

// Close stops listening. Connections live on.
func (l *Listener) Close() error { return l.lp.Close() }

// HandleSegment takes a segment that belongs to no flow.
func (l *Listener) HandleSegment(at time.Duration, s *packet.Segment, _ pool.Ref) {
	now := max(at, l.s.now())
	var out packet.Segment
	var options [packet.MaxOptions]byte
	out.Options = options[:0]
	l.mu.Lock()
	verdict, _ := l.tcp.HandleSegment(now, s, &out)
	l.mu.Unlock()
	switch verdict {
	case tcp.Reply:
		l.s.send(&out)
	case tcp.Admit:
		if reply, ok := l.admit(now, s); !ok {
			l.failed()
			if reply.Flags != 0 {
				l.s.send(&reply)
			}
		}
	}
}

// HandleICMP has nobody to tell: a SYN/ACK that does not arrive is given up in time.
func (l *Listener) HandleICMP(time.Duration, *packet.ICMPError) {}

func (l *Listener) failed() {
	l.mu.Lock()
	l.tcp.Failed()
	l.mu.Unlock()
}

// established takes a handshake off the list. The program's own backlog counts what waits for it.
func (l *Listener) established() {
	l.mu.Lock()
	l.tcp.Established()
	l.tcp.Accepted()
	l.mu.Unlock()
}

// admit makes a port of a SYN; or says what to answer.
func (l *Listener) admit(now time.Duration, s *packet.Segment) (reply packet.Segment, ok bool) {
	o := wire.Open(s)
	if o.Asks == wire.AsksJoin {
		return l.admitJoin(now, s, o)
	}
	seed, err := l.g.Seed(s.Dst, s.Src, o.Asks == wire.AsksCapable)
	if errors.Is(err, ErrLater) {
		return packet.Segment{}, false
	}
	if err != nil {
		reply, _ = wire.Reject(s, engine.ResetProhibited, false)
		return reply, false
	}
	p, ok := l.port(s)
	if !ok {
		discard(&seed)
		return packet.Segment{}, false
	}
	seed.Offer.Carrier = extapi.CarrierWire
	c := l.s.newConn(seed, s.Dst)
	cfg := c.config(now, p, s.Dst, s.Src, p.mtu())
	capable, multipath := o.Negotiate(seed.Offer)
	switch {
	case seed.Plain != extapi.FallbackNone:
		p.flow = wire.AcceptPlain(now, cfg, seed.Plain, s)
	case multipath:
		p.flow = wire.Accept(now, cfg, capable.WithKey(seed.Key), s)
	default:
		p.flow = wire.AcceptPlain(now, cfg, extapi.FallbackPeer, s)
	}
	p.settle = func(now time.Duration, r wire.Result) *driver.Conn {
		if r.Err == nil {
			d := c.begin(now, p)
			p.after = func() {
				l.established()
				l.g.Welcome(d, r, seed.Owner)
			}
			return d
		}
		p.after = func() {
			l.failed()
			discard(&seed)
		}
		return nil
	}
	p.leave(now)
	return packet.Segment{}, true
}

func discard(seed *Seed) {
	if seed.Discard != nil {
		seed.Discard()
	}
}

// admitJoin makes a port of a SYN with MP_JOIN. The checks that cost little come first, the HMACs last (RFC 8684
// section 3.2).
func (l *Listener) admitJoin(now time.Duration, s *packet.Segment, o wire.Opening) (reply packet.Segment, ok bool) {
	d, found := l.g.Lookup(o.Join.Token)
	c := l.s.find(d)
	if !found || c == nil {
		reply, _ = wire.Reject(s, engine.ResetProtocol, false)
		return reply, false
	}
	if !d.Established() {
		return packet.Segment{}, false // it has overtaken the end of the first handshake: the SYN comes again
	}
	nonce, err := d.Nonce()
	if err != nil {
		return packet.Segment{}, false
	}
	var j *engine.JoinResponder
	var fp engine.FlowParams
	d.Update(func(now time.Duration, e *engine.Conn) {
		j, fp, err = e.AcceptJoin(now, o.Join, s.Dst, s.Src, uint32(nonce))
	})
	if err != nil {
		return refusal(s, err), false
	}
	withdraw := func() { d.Update(func(now time.Duration, e *engine.Conn) { e.JoinRefused(now) }) }
	p, ok := l.port(s)
	if !ok {
		withdraw()
		return packet.Segment{}, false
	}
	p.flow, err = wire.AcceptJoin(now, c.config(now, p, s.Dst, s.Src, p.mtu()), d.Keys(), j, s)
	if err != nil {
		p.bury()
		p.mu.Unlock()
		withdraw()
		return refusal(s, err), false
	}
	p.settle = func(now time.Duration, r wire.Result) *driver.Conn {
		var entered *driver.Conn
		if r.Err == nil {
			entered = c.adopt(now, d, p, fp)
		}
		p.after = func() {
			if r.Err != nil {
				l.failed()
				withdraw()
				return
			}
			l.established()
		}
		return entered
	}
	p.leave(now)
	return packet.Segment{}, true
}

// refusal is the RST that says why a join is not wanted.
func refusal(s *packet.Segment, err error) packet.Segment {
	reason, transient := engine.ResetUnspecified, false
	var r *engine.ResetError
	if errors.As(err, &r) {
		reason, transient = r.Reason, r.Transient
	}
	reply, _ := wire.Reject(s, reason, transient)
	return reply
}

// port makes a port for a SYN, locked.
func (l *Listener) port(s *packet.Segment) (*port, bool) {
	route, err := l.s.link.Route(s.Dst.Addr(), s.Src.Addr(), "")
	if err != nil {
		return nil, false
	}
	p := &port{s: l.s, route: route, listener: l}
	p.mu.Lock()
	l.mu.Lock()
	lp := l.lp
	l.mu.Unlock()
	if p.lf, err = lp.Accept(s.Dst, s.Src, 0, p); err != nil || !l.s.watch(p) {
		if err == nil {
			p.lf.Close()
		}
		p.mu.Unlock()
		return nil, false
	}
	return p, true
}
