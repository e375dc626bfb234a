package mptcp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
)

const (
	// answerWait is how long a peer has at least for the right answer to a preface.
	answerWait = 250 * time.Millisecond
	// plainDelay is how long after the question the plain connection is opened beside it: RFC 8305 section 5
	// forbids less than 10 ms. A peer nearby has answered by then, and gets one connection.
	plainDelay = 10 * time.Millisecond
	// rememberedWait is the patience with a peer that has answered before: a lost segment is more
	// likely there than a changed program.
	rememberedWait = time.Second
)

// discover finds out whether the peer speaks the stream carrier and connects accordingly.
func (x *dial) discover(ctx context.Context, r route, connected func()) (*Conn, error) {
	key := x.peer(r)
	q := &question{x: x, r: r, key: key, connected: connected, plainAfter: plainDelay}
	switch x.h.verdicts.lookup(key, time.Now()) {
	case verdictYes:
		q.plainAfter, q.patience = answerWait, rememberedWait
		return q.ask(ctx)
	case verdictNo:
		if !x.s.RequireMultipath { // it can't fall back: asking again costs nothing but the answer
			return x.plain(ctx, r, kernelTCP, extapi.FallbackDiscovery, connected)
		}
	}
	if x.s.RequireMultipath {
		q.plainAfter, q.patience = answerWait, x.s.HandshakeTimeout
	}
	return q.ask(ctx)
}

// question is one dial to a peer that may or may not speak the stream carrier: the stream connection
// races a plain one that is opened beside it.
type question struct {
	x          *dial
	r          route
	key        peerKey
	connected  func()
	plainAfter time.Duration
	patience   time.Duration // with the stream handshake; 0: max(2 RTT, answerWait)

	stream chan outcome
	plain  chan plainOutcome
	giveUp chan struct{} // closed: nobody takes what still comes
}

// plainOutcome is a connection that nobody has heard of yet.
type plainOutcome struct {
	p   *plain
	err error
}

// ask runs the race. The peer is asked by one dial at a time; the others wait for its verdict.
func (q *question) ask(ctx context.Context) (*Conn, error) {
	q.stream, q.plain, q.giveUp = make(chan outcome), make(chan plainOutcome), make(chan struct{})
	defer close(q.giveUp)
	p, mine := q.x.h.verdicts.begin(q.key)
	if mine {
		go q.probe(context.WithoutCancel(ctx), p)
	} else {
		go q.follow(ctx, p)
	}
	return q.judge(ctx)
}

// probe asks. It outlives the dial that began it, for the sake of those who wait for the verdict.
func (q *question) probe(ctx context.Context, p *probe) {
	ctx, cancel := context.WithTimeout(ctx, 2*q.x.s.HandshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(q.x.h.ctx, cancel)
	defer stop()
	c, err := q.x.stream(ctx, q.r, q.patience, q.connected)
	answer := verdictUnknown
	switch {
	case err == nil:
		answer = verdictYes
	case isNotStream(err):
		answer = verdictNo
	}
	q.x.h.verdicts.finish(p, answer, time.Now())
	q.deliver(c, err)
}

// follow waits for somebody else's verdict and then connects accordingly.
func (q *question) follow(ctx context.Context, p *probe) {
	select {
	case <-p.done:
	case <-q.giveUp:
		return
	}
	if p.answer != verdictYes {
		q.deliver(nil, fmt.Errorf("%w: another dial has just found out that the peer does not speak it", ErrNotMultipath))
		return
	}
	c, err := q.x.stream(ctx, q.r, q.patience, q.connected)
	q.deliver(c, err)
}

// deliver hands the stream connection to judge, or ends it when judge has gone.
func (q *question) deliver(c *Conn, err error) {
	select {
	case q.stream <- outcome{c, err}:
	case <-q.giveUp:
		if c != nil {
			c.discard()
		}
	}
}

// open opens the plain connection, for judge if it is still there.
func (q *question) open(ctx context.Context) {
	p, err := q.x.plainSocket(ctx, q.r, kernelTCP, extapi.FallbackDiscovery, q.connected)
	select {
	case q.plain <- plainOutcome{p, err}:
	case <-q.giveUp:
		if p != nil {
			p.nc.Close()
		}
	}
}

// adopt makes a Conn of the plain connection.
func (q *question) adopt(p *plain) (*Conn, error) { return q.x.h.adoptPlain(q.x.trace, p, q.x.s) }

// judge waits for the two connections and picks one: the stream, unless it fails or keeps the plain one
// waiting for too long.
func (q *question) judge(ctx context.Context) (*Conn, error) {
	start := time.NewTimer(q.plainAfter)
	defer start.Stop()
	var patience driver.Patience // with the stream connection, once the plain one is ready
	var enough <-chan time.Time
	var ready *plain
	var streamErr, plainErr error
	var opened time.Time // when the plain connection was begun
	defer func() {
		if ready != nil {
			ready.nc.Close() // unused
		}
	}()
	for {
		if opened.IsZero() && (streamErr != nil && q.worthPlain(streamErr)) {
			opened = time.Now()
			go q.open(ctx)
		}
		switch {
		case streamErr != nil && ready != nil:
			p := ready
			ready = nil
			return q.adopt(p)
		case streamErr != nil && plainErr != nil:
			return nil, joinPaths([]error{streamErr, plainErr})
		case streamErr != nil && opened.IsZero():
			return nil, streamErr
		}
		select {
		case <-start.C:
			if opened.IsZero() {
				opened = time.Now()
				go q.open(ctx)
			}
		case o := <-q.stream:
			if o.err == nil {
				return o.conn, nil
			}
			streamErr = o.err
		case o := <-q.plain:
			if ready, plainErr = o.p, o.err; ready != nil {
				patience = driver.Patience(max(2*time.Since(opened), answerWait))
				enough = time.After(patience.Next())
			}
		case <-enough:
			d := patience.Next()
			if d == 0 {
				streamErr = errNoAnswer
			}
			enough = time.After(d)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// errNoAnswer is that the stream connection has kept the plain one waiting for too long.
var errNoAnswer = fmt.Errorf("%w: no answer in time", ErrNotMultipath)

// worthPlain says whether a plain connection can succeed where the stream connection has failed: not
// when TCP itself found nobody.
func (q *question) worthPlain(err error) bool {
	return isNotStream(err) || noTokens(err) || peerIsFull(err) || isTimeout(err) || errors.Is(err, ErrNotMultipath)
}
