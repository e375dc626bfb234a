package mptcp

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
)

// plain carries a connection over one connection of somebody else's: plain TCP, the kernel's MPTCP, or what
// a Network of the program's own dialled.
type plain struct {
	m      *member
	nc     net.Conn     // what carries the bytes
	in     net.Conn     // what to read first: nc with sniffed bytes put back, or on guard against a late preface
	tcp    *net.TCPConn // nc as the kernel's socket; nil when it is none
	why    extapi.FallbackReason
	events *plainEvents

	kernel   bool        // the kernel's MPTCP carried it when it was new
	mute     bool        // accepted without a byte from the peer
	direct   atomic.Bool // in has nothing left that nc has not
	sent     atomic.Uint64
	received atomic.Uint64

	closed sync.Once
	began  time.Time
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func newPlain(nc net.Conn, why extapi.FallbackReason) *plain {
	p := &plain{nc: nc, in: nc, why: why}
	p.tcp, _ = nc.(*net.TCPConn)
	p.kernel = isKernelMPTCP(nc)
	p.direct.Store(true)
	return p
}

// after makes p read from in first: from what wraps nc and knows more.
func (p *plain) after(in net.Conn) *plain {
	p.in = in
	p.direct.Store(in == p.nc)
	return p
}

func (p *plain) Read(b []byte) (int, error) {
	src := p.nc
	if !p.direct.Load() {
		src = p.in
	}
	n, err := src.Read(b)
	if n > 0 {
		p.received.Add(uint64(n))
		if n < len(b) && src == p.in {
			p.direct.Store(true) // what was put back is a few bytes: a read with room to spare took it all
		}
	}
	if err != nil && isFatal(err) {
		p.cancel(err)
	}
	return n, err
}

func (p *plain) Write(b []byte) (int, error) {
	n, err := p.nc.Write(b)
	p.sent.Add(uint64(n))
	if err != nil && isFatal(err) {
		p.cancel(err)
	}
	return n, err
}

// ReadFrom leaves the copying to the kernel where it can: splice from a socket, sendfile from a file.
func (p *plain) ReadFrom(r io.Reader) (int64, error) {
	switch src := r.(type) {
	case *Conn:
		if t, ok := kernelSide(src); ok {
			r = t
		}
	case *io.LimitedReader:
		if t, ok := kernelSide(src.R); ok {
			limited := &io.LimitedReader{R: t, N: src.N}
			defer func() { src.N = limited.N }()
			r = limited
		}
	}
	n, err := io.Copy(p.nc, r)
	p.sent.Add(uint64(n))
	return n, err
}

// WriteTo is ReadFrom's other end: what was put back goes first.
func (p *plain) WriteTo(w io.Writer) (int64, error) {
	var total int64
	if !p.direct.Load() {
		n, err := p.writeFirst(w)
		total = n
		if err != nil {
			return total, eofIsEnd(err)
		}
	}
	var peer *plain
	if c, ok := w.(*Conn); ok {
		if q, ok := c.b.(*plain); ok && q.tcp != nil {
			peer, w = q, q.tcp
		}
	}
	n, err := io.Copy(w, p.nc)
	p.received.Add(uint64(n))
	if peer != nil {
		peer.sent.Add(uint64(n))
	}
	return total + n, err
}

// writeFirst passes on what comes until in has nothing left that nc has not.
func (p *plain) writeFirst(w io.Writer) (total int64, err error) {
	b := make([]byte, 32<<10)
	for !p.direct.Load() {
		n, rerr := p.Read(b)
		m, werr := w.Write(b[:n])
		total += int64(m)
		if err := errors.Join(werr, rerr); err != nil {
			return total, err
		}
	}
	return total, nil
}

func eofIsEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (p *plain) Close() error {
	err := p.nc.Close()
	p.end(net.ErrClosed)
	return err
}

func (p *plain) Abort(ResetReason) error {
	reset(p.nc)
	p.end(net.ErrClosed)
	return nil
}

func (p *plain) discard() {
	reset(p.nc)
	p.end(net.ErrClosed)
}

// end tells everyone that the connection is over, once.
func (p *plain) end(cause error) {
	p.closed.Do(func() {
		p.cancel(cause)
		p.events.end(time.Since(p.began))
		p.m.leave()
	})
}

func (p *plain) CloseWrite() error {
	if c, ok := p.nc.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (p *plain) CloseRead() error {
	if c, ok := p.nc.(interface{ CloseRead() error }); ok {
		return c.CloseRead()
	}
	return errors.ErrUnsupported
}

func (p *plain) SetDeadline(t time.Time) error      { return p.nc.SetDeadline(t) }
func (p *plain) SetReadDeadline(t time.Time) error  { return p.nc.SetReadDeadline(t) }
func (p *plain) SetWriteDeadline(t time.Time) error { return p.nc.SetWriteDeadline(t) }
func (p *plain) Context() context.Context           { return p.ctx }
func (p *plain) sockets() []net.Conn                { return []net.Conn{p.nc} }
func (p *plain) paths() pathControl                 { return nil }
func (p *plain) silent() bool                       { return p.mute }

func (p *plain) Watch(ctx context.Context) <-chan extapi.Event { return p.events.watch(ctx) }

func (p *plain) setLinger(sec int) error {
	if l, ok := p.nc.(interface{ SetLinger(int) error }); ok {
		return l.SetLinger(sec)
	}
	return errors.ErrUnsupported
}

// Multipath asks the kernel: its connection may have fallen back by itself. package net takes every closed
// socket for a multipath one, hence what it was when it was new counts too.
func (p *plain) Multipath() bool { return p.kernel && isKernelMPTCP(p.nc) }

// Flush looks at the kernel's send queue until it is empty.
func (p *plain) Flush(ctx context.Context) error {
	raw, err := rawConn(p.nc)
	if err != nil {
		return err
	}
	t := time.NewTicker(flushPoll)
	defer t.Stop()
	for {
		n, err := unacked(raw)
		if err != nil || n == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		case <-t.C:
		}
	}
}

// isFatal says whether no later call can succeed after err.
func isFatal(err error) bool { return err != io.EOF && !isTimeout(err) }

// kernelSide is the kernel's socket behind r when r is a plain connection that has nothing of its own left.
func kernelSide(r io.Reader) (*net.TCPConn, bool) {
	c, ok := r.(*Conn)
	if !ok {
		return nil, false
	}
	p, ok := c.b.(*plain)
	if !ok || p.tcp == nil || !p.direct.Load() {
		return nil, false
	}
	return p.tcp, true
}
