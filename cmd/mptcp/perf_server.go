package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mptcp-go/mptcp"
)

const (
	perfGreeting = 10 * time.Second // for the first line
	perfGrace    = 30 * time.Second // beyond the time of a test, for what is still under way
)

// serve runs tests for clients until ctx ends.
func (p *perf) serve(ctx context.Context, e *env) error {
	cfg, err := p.config(e)
	if err != nil {
		return err
	}
	t := &mptcp.Transport{}
	defer closeTransport(t)
	lc := &mptcp.ListenConfig{Config: cfg, Transport: t, Announce: p.announce}
	ln, err := lc.Listen(ctx, "tcp", p.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	fmt.Fprintf(e.stdout, "waiting for mptcp perf -c at %v\n", ln.Addr())
	e.announceListening(ln.Addr())
	s := &perfServer{places: make(chan struct{}, p.clients), out: e.stdout}
	return s.serve(ctx, ln)
}

type perfServer struct {
	places chan struct{}
	mu     sync.Mutex // guards out
	out    io.Writer
}

func (s *perfServer) serve(ctx context.Context, ln *mptcp.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	for {
		c, err := ln.AcceptMultipath(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		conns.Go(func() {
			stop := context.AfterFunc(ctx, func() { reset(c) })
			defer stop()
			defer c.Close()
			s.answer(ctx, c)
		})
	}
}

// answer runs the test that one connection asks for.
func (s *perfServer) answer(ctx context.Context, c *mptcp.Conn) {
	_ = c.SetDeadline(time.Now().Add(perfGreeting))
	r := bufio.NewReaderSize(c, perfMaxLine)
	var req perfRequest
	if err := readLine(r, &req); err != nil {
		return
	}
	err := req.valid()
	if err == nil {
		select {
		case s.places <- struct{}{}:
			defer func() { <-s.places }()
		default:
			err = errors.New("the server is busy; try again later")
		}
	}
	if err != nil {
		_ = writeLine(c, perfAnswer{Error: err.Error()})
		return
	}
	if writeLine(c, perfAnswer{}) != nil {
		return
	}
	_ = c.SetDeadline(time.Now().Add(req.duration() + perfGrace))
	began := time.Now()
	var up, down atomic.Int64
	if err := runTest(ctx, c, r, req, &up, &down); err != nil {
		s.printf("%v  %s: %v\n", c.RemoteAddr(), req.Direction, err)
		return
	}
	took := time.Since(began)
	s.printf("%v  %s over %s  received %s  sent %s  in %s\n", c.RemoteAddr(), req.Direction, c.Info().Carrier,
		formatSize(up.Load()), formatSize(down.Load()), formatTime(took))
}

// runTest is the server's side of the data.
func runTest(ctx context.Context, c closeWriter, r io.Reader, req perfRequest, up, down *atomic.Int64) error {
	sending := func() error {
		_, err := send(ctx, c, req.Bytes, req.duration(), down)
		return err
	}
	switch req.Direction {
	case "down":
		if err := sending(); err != nil {
			return err
		}
		return drain(r, up) // until the client has got all of it and closes
	case "both":
		return together(func() error { return drain(r, up) }, sending)
	}
	if err := drain(r, up); err != nil {
		return err
	}
	if err := writeLine(c, perfAnswer{Received: up.Load()}); err != nil {
		return err
	}
	return c.CloseWrite()
}

func (s *perfServer) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, format, args...)
}
