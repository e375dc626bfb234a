package mptcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/stream"
)

// prefaceGrace is how long a listener whose server speaks first waits: a preface follows right behind
// the last segment of the TCP handshake, however far the client is.
const prefaceGrace = 10 * time.Millisecond

// errNotOurs ends a connection that RequireMultipath or Secret does not let in.
var errNotOurs = fmt.Errorf("%w, which this listener requires", ErrNotMultipath)

// errCrowded ends a connection that was silent when others needed its place.
var errCrowded = errors.New("mptcp: too many connections that say nothing")

// admit takes a fresh connection in. It never blocks.
func (l *Listener) admit(nc net.Conn) {
	setKeepAlive(nc, l.s.KeepAlive)
	g, ok := l.lobby.enter(nc)
	if !ok {
		nc.Close()
		return
	}
	l.background.Add(1)
	go func() {
		defer l.background.Done()
		c, err := l.greet(nc, g)
		l.lobby.leave(g)
		switch {
		case err != nil:
			l.s.Logger.Debug("mptcp: connection not accepted", "remote", nc.RemoteAddr(), "err", err)
		case c != nil:
			l.offer(c)
		}
	}()
}

// offer queues c for Accept. When nobody accepts for a whole backlog, the newest is turned away; for half a
// backlog, those that have said nothing: silence must not crowd out who speaks.
func (l *Listener) offer(c *Conn) {
	select {
	case <-l.done:
		c.discard()
		return
	default:
	}
	if c.b.silent() && 2*len(l.queue) >= cap(l.queue) {
		c.discard()
		return
	}
	select {
	case l.queue <- c:
	default:
		l.s.Logger.Warn("mptcp: backlog full; connection reset", "remote", c.remote)
		c.discard()
	}
}

// greet finds out what nc is and makes a Conn of it; none for a join, and for a connection that closes before
// its first byte. On error nc is closed.
func (l *Listener) greet(nc net.Conn, g *guest) (*Conn, error) {
	switch a, wired := nc.(*arrival); {
	case wired && a.b != nil:
		return l.acceptWire(a, g)
	case l.s.Mode == ModeTCP || l.s.Multipath == MultipathOff:
		return l.acceptPlain(newPlain(nc, extapi.FallbackDisabled), g)
	case l.s.Mode == ModeKernel:
		return l.acceptPlain(newPlain(nc, extapi.FallbackPeer), g)
	case isKernelMPTCP(nc):
		return l.greetKernel(nc, g)
	}
	o, err := l.sniff(nc, g)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	switch o.Kind() {
	case stream.KindJoin:
		l.lobby.shake(g)
		return nil, stream.ServeJoin(l.ctx, o, l.h.lookup, l.s.JoinTimeout)
	case stream.KindCapable:
		l.lobby.shake(g)
		return l.acceptStream(nc, o)
	}
	p := newPlain(nc, extapi.FallbackPeer)
	p.mute = o.Silent()
	return l.acceptPlain(p.after(o.Conn()), g)
}

// sniff waits for the first bytes.
func (l *Listener) sniff(nc net.Conn, g *guest) (*stream.Opening, error) {
	wait := l.patience()
	if l.s.RequireMultipath {
		// Nobody waits to be handed out as plain TCP. Who is silent has lost its first segment, or has no processor.
		wait = l.s.HandshakeTimeout
	}
	return stream.Sniff(nc, stream.SniffParams{
		First: wait, Handshake: l.s.HandshakeTimeout, Secret: len(l.s.Secret) > 0, Over: func() bool { return l.lobby.rushed(g) },
	})
}

// patience is how long to wait for a first byte.
func (l *Listener) patience() time.Duration {
	if l.s.ServerSpeaksFirst {
		return min(prefaceGrace, l.s.PrefaceTimeout)
	}
	return l.s.PrefaceTimeout
}

// isKernelMPTCP says that the kernel carries this connection over several paths: what it delivers is the
// application's, never a preface.
func isKernelMPTCP(nc net.Conn) bool {
	t, ok := nc.(*net.TCPConn)
	if !ok {
		return false
	}
	on, err := t.MultipathTCP()
	return err == nil && on
}

// greetKernel waits for the first byte of a kernel connection, without looking at it: discovery opens such
// connections and closes them unused.
func (l *Listener) greetKernel(nc net.Conn, g *guest) (*Conn, error) {
	r := &driver.PatientReader{Conn: nc, Over: func() bool { return l.lobby.rushed(g) }}
	r.Wait(l.patience())
	b := make([]byte, firstRead)
	n, err := r.Read(b)
	_ = nc.SetReadDeadline(time.Time{})
	p := newPlain(nc, extapi.FallbackPeer)
	switch {
	case n > 0:
		p.after(&putBack{Conn: nc, b: b[:n]})
	case errors.Is(err, io.EOF):
		nc.Close()
		return nil, nil
	case !isTimeout(err):
		nc.Close()
		return nil, err
	default:
		p.mute = true
	}
	return l.acceptPlain(p, g)
}

// firstRead is how much of a kernel connection's first bytes is read ahead of the program.
const firstRead = 512

// putBack is a connection some of whose bytes were read already.
type putBack struct {
	net.Conn
	b []byte
}

func (p *putBack) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return p.Conn.Read(b)
	}
	n := copy(b, p.b)
	p.b = p.b[n:]
	return n, nil
}

// settingsFor are the settings of a new connection between these addresses.
func (l *Listener) settingsFor(local, remote netip.AddrPort) (*settings, error) {
	if l.lc.ConfigForPeer == nil {
		return l.s, nil
	}
	cfg, err := l.lc.ConfigForPeer(local, remote)
	if err != nil || cfg == nil {
		return l.s, err
	}
	s := cfg.resolve()
	s.bound = l.s.bound
	s.RequireMultipath = s.RequireMultipath || l.s.RequireMultipath
	return s, nil
}

// acceptPlain lets a connection in that this package does not carry itself, if it may.
func (l *Listener) acceptPlain(p *plain, g *guest) (*Conn, error) {
	if !l.lobby.leave(g) {
		return nil, errCrowded
	}
	s, err := l.settingsFor(addrPort(p.nc.LocalAddr()), addrPort(p.nc.RemoteAddr()))
	if err == nil && (len(s.Secret) > 0 || s.RequireMultipath && !p.Multipath()) {
		err = errNotOurs
	}
	if err != nil {
		reset(p.nc)
		return nil, err
	}
	return l.h.adoptPlain(l.ctx, p, s)
}

// acceptStream completes the handshake of a stream peer.
func (l *Listener) acceptStream(nc net.Conn, o *stream.Opening) (*Conn, error) {
	s, err := l.settingsFor(addrPort(nc.LocalAddr()), addrPort(nc.RemoteAddr()))
	if err != nil {
		o.Refuse(ResetProhibited, false)
		return nil, err
	}
	m, err := l.h.newMember()
	if err == nil {
		err = m.draw()
	}
	if err != nil {
		o.Refuse(ResetResources, true)
		if m != nil {
			m.discard()
		}
		return nil, err
	}
	l.h.addrs.start()
	b := newMulti(m, s, addrPort(nc.LocalAddr()), addrPort(nc.RemoteAddr()))
	b.port, b.list, b.control = uint16(l.addr.Port), l.lc.Announce, l.control
	p := b.params(l.ctx, false)
	p.Path = b.describe(extapi.Candidate{})
	p.Open = b.openJoin
	var proof chan struct{}
	if len(s.Secret) > 0 {
		proof = make(chan struct{}, 1)
		p.Trace = func(i extapi.ConnInfo) extapi.Tracer {
			return extapi.MultiTracer(newTracer(l.ctx, s, i), proofTracer(proof))
		}
	}
	d, err := stream.Server(l.ctx, o, p)
	if err == nil && proof != nil {
		err = l.awaitProof(d, proof)
	}
	if err != nil {
		m.discard()
		return nil, err
	}
	return b.adopt(d)
}

// awaitProof waits until the peer has shown that it knows the secret: before, the program gets to see nothing of it.
func (l *Listener) awaitProof(d *driver.Conn, proof <-chan struct{}) error {
	t := time.NewTimer(l.s.HandshakeTimeout)
	defer t.Stop()
	err := os.ErrDeadlineExceeded
	select {
	case <-proof:
		return nil
	case <-d.Context().Done():
		err = context.Cause(d.Context())
	case <-l.ctx.Done():
		err = net.ErrClosed
	case <-t.C:
	}
	_ = d.Abort(ResetProhibited) // it never was
	return err
}

// proofTracer ticks when the connection is established.
type proofTracer chan struct{}

func (p proofTracer) Trace(_ time.Duration, ev extapi.Event) {
	if _, ok := ev.(extapi.ConnEstablished); ok {
		select {
		case p <- struct{}{}:
		default: // once is enough
		}
	}
}

func (proofTracer) Close() error { return nil }
