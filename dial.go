package mptcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/stream"
)

// errDeviceBound stops a dial whose Control bound a device: RFC 6897 section 4.2.1 wants plain TCP there.
var errDeviceBound = errors.New("mptcp: Control bound the socket to a device")

// open makes a connection over one route, with the carrier that the configuration and the peer call for.
func (x *dial) open(ctx context.Context, r route, connected func()) (*Conn, error) {
	c, err := x.carry(ctx, r, connected)
	switch {
	case errors.Is(err, errDeviceBound):
		c, err = x.plain(ctx, r, plainTCP, extapi.FallbackBound, connected)
	case noTokens(err): // RFC 8684 section 3.1: no unique token to be had, so regular TCP
		c, err = x.plain(ctx, r, kernelTCP, extapi.FallbackPeer, connected)
	}
	switch {
	case err == nil:
		return c, nil
	case x.h.ctx.Err() != nil:
		err = net.ErrClosed
	case ctx.Err() != nil:
		err = ctx.Err()
	case (isNotStream(err) || peerIsFull(err)) && !errors.Is(err, ErrNotMultipath):
		err = fmt.Errorf("%w: %w", ErrNotMultipath, err)
	}
	if op, ok := err.(*net.OpError); ok { // it repeats what PathError says
		err = op.Err
	}
	return nil, &PathError{Op: "dial", Local: r.local, Remote: r.remote, Err: err}
}

// carry chooses the carrier.
func (x *dial) carry(ctx context.Context, r route, connected func()) (*Conn, error) {
	s := x.s
	switch {
	case s.Mode == ModeTCP || s.Multipath == MultipathOff:
		return x.plain(ctx, r, plainTCP, extapi.FallbackDisabled, connected)
	case s.bound.IsValid() && s.Multipath != MultipathOn:
		return x.plain(ctx, r, plainTCP, extapi.FallbackBound, connected)
	case s.Mode == ModeWire:
		return x.wire(ctx, r, connected)
	case s.Mode == ModeKernel:
		return x.plain(ctx, r, kernelTCP, extapi.FallbackPeer, connected)
	case namedPeer(s.Peers, x.host, r.remote):
		return x.named(ctx, r, connected)
	case len(s.Secret) > 0, s.Mode == ModeStream && s.RequireMultipath:
		return x.stream(ctx, r, s.HandshakeTimeout, connected)
	case s.Mode == ModeStream || mayAsk(s.Discovery, r.remote):
		return x.discover(ctx, r, connected)
	}
	return x.plain(ctx, r, kernelTCP, extapi.FallbackDiscovery, connected)
}

// socket opens the TCP connection of a first subflow.
func (x *dial) socket(ctx context.Context, r route, kernel bool) (net.Conn, error) {
	spec := r.spec(kernel)
	bound := false
	if control := x.t.Control; control != nil {
		spec.Control = func(network, address string, c syscall.RawConn) error {
			if err := control(network, address, c); err != nil {
				return err
			}
			device := boundDevice(c)
			bound = device != "" && device != r.leave
			return nil
		}
	}
	nc, err := x.h.net.Dial(ctx, spec)
	if err != nil {
		return nil, err
	}
	if bound && x.s.Multipath != MultipathOn && x.multipathWanted(kernel) {
		nc.Close()
		return nil, errDeviceBound
	}
	setKeepAlive(nc, x.s.KeepAlive)
	return nc, nil
}

// multipathWanted says whether the socket was meant to carry multipath, either way.
func (x *dial) multipathWanted(kernel bool) bool {
	return kernel || x.s.Mode != ModeTCP && x.s.Multipath != MultipathOff
}

// Kinds of plain connection.
const (
	plainTCP  = false
	kernelTCP = true
)

// plain opens a connection that this package does not carry itself. why is what Info says of it when
// the operating system's multipath is not in it either.
func (x *dial) plain(ctx context.Context, r route, kernel bool, why extapi.FallbackReason, connected func()) (*Conn, error) {
	p, err := x.plainSocket(ctx, r, kernel, why, connected)
	if err != nil {
		return nil, err
	}
	return x.h.adoptPlain(x.trace, p, x.s)
}

// plainSocket is plain without the Conn: nobody hears of it yet.
func (x *dial) plainSocket(ctx context.Context, r route, kernel bool, why extapi.FallbackReason, connected func()) (*plain, error) {
	if len(x.s.Secret) > 0 {
		return nil, fmt.Errorf("%w: Config.Secret needs the stream carrier", ErrNotMultipath)
	}
	if x.s.RequireMultipath && (!kernel || why == extapi.FallbackBound) {
		return nil, fmt.Errorf("%w: %s", ErrNotMultipath, whyPlain(why))
	}
	kernel = kernel && x.s.Mode != ModeStream
	var nc net.Conn
	var err error
	switch {
	case why == extapi.FallbackBound || why == extapi.FallbackDisabled:
		nc, err = x.unasked(ctx, r)
	case kernel:
		nc, err = x.offer(ctx, r)
	default:
		nc, err = x.socket(ctx, r, plainTCP)
	}
	if err != nil {
		return nil, err
	}
	connected()
	p := newPlain(nc, why)
	if x.s.RequireMultipath && !p.Multipath() {
		nc.Close()
		return nil, fmt.Errorf("%w: neither the stream carrier nor the operating system's MPTCP was answered", ErrNotMultipath)
	}
	return p, nil
}

// unasked opens a socket on which nothing of multipath is wanted.
func (x *dial) unasked(ctx context.Context, r route) (net.Conn, error) {
	spec := r.spec(false)
	spec.Control = x.t.Control
	nc, err := x.h.net.Dial(ctx, spec)
	if err == nil {
		setKeepAlive(nc, x.s.KeepAlive)
	}
	return nc, err
}

// whyPlain puts a reason for plain TCP in words that say what to do.
func whyPlain(why extapi.FallbackReason) string {
	switch why {
	case extapi.FallbackBound:
		return "a Dialer bound to an address or device needs MultipathOn (RFC 6897 section 4.2.1)"
	case extapi.FallbackDisabled:
		return "the configuration asks for plain TCP"
	}
	return "the peer does not speak it"
}

// named dials a peer from Config.Peers: no question, and data with the first message, unless the
// answer has to be known first.
func (x *dial) named(ctx context.Context, r route, connected func()) (*Conn, error) {
	if x.s.RequireMultipath || len(x.s.Secret) > 0 {
		return x.stream(ctx, r, x.s.HandshakeTimeout, connected)
	}
	nc, err := x.socket(ctx, r, false)
	if err != nil {
		return nil, err
	}
	connected()
	return x.subflow(nc, r, func(nc net.Conn, p stream.Params) (*driver.Conn, error) {
		return stream.ClientEarly(nc, p)
	})
}

// stream opens a stream connection and waits for the whole handshake, of which the answer may take patience; 0: max(2 RTT, answerWait).
func (x *dial) stream(ctx context.Context, r route, patience time.Duration, connected func()) (*Conn, error) {
	begin := time.Now()
	nc, err := x.socket(ctx, r, false)
	if err != nil {
		return nil, err
	}
	connected()
	if patience == 0 {
		patience = max(2*time.Since(begin), answerWait)
	}
	c, err := x.subflow(nc, r, func(nc net.Conn, p stream.Params) (*driver.Conn, error) {
		p.HandshakeTimeout = min(p.HandshakeTimeout, patience)
		return stream.Client(ctx, nc, p)
	})
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return c, err
}

// subflow makes nc the first subflow of a connection of ours.
func (x *dial) subflow(nc net.Conn, r route, shake func(net.Conn, stream.Params) (*driver.Conn, error)) (*Conn, error) {
	m, err := x.h.newMember()
	if err == nil {
		err = m.draw()
	}
	if err != nil {
		nc.Close()
		if m != nil {
			m.discard()
		}
		return nil, err
	}
	x.h.addrs.start()
	b := newMulti(m, x.s, addrPort(nc.LocalAddr()), addrPort(nc.RemoteAddr()))
	b.control = x.t.Control
	p := b.params(x.trace, true)
	p.Path, p.Role = b.describe(r.path), r.role
	p.Open = b.openJoin
	d, err := shake(nc, p)
	if err != nil {
		m.discard()
		return nil, err
	}
	return b.adopt(d)
}

// isNotStream says that the peer, as opposed to the path to it, is why err came about.
func isNotStream(err error) bool { return errors.Is(err, stream.ErrNotStream) }

// peerIsFull says that the peer speaks the stream carrier and has no room for one more connection on it: out of tokens.
func peerIsFull(err error) bool {
	var r *ResetError
	return errors.As(err, &r) && r.Remote && r.Reason == ResetResources
}

// noTokens says that this host is out of tokens: RFC 8684 section 3.1 then wants plain TCP.
func noTokens(err error) bool { return errors.Is(err, engine.ErrTokens) }
