package stack

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// fabric is a network of hosts in one process: packets are bytes, as on a wire, and each host has a receiver of its own.
type fabric struct {
	mu    sync.Mutex
	hosts []*host
	lose  func(s *packet.Segment) bool // called for every segment, in turn; nil: nothing is lost
	delay time.Duration                // from host to host
}

// parcel is a packet on its way.
type parcel struct {
	b   []byte
	due time.Time
}

// watch shows every segment to f, which says whether it gets lost.
func (f *fabric) watch(lose func(s *packet.Segment) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lose = lose
}

// host is a link.Link.
type host struct {
	f     *fabric
	stack link.Stack
	epoch time.Time
	addrs []netip.Addr
	in    chan parcel
	guest chan struct{} // the receiver makes room for one
	left  chan struct{} // the guest has left
	intr  chan struct{} // it is not to wait

	guests atomic.Int64 // how often guests have received
	loaned
	done chan struct{}
	once sync.Once
	gone sync.WaitGroup

	mu    sync.Mutex
	flows map[[2]netip.AddrPort]*hostFlow
	ports map[netip.AddrPort]*hostPort
	next  uint16
	last  uint16 // the last port that Connect chooses; 0: there are enough

	super   atomic.Int64 // largest super-segment, which arrives whole
	limited bool         // only so many segments as there is room for leave
	room    int
	refuse  error // why none leaves
	mtu     int   // 0: 1500
}

// loaned is what a guest of a host has lent to it.
type loaned struct {
	visitor any // the guest
	loan    pool.Loan
	lent    []byte       // what is left of it
	direct  atomic.Int64 // bytes that have come there and were of use, of all guests
}

// allow makes room for n segments.
func (h *host) allow(n int) {
	h.mu.Lock()
	h.limited, h.room = true, n
	h.mu.Unlock()
	h.stack.Writable(time.Since(h.epoch))
}

// deny lets no segment leave, for a reason; nil: all may again.
func (h *host) deny(reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refuse = reason
}

// takes is the MTU of the host's interface.
func (h *host) takes() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mtu == 0 {
		return 1500
	}
	return h.mtu
}

// admit takes a place for the i-th segment of a batch.
func (h *host) admit(i int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return h.refuse
	}
	h.room--
	if h.limited && h.room < 0 {
		return &link.FullError{At: i}
	}
	return nil
}

// boot makes a host with a stack.
func (f *fabric) boot(addrs ...netip.Addr) *Stack {
	h := &host{
		f: f, epoch: time.Now(), addrs: addrs, in: make(chan parcel, 4096), done: make(chan struct{}),
		guest: make(chan struct{}), left: make(chan struct{}), intr: make(chan struct{}, 1),
		flows: make(map[[2]netip.AddrPort]*hostFlow), ports: make(map[netip.AddrPort]*hostPort), next: 40000,
	}
	s, err := New(h.epoch, func(s link.Stack) (link.Link, error) {
		h.stack = s
		h.gone.Add(1)
		go h.receive()
		return h, nil
	})
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	f.hosts = append(f.hosts, h)
	f.mu.Unlock()
	return s
}

// receive makes room for a guest as soon as one comes, and is back as soon as it leaves.
func (h *host) receive() {
	defer h.gone.Done()
	for {
		select {
		case <-h.done:
			return
		case h.guest <- struct{}{}:
			<-h.left
		case p := <-h.in:
			h.handle(p)
		}
	}
}

// handle hands on p and what waits behind it.
func (h *host) handle(p parcel) {
	time.Sleep(time.Until(p.due))
	h.take(p.b)
	for range len(h.in) {
		p = <-h.in
		if time.Until(p.due) > 0 {
			h.stack.Flush(time.Since(h.epoch))
			time.Sleep(time.Until(p.due))
		}
		h.take(p.b)
	}
	h.stack.Flush(time.Since(h.epoch))
}

// Take implements link.Inlet. One connection alone may be a guest, if any: who has traffic is not looked at.
func (h *host) Take(conn any) bool {
	select {
	case <-h.guest:
		h.visitor = conn
		return true
	default:
		return false
	}
}

// Receive implements link.Inlet.
func (h *host) Receive(b []byte, wait bool) (n int, stays bool) {
	h.guests.Add(1)
	if h.lent = b; len(b) > 0 {
		h.loan.Begin(b, h.visitor)
	}
	stays = h.one(wait)
	if len(b) > 0 {
		n = h.loan.End()
		h.direct.Add(int64(n))
	}
	h.lent = nil
	return n, stays
}

// one receives once, as a guest.
func (h *host) one(wait bool) (stays bool) {
	if !wait {
		select {
		case p := <-h.in:
			h.handle(p)
		default:
		}
		return true
	}
	select {
	case <-h.done:
		return false
	case p := <-h.in:
		h.handle(p)
	case <-h.intr:
	}
	return true
}

// lend moves payload to what a guest has lent, if there is room. What is of no use there leaves a gap.
func (h *host) lend(s *packet.Segment, ref pool.Ref) pool.Ref {
	n := len(s.Payload)
	if n == 0 || n > len(h.lent) {
		return ref
	}
	s.Payload, h.lent = h.lent[:copy(h.lent, s.Payload):n], h.lent[n:]
	return h.loan.Ref(s.Payload)
}

// Leave implements link.Inlet.
func (h *host) Leave(bool) { h.left <- struct{}{} }

// SetReadDeadline implements link.Inlet.
func (h *host) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		select {
		case h.intr <- struct{}{}:
		default:
		}
	}
	return nil
}

func (h *host) take(b []byte) {
	ref := pool.Copy(b)
	defer ref.Release()
	s, err := packet.Parse(ref.B)
	if err != nil {
		panic(err)
	}
	ref = h.lend(&s, ref)
	now := time.Since(h.epoch)
	h.mu.Lock()
	f := h.flows[[2]netip.AddrPort{s.Dst, s.Src}]
	p := h.ports[netip.AddrPortFrom(netip.Addr{}, s.Dst.Port())]
	h.mu.Unlock()
	switch {
	case f != nil:
		f.h.HandleSegment(now, &s, ref)
	case p != nil:
		p.h.HandleSegment(now, &s, ref)
	default:
		h.stack.HandleSegment(now, &s, ref)
	}
}

func (h *host) Send(batch []packet.Segment) (int, error) {
	for i := range batch {
		s := &batch[i]
		if err := h.admit(i); err != nil {
			return i, err
		}
		h.f.mu.Lock()
		lost := h.f.lose != nil && h.f.lose(s)
		b, err := s.Append(nil, packet.FullChecksum)
		if err == nil && len(b) > h.takes() {
			err = syscall.EMSGSIZE
		}
		if err != nil {
			h.f.mu.Unlock()
			return i, err
		}
		var to *host
		for _, x := range h.f.hosts {
			for _, a := range x.addrs {
				if a == s.Dst.Addr() {
					to = x
				}
			}
		}
		h.f.mu.Unlock()
		if to == nil || lost {
			continue
		}
		to.arrive(b)
	}
	return len(batch), nil
}

// arrive puts a packet on its way to h.
func (h *host) arrive(b []byte) {
	select {
	case h.in <- parcel{b, time.Now().Add(h.f.delay)}:
	default: // its queue is full
	}
}

func (h *host) Route(local, remote netip.Addr, _ string) (link.Route, error) {
	for _, a := range h.addrs {
		if a.Is4() == remote.Is4() && (!local.IsValid() || local == a) {
			return link.Route{Source: a, IfIndex: 1, Interface: "f0", MTU: h.takes()}, nil
		}
	}
	return link.Route{}, link.ErrNoPort
}

type hostFlow struct {
	host          *host
	local, remote netip.AddrPort
	h             link.Handler
}

func (h *host) Connect(local, remote netip.AddrPort, ifIndex int, hd link.Handler) (link.Flow, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if local.Port() == 0 {
		if h.last != 0 && h.next >= h.last {
			return nil, link.ErrNoPort
		}
		h.next++
		local = netip.AddrPortFrom(local.Addr(), h.next)
	}
	return h.flow(local, remote, hd)
}

func (h *host) flow(local, remote netip.AddrPort, hd link.Handler) (link.Flow, error) {
	k := [2]netip.AddrPort{local, remote}
	if h.flows[k] != nil {
		return nil, link.ErrInUse
	}
	h.flows[k] = &hostFlow{h, local, remote, hd}
	return h.flows[k], nil
}

func (h *host) Listen(local netip.AddrPort, hd link.Handler) (link.Port, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &hostPort{h, local, hd}
	h.ports[netip.AddrPortFrom(netip.Addr{}, local.Port())] = p
	return p, nil
}

func (h *host) Close() error {
	h.mu.Lock()
	h.refuse = link.ErrClosed
	h.mu.Unlock()
	h.once.Do(func() { close(h.done) })
	h.gone.Wait()
	return nil
}

func (f *hostFlow) Local() netip.AddrPort  { return f.local }
func (f *hostFlow) Remote() netip.AddrPort { return f.remote }
func (f *hostFlow) Inlet() link.Inlet      { return f.host }
func (f *hostFlow) Super() int             { return int(f.host.super.Load()) }
func (f *hostFlow) Acked(uint32)           {}
func (f *hostFlow) Lost(uint32, bool)      {}
func (f *hostFlow) Listener() link.Handler {
	f.host.mu.Lock()
	defer f.host.mu.Unlock()
	if p := f.host.ports[netip.AddrPortFrom(netip.Addr{}, f.local.Port())]; p != nil {
		return p.h
	}
	return nil
}
func (f *hostFlow) Inherit(_ int, h link.Handler) (link.Flow, error) {
	f.host.mu.Lock()
	defer f.host.mu.Unlock()
	to := &hostFlow{f.host, f.local, f.remote, h}
	f.host.flows[[2]netip.AddrPort{f.local, f.remote}] = to
	return to, nil
}
func (f *hostFlow) Close() {
	f.host.mu.Lock()
	defer f.host.mu.Unlock()
	if k := [2]netip.AddrPort{f.local, f.remote}; f.host.flows[k] == f {
		delete(f.host.flows, k)
	}
}

type hostPort struct {
	host  *host
	local netip.AddrPort
	h     link.Handler
}

func (p *hostPort) Local() netip.AddrPort { return p.local }
func (p *hostPort) Accept(local, remote netip.AddrPort, _ int, h link.Handler) (link.Flow, error) {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	return p.host.flow(local, remote, h)
}

func (p *hostPort) Close() error {
	p.host.mu.Lock()
	defer p.host.mu.Unlock()
	delete(p.host.ports, netip.AddrPortFrom(netip.Addr{}, p.local.Port()))
	return nil
}
