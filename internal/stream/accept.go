package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/driver"
)

// Kind is what a fresh connection turned out to be.
type Kind uint8

const (
	KindPlain   Kind = iota // no preface: plain TCP
	KindCapable             // a new multipath connection: Server
	KindJoin                // a further subflow of one: ServeJoin
)

// SniffParams say how long Sniff waits.
type SniffParams struct {
	First     time.Duration // for the first byte; <0: not at all (the server speaks first)
	Handshake time.Duration // in all, once a preface has begun; 0: for ever
	Secret    bool          // only this carrier will do: what is no preface is an error
	Over      func() bool   // somebody has ended the wait (driver.PatientReader)
}

// Opening is what the first bytes of a fresh connection say.
type Opening struct {
	nc   net.Conn
	kind Kind
	hs   *ServerHandshake
	sn   Sniffer
	rest []byte // read beyond the first option, or, on KindPlain, beyond sn.Bytes
	none bool   // no byte was read
}

// Kind says what the connection is.
func (o *Opening) Kind() Kind { return o.kind }

// Silent says that no byte has come yet.
func (o *Opening) Silent() bool { return o.none }

// Token names the connection that a join is for (KindJoin).
func (o *Opening) Token() uint32 {
	j, _ := o.hs.Join()
	return j.Token
}

// Conn is the connection as plain TCP: what was read comes first. When nothing was, a preface that is
// late is not delivered as data (PlainConn).
func (o *Opening) Conn() net.Conn {
	if o.none {
		return &PlainConn{Conn: o.nc, late: &Sniffer{}}
	}
	return &PlainConn{Conn: o.nc, begun: append(o.sn.Bytes(), o.rest...)}
}

// NetConn is the connection itself.
func (o *Opening) NetConn() net.Conn { return o.nc }

// Refuse says no to a peer that speaks this carrier, and closes.
func (o *Opening) Refuse(r engine.ResetReason, transient bool) {
	setDeadline(o.nc, time.Second) // a fresh connection takes so few bytes at once
	_, _ = o.nc.Write(o.hs.Refuse(r, transient))
	o.nc.Close()
}

// Sniff reads what a fresh connection begins with, in the caller's goroutine. After an error nc is
// closed; io.EOF says that it was closed before its first byte.
func Sniff(nc net.Conn, p SniffParams) (*Opening, error) {
	o := &Opening{nc: nc, none: true}
	if t, ok := nc.(interface{ MultipathTCP() (bool, error) }); ok && !p.Secret {
		if on, err := t.MultipathTCP(); err == nil && on {
			return o, nil // the kernel's multipath carries it: no second layer
		}
	}
	if p.First < 0 && !p.Secret {
		return o, nil
	}
	err := o.sniff(p)
	if err == nil && o.kind == KindPlain && p.Secret {
		err = ErrSecret
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	_ = nc.SetReadDeadline(time.Time{})
	return o, nil
}

// sniff reads until it is clear what the connection is.
func (o *Opening) sniff(p SniffParams) error {
	first := p.First
	if p.Secret && p.Handshake > 0 {
		first = p.Handshake
	}
	r := &driver.PatientReader{Conn: o.nc, Over: p.Over}
	r.Wait(first)
	buf := make([]byte, 512)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if o.none && p.Handshake > 0 {
				r.Wait(p.Handshake)
			}
			o.none = false
			if done, err := o.feed(buf[:n]); done || err != nil {
				return err
			}
		}
		if err == nil {
			continue
		}
		switch {
		case o.hs != nil:
			return fmt.Errorf("handshake not finished: %w", err)
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF) && !o.none:
			return nil // silent, or nothing more to come: plain TCP
		}
		return err
	}
}

func (o *Opening) feed(b []byte) (done bool, err error) {
	if o.hs == nil {
		v, n := o.sn.Feed(b)
		b = b[n:]
		switch v {
		case NeedMore:
			return false, nil
		case NotPreface:
			o.rest = append([]byte(nil), b...)
			return true, nil
		}
		o.hs = NewServerHandshake(o.sn.Preface())
	}
	n, done, err := o.hs.Feed(b)
	if err != nil || !done {
		return false, err
	}
	o.kind = KindCapable
	if _, join := o.hs.Join(); join {
		o.kind = KindJoin
	}
	o.rest = append([]byte(nil), b[n:]...)
	return true, nil
}

// smallEarly is early data that the application is likely to answer at once: our answer to the
// handshake waits for company then.
const smallEarly = 4 << 10

// Server answers the first flow of a connection (KindCapable). It returns at once: early data can be
// read, the end of the handshake comes in the flow.
func Server(ctx context.Context, o *Opening, p Params) (*driver.Conn, error) {
	if err := ctx.Err(); err != nil {
		o.nc.Close()
		return nil, context.Cause(ctx)
	}
	answer, r, confirm, err := o.hs.Accept(p.hello(0))
	if err != nil {
		o.Refuse(engine.ResetProtocol, false)
		return nil, err
	}
	s, _ := newSubflow(o.nc, FlowConfig{Local: p.Key, Confirm: confirm}, p.initial())
	s.Prologue, s.Rest = answer, o.rest
	if n := len(o.rest); n > 0 && n <= smallEarly {
		s.Hold = earlyHold
	}
	c := driver.NewConn(p.driver(o.nc, false), agreed(r))
	if _, err := c.Attach(s); err != nil {
		return nil, err
	}
	return c, nil
}

// joinPatience is how long a join waits for the handshake of the connection that it belongs to: it
// may have overtaken that on a faster path.
const joinPatience = time.Second

// ServeJoin answers a join (KindJoin) in the caller's goroutine. The checks that cost little come
// first, the HMACs last (RFC 8684 section 3.2). After an error the connection is closed.
func ServeJoin(ctx context.Context, o *Opening, lookup func(token uint32) (*driver.Conn, bool), timeout time.Duration) error {
	c, ok := lookup(o.Token())
	if !ok {
		o.Refuse(engine.ResetUnspecified, false)
		return fmt.Errorf("join of unknown token %08x from %v", o.Token(), o.nc.RemoteAddr())
	}
	var r *engine.JoinResponder
	var p engine.FlowParams
	wait, stop := context.WithTimeout(ctx, joinPatience)
	c.AwaitEstablished(wait)
	stop()
	nonce, err := c.Nonce()
	if err == nil {
		r, p, err = accept(c, o, uint32(nonce))
	}
	if err != nil {
		o.refuse(err)
		return err
	}
	rest, err := o.handshake(ctx, r, timeout)
	if err != nil {
		c.Update(func(now time.Duration, e *engine.Conn) { e.JoinRefused(now) })
		return err
	}
	s, _ := newSubflow(o.nc, FlowConfig{Local: c.Keys().Local}, p)
	s.Rest = rest
	_, err = c.Attach(s)
	return err
}

func accept(c *driver.Conn, o *Opening, nonce uint32) (r *engine.JoinResponder, p engine.FlowParams, err error) {
	syn, _ := o.hs.Join()
	local, remote := addrPort(o.nc.LocalAddr()), addrPort(o.nc.RemoteAddr())
	c.Update(func(now time.Duration, e *engine.Conn) {
		r, p, err = e.AcceptJoin(now, syn, local, remote, nonce)
	})
	return r, p, err
}

// refuse answers a join with the reason in err.
func (o *Opening) refuse(err error) {
	reason, transient := engine.ResetUnspecified, false
	var r *engine.ResetError
	if errors.As(err, &r) {
		reason, transient = r.Reason, r.Transient
	}
	o.Refuse(reason, transient)
}

// handshake exchanges the second and third message of a join.
func (o *Opening) handshake(ctx context.Context, r *engine.JoinResponder, timeout time.Duration) ([]byte, error) {
	h, err := NewJoinServerHandshake(o.hs, r)
	if err != nil {
		o.refuse(err)
		return nil, err
	}
	return ask(ctx, o.nc, timeout, h.Output(), o.rest, h.Feed)
}
