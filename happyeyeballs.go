package mptcp

import (
	"context"
	"net/netip"
	"time"
)

// defaultFallbackDelay is package net's Connection Attempt Delay; RFC 8305 section 5 recommends 250 ms.
const defaultFallbackDelay = 300 * time.Millisecond

// interleave orders addresses as RFC 8305 section 4 asks: families alternate, beginning with the
// family of the resolver's first choice.
func interleave(ips []netip.Addr) []netip.Addr {
	var first, second []netip.Addr
	for _, ip := range ips {
		if ip.Is4() == ips[0].Is4() {
			first = append(first, ip)
		} else {
			second = append(second, ip)
		}
	}
	out := make([]netip.Addr, 0, len(ips))
	for i := range first {
		out = append(out, first[i])
		if i < len(second) {
			out = append(out, second[i])
		}
	}
	return append(out, second[min(len(first), len(second)):]...)
}

// tryFunc makes the i-th attempt. It calls connected as soon as the peer has answered at all: a
// connection that is only being talked about then starts no further attempts.
type tryFunc func(ctx context.Context, i int, connected func()) (*Conn, error)

// raceAttempts makes n attempts, each delay after the one before or as soon as that has failed
// (RFC 8305 section 5), and returns the first that succeeds. Losers are closed. A negative delay makes
// them one after the other, each with its share of the time that ctx leaves.
func raceAttempts(ctx context.Context, n int, delay time.Duration, try tryFunc) (*Conn, error) {
	if n == 1 {
		return try(ctx, 0, func() {})
	}
	if delay < 0 {
		return oneByOne(ctx, n, try)
	}
	r := race{try: try, n: n, results: make(chan outcome, n), connected: make(chan struct{}, n)}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := r.run(ctx, delay)
	go r.reap()
	return c, err
}

type outcome struct {
	conn *Conn
	err  error
}

type race struct {
	try       tryFunc
	n         int
	results   chan outcome
	connected chan struct{}
	started   int
	ended     int
	errs      []error
}

func (r *race) start(ctx context.Context) {
	i := r.started
	r.started++
	go func() {
		c, err := r.try(ctx, i, func() {
			select {
			case r.connected <- struct{}{}:
			default:
			}
		})
		r.results <- outcome{c, err}
	}()
}

func (r *race) run(ctx context.Context, delay time.Duration) (*Conn, error) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	r.start(ctx)
	for {
		select {
		case <-timer.C:
			if r.started < r.n {
				r.start(ctx)
				timer.Reset(delay)
			}
		case <-r.connected:
			timer.Stop()
		case o := <-r.results:
			r.ended++
			if o.err == nil {
				return o.conn, nil
			}
			r.errs = append(r.errs, o.err)
			switch {
			case ctx.Err() != nil || r.ended == r.n:
				return nil, joinPaths(r.errs)
			case r.started < r.n:
				r.start(ctx)
				timer.Reset(delay)
			}
		}
	}
}

// reap closes what the losers bring home.
func (r *race) reap() {
	for ; r.ended < r.started; r.ended++ {
		if o := <-r.results; o.err == nil {
			o.conn.Close()
		}
	}
}

// oneByOne is the race that FallbackDelay < 0 turns off.
func oneByOne(ctx context.Context, n int, try tryFunc) (*Conn, error) {
	var errs []error
	for i := range n {
		c, err := tryShare(ctx, i, n-i, try)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, joinPaths(errs)
}

// minShare is the least time that an attempt gets while ctx has it, as in package net.
const minShare = 2 * time.Second

// tryShare gives attempt i its share of the time left for `left` attempts.
func tryShare(ctx context.Context, i, left int, try tryFunc) (*Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		remaining := time.Until(deadline)
		share := max(remaining/time.Duration(left), min(minShare, remaining))
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	return try(ctx, i, func() {})
}
