package mptcp

import (
	"context"
	"crypto/rand"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/rawip"
	"github.com/mptcp-go/mptcp/internal/wire/stack"
)

// Transport owns what connections share: the table of tokens, what is known of peers, the watch over the
// local addresses and the memory budget. The zero value works; Close it when done. Dialer and ListenConfig with a
// nil Transport use DefaultTransport. Its fields must not be changed after first use.
type Transport struct {
	Interfaces func(net.Interface) bool // which interfaces subflows may use; nil: all that are up and not loopback
	Network    Network                  // nil: the operating system

	// Control is called for every socket before it connects or listens, as in net.Dialer; nil: nothing. One that
	// binds the first subflow's socket to a device makes the connection plain TCP, unless Multipath is MultipathOn.
	// ModeWire has no socket of a connection's own: its raw sockets serve all connections of the Transport, and what is set
	// on one would hold for them all; nothing is sent or received through the sockets that keep its ports. Control is called
	// for none of them.
	Control func(network, address string, c syscall.RawConn) error

	// MemoryLimit is in bytes, of all buffers of all connections; 0: a quarter of the machine's memory. At the limit
	// Write waits, windows shrink to 64 KiB as they are used up, and what arrives out of order is dropped, to be sent again.
	MemoryLimit int64

	// SuperSegments says how the wire carrier may hand the kernel up to 64 KiB at once, to be split on the way out;
	// the zero value takes the fastest way that proves to work. Other carriers do not ask.
	SuperSegments SuperSegments

	// Capture, if it is not nil, is shown every IP packet of ModeWire, before it leaves or when it has arrived. It must
	// be quick and must not keep the packet; it is called from several goroutines at once.
	Capture func(at time.Time, sent bool, packet []byte)

	mu     sync.Mutex
	shared *shared // made at first use
}

// SuperSegments says how the wire carrier may send segments of up to 64 KiB, which the kernel or the device splits.
// Each way is tried while a connection runs, counts once the peer has acknowledged what went there, and is left
// at the first sign of loss.
type SuperSegments uint8

const (
	SuperSegmentsAuto     SuperSegments = iota // through the loopback interface where its sysctls allow it, else straight to the device where no filter, tunnel or IPsec would be passed by
	SuperSegmentsLoopback                      // through the loopback interface alone: every packet passes the host's filters
	SuperSegmentsOff                           // segments of the path's MTU, through the raw socket alone
)

// The values are rawip's.
var _ = [1]struct{}{}[uint8(SuperSegmentsOff)-uint8(rawip.SuperOff)+uint8(SuperSegmentsLoopback)-uint8(rawip.SuperLoopback)]

// DefaultTransport serves every Dialer and ListenConfig that names no other. It holds nothing before
// its first use.
var DefaultTransport = &Transport{}

// maxTokens bounds the token table of a Transport: one entry per multipath connection.
const maxTokens = 1 << 20

// lastConn is the newest connection's ID: IDs are never reused within a process.
var lastConn atomic.Uint64

// shared is the state that a Transport's connections and listeners share.
type shared struct {
	net      Network
	memory   *budget
	verdicts *verdicts // who speaks the stream carrier
	kernels  *verdicts // who answers the kernel's MPTCP; only refusals are kept
	addrs    *addrBook
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc

	wireMu     sync.Mutex
	wire       *stack.Stack // our own TCP, made at first use
	link       *rawip.Link  // below it
	super      rawip.SuperMode
	capture    func(time.Time, bool, []byte)
	blackholes blackholes

	tokenMu sync.Mutex
	tokens  *engine.Tokens[*member]

	mu        sync.Mutex
	closed    bool
	members   map[extapi.ConnID]*member
	listeners map[*Listener]struct{}
}

// use returns the shared state and makes it on the first call.
func (t *Transport) use() *shared {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shared != nil {
		return t.shared
	}
	s := &shared{
		net:       t.Network,
		super:     rawip.SuperMode(t.SuperSegments),
		memory:    newBudget(t.MemoryLimit),
		capture:   t.Capture,
		verdicts:  newVerdicts(),
		kernels:   newVerdicts(),
		members:   make(map[extapi.ConnID]*member),
		listeners: make(map[*Listener]struct{}),
		tokens:    engine.NewTokens[*member](rand.Reader, maxTokens),
	}
	if s.net == nil {
		s.net = &system{}
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.addrs = newAddrBook(s, t.Interfaces)
	t.shared = s
	return s
}

// peek is the shared state if there is any.
func (t *Transport) peek() *shared {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shared
}

// Shutdown waits until everything written on closed connections is delivered, or ctx ends: call it before the
// process exits, since a userspace transport cannot deliver after that. It does not close connections that are
// open: close them first. Of ModeWire it waits also until the subflows of what was delivered have been closed, or for a
// second: Close would reset them. The error is ctx's; Close aborts what is left.
func (t *Transport) Shutdown(ctx context.Context) error {
	s := t.peek()
	if s == nil {
		return nil
	}
	flushed := make(map[*member]bool)
	for {
		m := s.lingering(flushed)
		if m == nil {
			return s.settleWire(ctx)
		}
		flushed[m] = true
		if d := m.driver.Load(); d != nil {
			_ = d.Flush(ctx) // a connection that has failed has nothing to deliver any more
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// lingering finds a closed connection that is not in flushed.
func (s *shared) lingering(flushed map[*member]bool) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		if m.closing && !flushed[m] {
			return m
		}
	}
	return nil
}

// Close aborts every connection, closes every listener and stops watching addresses. The Transport
// opens nothing afterwards: dials and listens fail with net.ErrClosed.
func (t *Transport) Close() error {
	s := t.use()
	s.mu.Lock()
	s.closed = true
	listeners, members := s.listeners, s.members
	s.listeners, s.members = make(map[*Listener]struct{}), make(map[extapi.ConnID]*member)
	s.mu.Unlock()
	s.cancel()
	for l := range listeners {
		l.Close()
	}
	for _, m := range members {
		if c := m.conn.Load(); c != nil {
			c.b.Abort(engine.ResetUnspecified)
		}
	}
	s.closeWire()
	return nil
}

// Conns returns a snapshot of every open connection of any carrier, oldest first.
func (t *Transport) Conns() []extapi.ConnInfo {
	s := t.peek()
	if s == nil {
		return nil
	}
	conns := s.conns()
	infos := make([]extapi.ConnInfo, 0, len(conns))
	for _, c := range conns {
		infos = append(infos, c.Info())
	}
	return infos
}

// Conn finds an open connection by its ID.
func (t *Transport) Conn(id extapi.ConnID) (*Conn, bool) {
	s := t.peek()
	if s == nil {
		return nil, false
	}
	s.mu.Lock()
	m := s.members[id]
	gone := m == nil || m.closing
	s.mu.Unlock()
	if gone {
		return nil, false
	}
	c := m.conn.Load()
	return c, c != nil
}

// Addrs lists the local addresses that subflows may use, each with its interface.
func (t *Transport) Addrs() []extapi.Candidate {
	return slices.Clone(t.use().addrs.current())
}

// watchError says why address changes are not reported as events.
func (t *Transport) watchError() error { return t.use().addrs.watchable() }

// conns are the connections that a program holds, oldest first.
func (s *shared) conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*Conn, 0, len(s.members))
	for _, m := range s.members {
		if c := m.conn.Load(); c != nil && !m.closing {
			conns = append(conns, c)
		}
	}
	slices.SortFunc(conns, func(a, b *Conn) int { return int(int64(a.id) - int64(b.id)) })
	return conns
}
