package mptcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/wire"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/rawip"
	"github.com/mptcp-go/mptcp/internal/wire/stack"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// errWireNetwork: a simulated or foreign network has connections, not packets.
var errWireNetwork = fmt.Errorf("mptcp: ModeWire needs the operating system's network; with Transport.Network set use ModeStream: %w", errors.ErrUnsupported)

// wireError says why the wire carrier cannot be used here.
func (t *Transport) wireError() error {
	if t.Network != nil {
		return errWireNetwork
	}
	return permitted(rawip.Available())
}

// permitted makes ErrNotPermitted of what lacks a privilege.
func permitted(err error) error {
	if errors.Is(err, os.ErrPermission) && !errors.Is(err, ErrNotPermitted) {
		return &PermissionError{err}
	}
	return err
}

// PermissionError wraps what says how to get the privilege that ModeWire needs. errors.Is(err, ErrNotPermitted) holds.
type PermissionError struct{ Err error }

func (e *PermissionError) Error() string { return "mptcp: raw sockets not permitted: " + e.Err.Error() }

// Unwrap gives ErrNotPermitted and the reason.
func (e *PermissionError) Unwrap() []error { return []error{ErrNotPermitted, e.Err} }

// userspace is the Transport's own TCP; it is made at first use.
func (s *shared) userspace() (*stack.Stack, error) {
	if _, system := s.net.(*system); !system {
		return nil, errWireNetwork
	}
	s.wireMu.Lock()
	defer s.wireMu.Unlock()
	if s.wire != nil {
		return s.wire, nil
	}
	if s.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	epoch := time.Now()
	clock := func() time.Duration { return time.Since(epoch) }
	open := func(ls link.Stack) (link.Link, error) {
		l, err := rawip.Open(rawip.Config{Clock: clock, Super: s.super}, ls)
		s.link = l
		return l, err
	}
	if s.capture != nil {
		open = link.Watched(clock, capturing(epoch, s.capture), open)
	}
	w, err := stack.New(epoch, open)
	if err != nil {
		return nil, permitted(err)
	}
	s.wire = w
	return w, nil
}

// settleWire waits for the ends of subflows that are under way.
func (s *shared) settleWire(ctx context.Context) error {
	s.wireMu.Lock()
	own := s.wire
	s.wireMu.Unlock()
	if own == nil {
		return nil
	}
	return own.Settle(ctx)
}

// closeWire ends the Transport's own TCP.
func (s *shared) closeWire() {
	s.wireMu.Lock()
	defer s.wireMu.Unlock()
	if s.wire != nil {
		_ = s.wire.Close() // nothing is left that could hear of it
	}
}

// wire dials over our own TCP.
func (x *dial) wire(ctx context.Context, r route, connected func()) (*Conn, error) {
	if len(x.s.Secret) > 0 {
		return nil, fmt.Errorf("%w: Config.Secret needs the stream carrier", ErrNotMultipath)
	}
	w, err := x.h.userspace()
	if err != nil {
		return nil, err
	}
	source, err := w.Source(r.local.Addr(), r.remote.Addr(), r.leave)
	if err != nil {
		return nil, err
	}
	m, err := x.h.newMember()
	if err != nil {
		return nil, err
	}
	plain := extapi.FallbackNone
	switch err := m.draw(); {
	case noTokens(err):
		plain = extapi.FallbackPeer
	case err != nil:
		m.discard()
		return nil, err
	}
	if x.h.blackholes.has(r.remote.Addr(), time.Now()) {
		plain = extapi.FallbackBlackhole
	}
	x.h.addrs.start()
	b := newMulti(m, x.s, netip.AddrPortFrom(source, r.local.Port()), r.remote)
	seed := b.seed(x.trace, true)
	seed.Plain = plain
	seed.Path = firstPath(b.describe(r.path), r.role)
	d, result, err := w.Dial(ctx, seed, netip.AddrPortFrom(source, r.local.Port()), r.remote, r.leave)
	if err != nil {
		m.discard()
		return nil, err
	}
	connected()
	x.h.blackholes.learn(r.remote.Addr(), result, time.Now())
	if x.s.RequireMultipath && result.Fallback != extapi.FallbackNone {
		_ = d.Abort(engine.ResetUnspecified) // nobody has seen it
		return nil, fmt.Errorf("%w: %s", ErrNotMultipath, whyPlain(result.Fallback))
	}
	return b.adopt(d)
}

// firstPath describes the path of a first subflow to the engine.
func firstPath(c extapi.Candidate, role extapi.Role) engine.FlowParams {
	return engine.FlowParams{
		Interface: c.Interface, IfIndex: c.IfIndex, Kind: c.Kind, Cost: c.Cost, Role: role, Backup: role == extapi.RoleBackup,
	}
}

// seed is what a connection of our own TCP is made from.
func (b *multi) seed(ctx context.Context, client bool) stack.Seed {
	s := b.s
	seed := stack.Seed{
		Offer: wireOffer(s),
		Key:   b.m.key,
		Driver: driver.Params{
			ID: b.m.id, Engine: b.engine(client), JoinTimeout: s.JoinTimeout,
			OnClosed: func(*driver.Conn) { b.m.close() },
			OnDone:   func(*driver.Conn) { b.m.discard() },
		},
		TCP: func() tcp.Config { return wireTCP(s) }, Congestion: wireCongestion(s),
	}
	seed.Driver.Trace = b.trace(ctx)
	return seed
}

// wireOffer is what the settings say of Multipath TCP's handshake.
func wireOffer(s *settings) engine.CapableOffer { return engine.CapableOffer{Checksum: s.Checksum} }

// wireTCP is what the settings say of every subflow of our own TCP.
func wireTCP(s *settings) tcp.Config {
	return tcp.Config{NoDelay: true, ECNAnswer: true, Pacing: true, RecvBuffer: s.RecvBuffer, SendBuffer: s.SendBuffer, KeepAlive: keepAlive(s.KeepAlive)}
}

// wireCongestion is the congestion control of our own TCP: CUBIC, as the operating systems have it, unless the program
// chooses.
func wireCongestion(s *settings) congestion.Factory {
	if s.Congestion == nil {
		return congestion.Cubic
	}
	return s.Congestion
}

// keepAlive is cfg for our own TCP; the zero value is package net's default.
func keepAlive(cfg net.KeepAliveConfig) tcp.KeepAlive {
	switch {
	case cfg == (net.KeepAliveConfig{}):
		return tcp.KeepAlive{Idle: keepAliveEvery, Interval: keepAliveEvery}
	case !cfg.Enable:
		return tcp.KeepAlive{}
	}
	return tcp.KeepAlive{
		Idle: orDefault(cfg.Idle, keepAliveEvery), Interval: orDefault(cfg.Interval, keepAliveEvery), Count: max(cfg.Count, 0),
	}
}

// arrival is a connection that has come to a listener of our own TCP. With b it is multipath or was meant to be;
// without, it is plain TCP, on which a stream peer may speak.
type arrival struct {
	*driver.Conn
	b      *multi
	result wire.Result
}

// acceptWire lets in a connection whose peer asked for Multipath TCP.
func (l *Listener) acceptWire(a *arrival, g *guest) (*Conn, error) {
	if !l.lobby.leave(g) {
		return nil, errCrowded
	}
	if s := a.b.s; len(s.Secret) > 0 || s.RequireMultipath && a.result.Fallback != extapi.FallbackNone {
		_ = a.Abort(engine.ResetProhibited) // nobody has seen it
		return nil, errNotOurs
	}
	return a.b.adopt(a.Conn)
}
