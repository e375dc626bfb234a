package mptcp

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/stream"
	"github.com/mptcp-go/mptcp/scheduler"
)

// multi carries a connection over subflows of this package's own: the driver's connection, with what only
// the Transport knows about addresses.
type multi struct {
	*driver.Conn

	m       *member
	s       *settings
	first   netip.AddrPort // the first subflow's local address
	local   netip.Addr
	remote  netip.AddrPort
	port    uint16           // of the listener; 0: we dialled
	list    []netip.AddrPort // ListenConfig.Announce
	control func(network, address string, c syscall.RawConn) error
}

func newMulti(m *member, s *settings, local, remote netip.AddrPort) *multi {
	return &multi{m: m, s: s, first: local, local: local.Addr(), remote: remote}
}

// onLoopback says whether the first subflow is on loopback.
func (b *multi) onLoopback() bool { return b.local.IsLoopback() || b.remote.Addr().IsLoopback() }

// engine is the configuration of the connection's semantic half.
func (b *multi) engine(client bool) engine.Config {
	s := b.s
	return engine.Config{
		Client:          client,
		Rand:            rand.Reader,
		Memory:          b.m.s.memory,
		Policy:          s.Paths,
		Scheduler:       newScheduler(s.Scheduler),
		SchedName:       s.Scheduler.Name(),
		SendBuffer:      s.SendBuffer,
		RecvBuffer:      s.RecvBuffer,
		Checksum:        s.Checksum,
		Secret:          s.Secret,
		JoinDelay:       joinDelay,
		JoinBytes:       joinBytes,
		StallTimeout:    s.StallTimeout,
		IdlePathTimeout: s.IdlePathTimeout,
		NoPathTimeout:   s.NoPathTimeout,
		CloseTimeout:    s.CloseTimeout,
		Loopback:        b.onLoopback(),
		Tracing:         s.Trace != nil,
	}
}

// newScheduler asks the program's factory for the scheduler of a connection. Where it panics the default takes over, as where
// a scheduler of its does.
func newScheduler(f scheduler.Factory) (s scheduler.Scheduler) {
	defer func() {
		if v := recover(); v != nil {
			s = failedScheduler{v}
		}
	}()
	return f.New()
}

// failedScheduler stands for one that could not be made.
type failedScheduler struct{ value any }

func (s failedScheduler) Next(*scheduler.View) scheduler.Decision { panic(s.value) }
func (s failedScheduler) OnPathChange(*scheduler.View)            { panic(s.value) }

// params are the first subflow's, for package stream.
func (b *multi) params(ctx context.Context, client bool) stream.Params {
	s := b.s
	return stream.Params{
		ID:               b.m.id,
		Engine:           b.engine(client),
		Key:              b.m.key,
		HandshakeTimeout: s.HandshakeTimeout,
		JoinTimeout:      s.JoinTimeout,
		Trace:            b.trace(ctx),
		OnClosed:         func(*driver.Conn) { b.m.close() },
		OnDone:           func(*driver.Conn) { b.m.discard() },
	}
}

// trace is the driver's: nil where nobody listens, so that ctx is not kept for the connection's life.
func (b *multi) trace(ctx context.Context) func(extapi.ConnInfo) extapi.Tracer {
	s := b.s
	if !traced(ctx, s) {
		return nil
	}
	return func(i extapi.ConnInfo) extapi.Tracer { return newTracer(ctx, s, i) }
}

// describe completes what is known of the first subflow's path by what its local address tells.
func (b *multi) describe(c extapi.Candidate) extapi.Candidate {
	if c.Interface == "" {
		c, _ = b.m.s.addrs.find(b.local)
	}
	c.Local, c.Remote = b.first, b.remote
	return c
}

// adopt makes a Conn of b once d has shaken hands.
func (b *multi) adopt(d *driver.Conn) (*Conn, error) {
	b.Conn = d
	c := &Conn{id: b.m.id, b: b, local: tcpAddr(d.LocalAddr()), remote: tcpAddr(d.RemoteAddr())}
	b.m.driver.Store(d)
	b.m.conn.Store(c)
	b.setLocals()
	if b.m.s.ctx.Err() != nil {
		d.Abort(engine.ResetUnspecified)
		return nil, net.ErrClosed
	}
	return c, nil
}

// setLocals tells the connection which local addresses it may use, and which to announce.
func (b *multi) setLocals() {
	addrs := b.m.s.addrs
	var list []extapi.Candidate
	var ours []netip.AddrPort
	tunnel := false
	switch {
	case b.s.bound.IsValid():
		if c, ok := addrs.find(b.s.bound); ok {
			list = []extapi.Candidate{c}
		} else {
			list = []extapi.Candidate{{Local: netip.AddrPortFrom(b.s.bound, 0)}}
		}
	case b.onLoopback():
		list = addrs.loopback()
	default:
		list = addrs.current()
		tunnel, ours = addrs.tunnel(), b.m.s.listening(list)
	}
	b.Update(func(now time.Duration, e *engine.Conn) {
		e.SetTunnel(now, tunnel)
		e.SetListening(ours)
		e.SetLocalAddrs(now, list)
	})
	if b.port == 0 {
		return
	}
	public := slices.DeleteFunc(slices.Clone(list), func(c extapi.Candidate) bool { return !addrs.announceable(c) })
	own := announcement(b.list, b.s.bound, public, b.local, b.port)
	b.SetAnnounce(own, b.list == nil)
}

// openJoin opens the TCP connection of a further subflow, through the interface that it is meant for.
func (b *multi) openJoin(ctx context.Context, r engine.JoinRequest) (net.Conn, error) {
	if !b.m.s.addrs.hasRoute(r.Path.IfIndex, r.Path.Remote.Addr()) {
		return nil, fmt.Errorf("mptcp: no route to %v through %s", r.Path.Remote.Addr(), r.Path.Interface)
	}
	spec := DialSpec{Remote: r.Path.Remote, Control: b.control}
	if ip := r.Path.Local.Addr(); ip.IsValid() && !ip.IsUnspecified() {
		spec.Local = r.Path.Local
	}
	if r.Path.Kind != extapi.KindLoopback && !r.Path.Remote.Addr().IsLoopback() && !b.s.bound.IsValid() {
		spec.Interface = r.Path.Interface
	}
	nc, err := b.m.s.net.Dial(ctx, spec)
	if err == nil {
		setKeepAlive(nc, b.s.KeepAlive)
	}
	return nc, err
}

func (b *multi) silent() bool            { return false }
func (b *multi) Multipath() bool         { return true }
func (b *multi) sockets() []net.Conn     { return b.NetConns() }
func (b *multi) paths() pathControl      { return b }
func (b *multi) setLinger(sec int) error { return b.SetLinger(sec) }

// Close also counts for the Transport at once: OnClosed has to wait while another goroutine tells of an event.
func (b *multi) Close() error {
	b.m.close()
	return b.Conn.Close()
}

// Abort too.
func (b *multi) Abort(r engine.ResetReason) error {
	b.m.close()
	return b.Conn.Abort(r)
}

func (b *multi) discard() { b.Conn.Abort(engine.ResetUnspecified) }
