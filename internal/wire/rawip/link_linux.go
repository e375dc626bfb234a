package rawip

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Link implements link.Link over raw sockets.
type Link struct {
	cfg      Config
	stack    link.Stack
	counters counters
	ports    *ports

	raw4, raw6   *rawSocket // raw6 is nil where the host has no IPv6
	icmp4, icmp6 *rawSocket
	packets      *rawSocket // for super-segments; nil when switched off or not to be had
	in4, in6     *inlet
	inlets       []*inlet // all of them
	bound        bound
	outboxes     sync.Pool

	routes     *router
	shunned    shunned
	look       chan *flow    // whose way for super-segments is to be found out
	generation atomic.Uint64 // of the network: grows with every change of links, routes and neighbours

	waiters  waiters
	dispatch sync.Mutex // held while handlers are called: one batch at a time
	closed   atomic.Bool
	done     chan struct{}
	running  sync.WaitGroup
}

var _ link.Link = (*Link)(nil)

// Open opens a link for a stack. It fails with ErrPermission without CAP_NET_RAW.
func Open(cfg Config, stack link.Stack) (*Link, error) {
	l := &Link{cfg: cfg, stack: stack, done: make(chan struct{}), look: make(chan *flow, 64)}
	l.generation.Store(1)
	l.ports = newPorts(l.filter, func() { l.counters.weakShields.Add(1) })
	l.outboxes.New = func() any { return newOutbox(l) }
	changes, err := subscribe()
	if err != nil {
		return nil, err
	}
	if err := l.open(); err != nil {
		changes.Close()
		l.closeSockets()
		return nil, err
	}
	l.in4, l.in6 = l.start(l.raw4, batchSize, (*Link).segments), l.start(l.raw6, batchSize, (*Link).segments)
	for _, s := range []*rawSocket{l.icmp4, l.icmp6} {
		l.start(s, icmpBatch, (*Link).icmpErrors)
	}
	l.running.Add(2)
	go l.watch(changes)
	go l.lookOut()
	return l, nil
}

func (l *Link) open() (err error) {
	if l.raw4, err = openRaw(false); err != nil {
		return err
	}
	if l.icmp4, err = openICMP(false); err != nil {
		return err
	}
	if l.raw6, err = openRaw(true); err == nil {
		l.icmp6, err = openICMP(true)
	}
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
		return err
	}
	if l.cfg.Super != SuperOff {
		l.packets, _ = openPackets() // without it everything goes the way that always works
	}
	l.routes, err = newRouter(l.cfg.Clock)
	return err
}

func (l *Link) closeSockets() {
	for _, s := range []*rawSocket{l.raw4, l.raw6, l.icmp4, l.icmp6, l.packets} {
		if s != nil {
			s.close()
		}
	}
	l.bound.close()
	if l.routes != nil {
		l.routes.close()
	}
}

// filter lets segments to ports of the given spans through.
func (l *Link) filter(v6 bool, spans []span) error {
	s := l.raw4
	if v6 {
		s = l.raw6
	}
	if s == nil {
		return fmt.Errorf("rawip: no IPv6 on this host: %w", unix.EAFNOSUPPORT)
	}
	prog := portFilter(spans, v6)
	if len(spans) == 0 {
		prog = []bpf.Instruction{bpf.RetConstant{Val: 0}}
	}
	if err := s.setFilter(prog); err != nil {
		return fmt.Errorf("rawip: filter: %w", err)
	}
	return nil
}

// start opens an inlet.
func (l *Link) start(s *rawSocket, size int, handle func(*Link, *reader, int, time.Duration)) *inlet {
	if s == nil {
		return nil
	}
	k := newInlet(l, s, size, handle)
	l.inlets = append(l.inlets, k)
	l.running.Go(k.keep)
	return k
}

// deliver hands n packets to their handlers and lets them have their consequences. It returns the one connection that they
// had them for, and the time.
func (l *Link) deliver(k *inlet, n int) (only any, now time.Duration) {
	l.dispatch.Lock()
	defer l.dispatch.Unlock()
	if now = l.cfg.Clock(); l.closed.Load() {
		return nil, now
	}
	k.handle(l, k.reader, n, now)
	return l.stack.Flush(now), now
}

// pause waits a little, or until the link is closed.
func (l *Link) pause() {
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.done:
	}
}

// segments hands the segments of a batch to their handlers.
func (l *Link) segments(r *reader, n int, now time.Duration) {
	for i := range n {
		buf, err := r.segment(i)
		if err != nil {
			l.counters.badSegments.Add(1)
			buf.Release()
			continue
		}
		r.learn(i)
		s := &r.seg
		f, h, ours := l.ports.lookup(s.Dst, s.Src, s.IfIndex)
		switch {
		case !ours:
			l.counters.notOurs.Add(1)
			buf.Release()
			continue
		case f == nil && h == nil:
			h = l.stack
		}
		l.counters.received.Add(1)
		l.counters.receivedBytes.Add(uint64(len(s.Payload)))
		h.HandleSegment(now, s, buf)
		buf.Release()
	}
}

// newFlow makes a flow that nobody knows yet.
func (l *Link) newFlow(local, remote netip.AddrPort, ifIndex int, h link.Handler) *flow {
	return &flow{tuple: tupleOf(local, remote, ifIndex), link: l, handler: h, ifIndex: ifIndex}
}

// Connect implements link.Link.
func (l *Link) Connect(local, remote netip.AddrPort, ifIndex int, h link.Handler) (link.Flow, error) {
	if local.Addr().BitLen() != remote.Addr().BitLen() || !local.IsValid() || local.Addr().IsUnspecified() {
		return nil, packet.ErrAddress
	}
	f := l.newFlow(local, remote, ifIndex, h)
	if err := l.ports.connect(f); err != nil {
		return nil, err
	}
	return f, nil
}

// Listen implements link.Link.
func (l *Link) Listen(local netip.AddrPort, h link.Handler) (link.Port, error) {
	zone, index := local.Addr().Zone(), 0
	if zone != "" {
		var err error
		if index, err = l.routes.index(zone); err != nil {
			return nil, err
		}
	}
	held, err := l.ports.listen(netip.AddrPortFrom(local.Addr().WithZone(""), local.Port()), index, h)
	if err != nil {
		return nil, err
	}
	return &port{link: l, held: held, addr: netip.AddrPortFrom(local.Addr(), held.addr.Port())}, nil
}

// Route implements link.Link.
func (l *Link) Route(local, remote netip.Addr, iface string) (link.Route, error) {
	return l.routes.route(local, remote, iface)
}

// Counters is what the link has counted so far.
func (l *Link) Counters() extapi.LinkCounters { return l.counters.snapshot() }

// Close implements link.Link.
func (l *Link) Close() error {
	if !l.closed.CompareAndSwap(false, true) {
		return nil
	}
	close(l.done)
	l.closeSockets()
	for _, k := range l.inlets {
		k.call()
	}
	l.running.Wait()
	l.waiters.end()
	l.ports.close()
	return nil
}
