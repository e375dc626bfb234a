package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp"
)

const forwardHelp = `
Forwards connections, so that two programs which know only TCP talk over every path between their machines. Beside the
client it takes TCP and opens multipath connections; beside the server, with -reverse, it takes multipath (and plain TCP)
and opens TCP connections. Half-closed connections stay half-closed, resets stay resets. Ctrl-C lets the connections
finish for the time of -grace.

Example: a database on another machine, over two uplinks.
  client$ mptcp forward -listen 127.0.0.1:5432 -to db.example:6432 -peer
  server$ mptcp forward -reverse -listen :6432 -to 127.0.0.1:5432
  client$ psql -h 127.0.0.1

` + policyHelp

// forwarder is what the flags of forward say.
type forwarder struct {
	dialFlags
	listen, to  string
	reverse     bool
	speaksFirst bool
	limit       int
	grace       time.Duration
	announce    addrsFlag

	dial func(ctx context.Context) (net.Conn, error)
	logf func(format string, args ...any)
}

func runForward(ctx context.Context, e *env) error {
	c := e.flags("forward [flags] -listen ADDRESS -to ADDRESS", forwardHelp)
	var f forwarder
	f.register(c)
	c.StringVar(&f.listen, "listen", "", "take connections at this `address`")
	c.StringVar(&f.to, "to", "", "open connections to this `address`")
	c.BoolVar(&f.reverse, "reverse", false, "multipath in, TCP out")
	c.BoolVar(&f.speaksFirst, "server-speaks-first", false, "with -reverse: plain TCP clients wait for the server's greeting (MySQL, SSH, SMTP)")
	c.IntVar(&f.limit, "max", 1024, "forward at most this `many` connections at once; others wait")
	c.DurationVar(&f.grace, "grace", farewell, "let connections finish for this `time` after Ctrl-C")
	c.Var(&f.announce, "announce", "with -reverse: `addresses` to tell clients of, instead of those found; separated by commas")
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	switch {
	case f.listen == "" || f.to == "":
		return usagef("-listen and -to are both needed")
	case f.limit < 1:
		return usagef("-max %d: at least one connection", f.limit)
	case f.grace < 0:
		return usagef("-grace %v: it must not be negative", f.grace)
	}
	return f.run(ctx, e)
}

func (f *forwarder) run(ctx context.Context, e *env) error {
	f.logf = func(string, ...any) {}
	if f.verbose {
		var mu sync.Mutex
		f.logf = func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(e.stderr, format+"\n", args...)
		}
	}
	t := &mptcp.Transport{}
	defer closeTransport(t)
	dialer, err := f.dialer(e, t, f.to)
	if err != nil {
		return err
	}
	ln, err := f.open(ctx, dialer)
	if err != nil {
		return err
	}
	way := "TCP to multipath"
	if f.reverse {
		way = "multipath to TCP"
	}
	fmt.Fprintf(e.stdout, "forwarding %v to %s, %s\n", ln.Addr(), f.to, way)
	e.announceListening(ln.Addr())
	return f.serve(ctx, ln)
}

// open prepares both sides: which is multipath depends on the direction.
func (f *forwarder) open(ctx context.Context, dialer *mptcp.Dialer) (net.Listener, error) {
	if f.reverse {
		cfg := dialer.Config.Clone()
		cfg.Peers, cfg.ServerSpeaksFirst = nil, f.speaksFirst
		lc := &mptcp.ListenConfig{Config: *cfg, Transport: dialer.Transport, Announce: f.announce}
		plain := net.Dialer{Timeout: f.timeout}
		f.dial = func(ctx context.Context) (net.Conn, error) { return plain.DialContext(ctx, "tcp", f.to) }
		return lc.Listen(ctx, "tcp", f.listen)
	}
	multi := withTimeout(dialer, f.timeout)
	f.dial = func(ctx context.Context) (net.Conn, error) { return multi(ctx, "tcp", f.to) }
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", f.listen)
}

// serve forwards until ctx ends, then lets the connections finish.
func (f *forwarder) serve(ctx context.Context, ln net.Listener) error {
	hard, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()
	var conns sync.WaitGroup
	places := make(chan struct{}, f.limit)
	var failed error
	for ctx.Err() == nil {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		nc, err := ln.Accept()
		if err != nil {
			<-places
			if ctx.Err() == nil && errors.Is(err, net.ErrClosed) {
				failed = err
				break
			}
			if ctx.Err() == nil { // out of descriptors, say: it passes
				f.logf("accept: %v", err)
				time.Sleep(pause / 10)
			}
			continue
		}
		conns.Go(func() {
			defer func() { <-places }()
			f.handle(hard, nc)
		})
	}
	patience := time.AfterFunc(f.grace, abandon)
	defer patience.Stop()
	conns.Wait()
	return failed
}

// handle forwards one connection. ctx ends it.
func (f *forwarder) handle(ctx context.Context, in net.Conn) {
	began := time.Now()
	out, err := f.dial(ctx)
	if err != nil {
		f.logf("%v: %v", in.RemoteAddr(), err)
		reset(in)
		return
	}
	stop := context.AfterFunc(ctx, func() { reset(in); reset(out) })
	defer stop()
	there, back := splice(in, out)
	f.logf("%v: %s there, %s back, in %s", in.RemoteAddr(), formatSize(there), formatSize(back), formatTime(time.Since(began)))
}

// splice carries bytes both ways until both have ended, and closes both.
func splice(a, b net.Conn) (there, back int64) {
	var way sync.WaitGroup
	way.Go(func() { there = pour(b, a) })
	way.Go(func() { back = pour(a, b) })
	way.Wait()
	a.Close()
	b.Close()
	return there, back
}

// pour carries what src sends to dst. The end of one is the end of the other; so is a failure.
func pour(dst, src net.Conn) int64 {
	n, err := io.Copy(dst, src)
	if err != nil {
		reset(src)
		reset(dst)
		return n
	}
	if c, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	return n
}

// reset ends a connection so that the other side sees that something went wrong.
func reset(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0)
	}
	c.Close()
}
