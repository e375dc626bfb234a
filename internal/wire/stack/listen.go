package stack

import (
	"errors"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// ErrLater is a Greeter's answer as long as it is not ready for connections.
var ErrLater = errors.New("stack: not ready for connections")

// Request is a connection that somebody asks for. Its addresses have no zones.
type Request struct {
	Local, Remote netip.AddrPort
	Capable       bool       // with Multipath TCP, so that a key is needed
	Key           engine.Key // this side's, which the peer has already; 0: there is none yet
}

// Greeter decides about the connections that come to a Listener. Its methods must not block.
type Greeter interface {
	// Seed is what a connection is to be made from. An error refuses it; with ErrLater the SYN is dropped, so that it
	// comes again. Where the request's key cannot be taken, the seed is that of a plain connection.
	Seed(Request) (Seed, error)
	// Taken says that no connection can be told from others by this token.
	Taken(token uint32) bool
	// Lookup finds the connection that a token names.
	Lookup(token uint32) (*driver.Conn, bool)
	// Welcome takes a connection whose handshake is done.
	// owner is the Seed's.
	Welcome(d *driver.Conn, r wire.Result, owner any)
}

// ListenConfig is how a Listener is to be.
type ListenConfig struct {
	Backlog int                 // connections that wait while they are handed over; 0: tcp's default
	SYNs    int                 // handshakes under way before SYNs are answered with cookies; 0: tcp's default
	TCP     tcp.Config          // what an answer with a cookie agrees to, which knows no Seed: options, receive buffer
	Offer   engine.CapableOffer // likewise of Multipath TCP
}

// Listener takes the connections and joins that come to a port.
type Listener struct {
	s         *Stack
	g         Greeter
	cfg       ListenConfig
	lp        link.Port
	stateless wire.Stateless

	mu  sync.Mutex // guards what follows
	tcp *tcp.Listener
	mtu int // the smallest of the routes to those who have come
}

// defaultMTU is announced with a cookie as long as no route is known.
const defaultMTU = 1500

// Listen takes a local port: see link.Link.
func (s *Stack) Listen(local netip.AddrPort, cfg ListenConfig, g Greeter) (*Listener, error) {
	cfg.TCP.MTU = defaultMTU
	l := &Listener{s: s, g: g, cfg: cfg, stateless: wire.Stateless{Secret: s.secret[:], Want: cfg.Offer, Taken: g.Taken}}
	l.tcp = tcp.NewListener(tcp.ListenConfig{
		Conn: cfg.TCP, Secret: s.secret, SYNs: cfg.SYNs, Backlog: cfg.Backlog, Stateless: l.stateless,
	})
	var err error
	l.mu.Lock() // segments wait until lp is set
	l.lp, err = s.link.Listen(local, l)
	l.mu.Unlock()
	if err == nil {
		s.mu.Lock()
		s.listeners[l] = struct{}{}
		s.mu.Unlock()
	}
	return l, err
}

// Local is the address that is listened on.
func (l *Listener) Local() netip.AddrPort { return l.lp.Local() }

// Close stops listening. Connections live on.
func (l *Listener) Close() error {
	err := l.lp.Close()
	l.s.retire(l)
	return err
}

// Counters are what the listener has counted so far.
func (l *Listener) Counters() extapi.ListenCounters {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tcp.Counters
}

// HandleSegment takes a segment that belongs to no flow. A join does not count among the handshakes under way, so
// that a flood of SYNs does not shut it out: who sends it knows a token, "32 bits of which gives sufficient
// protection against blind state exhaustion attacks; therefore, there is no need to provide mechanisms to allow a
// responder to operate statelessly at the MP_JOIN stage" (RFC 8684 section 3.2), and every connection bounds its own.
func (l *Listener) HandleSegment(at time.Duration, s *packet.Segment, buf pool.Ref) {
	now := max(at, l.s.now())
	var o wire.Opening
	if s.Flags&(packet.SYN|packet.ACK|packet.RST|packet.FIN) == packet.SYN {
		if o = wire.Open(s); o.Asks == wire.AsksJoin {
			l.join(now, s, o)
			return
		}
		o.Count(&l.s.count)
	}
	var out packet.Segment
	var options [packet.MaxOptions]byte
	out.Options = options[:0]
	l.mu.Lock()
	verdict, cookie := l.tcp.HandleSegment(now, s, &out)
	l.mu.Unlock()
	switch verdict {
	case tcp.Reply:
		l.s.send(&out, s)
	case tcp.Admit:
		l.admit(now, s, o)
	case tcp.Restore:
		l.restore(now, s, buf, cookie)
	}
}

// HandleICMP has nobody to tell: a SYN/ACK that does not arrive is given up in time.
func (l *Listener) HandleICMP(time.Duration, *packet.ICMPError) {}

// admitted ends the place of a SYN among the handshakes under way. The program's own backlog counts what waits for it.
func (l *Listener) admitted(ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !ok {
		l.tcp.Failed()
		return
	}
	l.tcp.Established()
	l.tcp.Accepted()
}

// restored ends the place of a connection made of a cookie among those that wait.
func (l *Listener) restored(bool) {
	l.mu.Lock()
	l.tcp.Accepted()
	l.mu.Unlock()
}

// admit makes a port of a SYN, or answers it.
func (l *Listener) admit(now time.Duration, s *packet.Segment, o wire.Opening) {
	req := Request{Local: s.Dst, Remote: s.Src, Capable: o.Asks == wire.AsksCapable}
	p := l.greet(now, s, req, l.admitted, func(cfg wire.Config, seed *Seed) *wire.Flow {
		capable, multipath := o.Negotiate(seed.Offer)
		switch {
		case seed.Plain != extapi.FallbackNone:
			if req.Capable {
				l.s.count.Count(mib.MPFallbackTokenInit)
			}
			return wire.AcceptPlain(now, cfg, seed.Plain, s)
		case multipath:
			return wire.Accept(now, cfg, capable.WithKey(seed.Key), s)
		}
		return wire.AcceptPlain(now, cfg, extapi.FallbackPeer, s)
	})
	if p != nil {
		p.leave(now)
	}
}

// restore makes a port of the third segment of a handshake of which nothing was remembered; it may bring data.
func (l *Listener) restore(now time.Duration, s *packet.Segment, buf pool.Ref, k tcp.Cookie) {
	req := Request{Local: s.Dst, Remote: s.Src}
	if req.Key, req.Capable = l.stateless.Key(s); !req.Capable {
		req.Key = 0
	}
	p := l.greet(now, s, req, l.restored, func(cfg wire.Config, seed *Seed) *wire.Flow {
		cfg.TCP = agreed(cfg.TCP, &l.cfg.TCP)
		return l.stateless.Resume(now, cfg, s, k, seed.Plain)
	})
	if p == nil {
		return
	}
	p.take(now, nil, s, buf)
	p.leave(now)
}

// agreed is cfg with what the answer with a cookie has agreed to.
func agreed(cfg tcp.Config, to *tcp.Config) tcp.Config {
	cfg.RecvBuffer, cfg.NoTimestamps, cfg.NoSACK, cfg.NoScale, cfg.ECN, cfg.ECNAnswer = to.RecvBuffer, to.NoTimestamps, to.NoSACK, to.NoScale, to.ECN, to.ECNAnswer
	return cfg
}

// greet makes a locked port of the first segment of a connection, and a flow with open; nil: it has been answered or
// dropped. done hears, once, whether a connection has come of it.
func (l *Listener) greet(now time.Duration, s *packet.Segment, req Request, done func(ok bool), open func(wire.Config, *Seed) *wire.Flow) *port {
	seed, err := l.g.Seed(req)
	if err != nil {
		done(false)
		if !errors.Is(err, ErrLater) {
			l.s.reject(now, s, engine.ResetProhibited, false)
		}
		return nil
	}
	p, ok := l.port(s)
	if !ok {
		done(false)
		discard(&seed)
		return nil
	}
	seed.Offer.Carrier = extapi.CarrierWire
	c := l.s.newConn(&seed, s.Dst, s.Src)
	p.flow = open(c.config(now, p, s.Dst, s.Src, p.mtu()), &seed)
	p.settle = func(now time.Duration, r wire.Result) *driver.Conn {
		if r.Err == nil {
			d := c.begin(now, p, &seed)
			p.after = func() {
				done(true)
				l.g.Welcome(d, r, seed.Owner)
			}
			return d
		}
		p.after = func() {
			done(false)
			discard(&seed)
		}
		return nil
	}
	return p
}

func discard(seed *Seed) {
	if seed.Discard != nil {
		seed.Discard()
	}
}

// join makes a port of a SYN with MP_JOIN, or answers it. The checks that cost little come first, the HMACs last (RFC
// 8684 section 3.2).
func (l *Listener) join(now time.Duration, s *packet.Segment, o wire.Opening) {
	d, found := l.g.Lookup(o.Join.Token)
	c := l.s.find(d)
	if !found || c == nil {
		o.Count(&l.s.count)
		l.s.count.Count(mib.MPJoinNoTokenFound)
		l.s.reject(now, s, engine.ResetProtocol, false)
		return
	}
	o.Count(&c.count)
	elsewhere := s.Dst.Port() != c.port
	if elsewhere {
		c.count.Count(mib.MPJoinPortSynRx)
	}
	if !d.Established() {
		return // it has overtaken the end of the first handshake: the SYN comes again
	}
	nonce, err := d.Nonce()
	if err != nil {
		return
	}
	var j *engine.JoinResponder
	var fp engine.FlowParams
	d.Update(func(now time.Duration, e *engine.Conn) {
		j, fp, err = e.AcceptJoin(now, o.Join, s.Dst, s.Src, uint32(nonce))
	})
	if err != nil {
		c.count.Count(mib.MPJoinRejected)
		l.s.refuse(now, s, err)
		return
	}
	withdraw := func() { d.Update(func(now time.Duration, e *engine.Conn) { e.JoinRefused(now) }) }
	p, ok := l.port(s)
	if !ok {
		withdraw()
		return
	}
	p.flow, err = wire.AcceptJoin(now, c.config(now, p, s.Dst, s.Src, p.mtu()), d.Keys(), j, s)
	if err != nil {
		p.bury()
		p.mu.Unlock()
		withdraw()
		l.s.refuse(now, s, err)
		return
	}
	p.settle = func(now time.Duration, r wire.Result) *driver.Conn {
		if r.Err == nil {
			if elsewhere {
				c.count.Count(mib.MPJoinPortAckRx)
			}
			return c.adopt(now, d, p, fp)
		}
		p.after = withdraw
		return nil
	}
	p.leave(now)
}

// refuse answers a join that is not wanted with the reason.
func (s *Stack) refuse(now time.Duration, seg *packet.Segment, err error) {
	reason, transient := engine.ResetUnspecified, false
	var r *engine.ResetError
	if errors.As(err, &r) {
		reason, transient = r.Reason, r.Transient
	}
	s.reject(now, seg, reason, transient)
}

// reject answers a segment with a RST that says why, unless many have left lately.
func (s *Stack) reject(now time.Duration, seg *packet.Segment, reason engine.ResetReason, transient bool) {
	if rst, ok := wire.Reject(seg, reason, transient); ok && s.resets.allow(now) {
		s.count.Count(mib.MPRstTx)
		s.send(&rst, seg)
	}
}

// port makes a port for a segment, locked.
func (l *Listener) port(s *packet.Segment) (*port, bool) {
	iface := ""
	if link.LinkLocal(s.Src.Addr()) || link.LinkLocal(s.Dst.Addr()) {
		iface = strconv.Itoa(s.IfIndex)
	}
	route, err := l.s.link.Route(s.Dst.Addr(), s.Src.Addr(), iface)
	if err != nil {
		return nil, false
	}
	p := &port{s: l.s, accepted: true}
	p.lead(route, iface)
	p.mu.Lock()
	l.mu.Lock()
	if l.mtu == 0 || route.MTU < l.mtu {
		l.mtu = route.MTU
		l.tcp.SetMTU(route.MTU)
	}
	lp := l.lp
	l.mu.Unlock()
	if p.lf, err = lp.Accept(s.Dst, s.Src, p.through, p); err != nil || !l.s.watch(p) {
		if err == nil {
			p.lf.Close()
		}
		p.mu.Unlock()
		return nil, false
	}
	return p, true
}
