package stack

import (
	"container/list"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// Stack is the userspace TCP of one link.
type Stack struct {
	epoch  time.Time // of all its times, the link's too
	secret tcp.Secret
	rand   io.Reader
	link   link.Link
	resets limiter

	mu     sync.Mutex
	closed bool
	dirty  []*port // handled segments since the last Flush
	spare  []*port
	stall  stall
	conns  map[*driver.Conn]*conn
	ports  map[*port]bool // true: no driver.Conn looks after it yet

	listeners map[*Listener]struct{}
	past      past
	count     mib.Table
	waits     waits
}

// New makes a stack. open opens its link; both count time from epoch.
func New(epoch time.Time, open func(link.Stack) (link.Link, error)) (*Stack, error) {
	s := &Stack{epoch: epoch, resets: limiter{bucket: tcp.NewBucket(time.Second/maxResets, maxResets/10)}, rand: &locked{r: rand.Reader}, conns: make(map[*driver.Conn]*conn), ports: make(map[*port]bool), waits: waits{lists: make(map[pair]*list.List), accepted: maxAccepted}, listeners: make(map[*Listener]struct{})}
	if _, err := io.ReadFull(s.rand, s.secret[:]); err != nil {
		return nil, fmt.Errorf("no randomness for sequence numbers: %w", err)
	}
	var err error
	s.link, err = open(s)
	return s, err
}

func (s *Stack) now() time.Duration { return time.Since(s.epoch) }

// Close aborts the connections that are left, like one whose stream carrier has closed it and that still delivers, and
// ends the link. Nothing is kept of what could still be sent: an MP_FASTCLOSE is not repeated any more.
func (s *Stack) Close() error {
	s.mu.Lock()
	s.closed = true
	conns := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, d := range conns {
		_ = d.Abort(engine.ResetUnspecified) // it may have ended meanwhile
		d.AwaitSent()                        // else the RST of one that is sending finds the link closed
	}
	err := s.link.Close()
	s.waits.close()
	s.Writable(s.now()) // what waits is lost
	for _, p := range s.allPorts() {
		p.giveUp(link.ErrClosed)
	}
	return err
}

// HandleSegment answers what belongs to nobody (RFC 9293 section 3.10.7.1).
func (s *Stack) HandleSegment(now time.Duration, seg *packet.Segment, _ pool.Ref) {
	if rst, ok := tcp.Reset(seg); ok && s.resets.allow(now) {
		s.send(&rst, seg)
	}
}

// HandleICMP has nobody to tell.
func (s *Stack) HandleICMP(time.Duration, *packet.ICMPError) {}

// Changed makes nothing of a change that the address book does not see: a path that has become narrower
// says so by ICMP, or is found out by probing.
func (s *Stack) Changed(time.Duration) {}

// send sends one segment that no flow has, in answer to another.
func (s *Stack) send(seg, to *packet.Segment) {
	if link.LinkLocal(seg.Dst.Addr()) || link.LinkLocal(seg.Src.Addr()) {
		seg.IfIndex = to.IfIndex
	}
	b := batches.Get().(*batch)
	b.segs[0] = *seg
	_, _ = s.link.Send(b.segs[:1]) // it is lost like any other
	b.segs[0] = packet.Segment{}
	batches.Put(b)
}

// mark notes that p has handled a segment, whose consequences wait for Flush.
func (s *Stack) mark(p *port) {
	if !p.marked.CompareAndSwap(false, true) {
		return
	}
	s.mu.Lock()
	s.dirty = append(s.dirty, p)
	s.mu.Unlock()
}

// Flush lets the segments of a batch have their consequences. only is the *driver.Conn that they
// all have them for.
func (s *Stack) Flush(now time.Duration) (only any) {
	s.mu.Lock()
	list := s.dirty
	s.dirty, s.spare = s.spare, nil
	s.mu.Unlock()
	var conn *driver.Conn
	for i, p := range list {
		p.marked.Store(false)
		if d := p.flush(now); i == 0 {
			conn = d
		} else if d != conn {
			conn = nil
		}
		list[i] = nil
	}
	s.mu.Lock()
	if s.spare == nil {
		s.spare = list[:0]
	}
	s.mu.Unlock()
	if conn == nil {
		return nil
	}
	return conn
}

// watch keeps a port that no driver.Conn looks after; false: the stack is closed.
func (s *Stack) watch(p *port) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.ports[p] = true
	}
	return !s.closed
}

// allPorts are the ports that there are now.
func (s *Stack) allPorts() []*port {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.ports))
}

// unwatch leaves a port to a driver.Conn.
func (s *Stack) unwatch(p *port) {
	s.mu.Lock()
	s.ports[p] = false
	s.mu.Unlock()
}

func (s *Stack) find(d *driver.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[d]
}

// limiter is a tcp.Bucket that many may use at once.
type limiter struct {
	mu     sync.Mutex
	bucket tcp.Bucket
}

// maxResets is how many RSTs answer strays in a second: "rate limiting" as RFC 5961 section 7 has it for challenge ACKs.
const maxResets = 1000

func (l *limiter) allow(now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket.Take(now)
}

// locked is a source of randomness that several connections share.
type locked struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *locked) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return io.ReadFull(l.r, b)
}

func (s *Stack) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Source is the local address from which remote is reached through iface; "": by the routing table's choice. A
// valid local is what it has to be.
func (s *Stack) Source(local, remote netip.Addr, iface string) (netip.Addr, error) {
	iface = through(netip.AddrPortFrom(remote, 0), iface)
	r, err := s.link.Route(local.WithZone(""), remote.WithZone(""), iface)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("no route to %v: %w", remote, err)
	}
	return r.Source, nil
}
