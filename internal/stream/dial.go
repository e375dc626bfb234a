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

// earlyHold is how long a preface waits for the first Write, to travel with it.
const earlyHold = 5 * time.Millisecond

// Client shakes hands on nc. An error that is ErrNotStream says that the peer speaks something else,
// or closed, or kept silent until ctx or HandshakeTimeout ended. After an error nc is closed.
func Client(ctx context.Context, nc net.Conn, p Params) (*driver.Conn, error) {
	nonce, err := driver.Nonce(p.Engine.Rand)
	if err != nil {
		nc.Close()
		return nil, err
	}
	h := NewClientHandshake(p.hello(nonce))
	rest, err := ask(ctx, nc, p.HandshakeTimeout, h.Output(), nil, h.Feed)
	if err != nil {
		return nil, notStream(err)
	}
	s, f := newSubflow(nc, FlowConfig{Client: true, Local: p.Key}, p.initial())
	f.Open(0, h.Third()...)
	s.Rest = rest
	c := driver.NewConn(p.driver(nc, true), agreed(h.Result()))
	if _, err := c.Attach(s); err != nil {
		return nil, err
	}
	return c, nil
}

// ClientEarly makes a connection to a peer that is known to speak this carrier, without waiting for
// it: the preface leaves with the first Write. That the peer does not speak it after all (ErrNotStream)
// comes out of Read and Write.
func ClientEarly(nc net.Conn, p Params) (*driver.Conn, error) {
	nonce, err := driver.Nonce(p.Engine.Rand)
	if err != nil {
		nc.Close()
		return nil, err
	}
	h := NewClientHandshake(p.hello(nonce))
	s, f := newSubflow(nc, FlowConfig{Client: true, Local: p.Key, Pending: true}, p.initial())
	s.Prologue, s.Hold = h.Output(), earlyHold
	s.Intake = &earlyIntake{h: h, f: f, checksum: p.Engine.Checksum}
	s.Timeout = p.HandshakeTimeout
	c := driver.NewConn(p.driver(nc, true), nil)
	if _, err := c.Attach(s); err != nil {
		return nil, err
	}
	return c, nil
}

// earlyIntake takes message 2 on a connection that is in use already.
type earlyIntake struct {
	h        *ClientHandshake
	f        *Flow
	checksum bool
}

// Feed implements driver.Intake. Without bytes it is asked why there will be none.
func (i *earlyIntake) Feed(now time.Duration, e *engine.Conn, b []byte) (int, bool, error) {
	if len(b) == 0 {
		return 0, false, ErrNotStream
	}
	n, done, err := i.h.Feed(b)
	if err != nil || !done {
		return n, false, err
	}
	r := i.h.Result()
	if r.Checksum != i.checksum {
		return n, false, fmt.Errorf("%w: the peer requires DSS checksums: set Checksum to send it early data", ErrNotStream)
	}
	i.f.Open(now, i.h.Third()...)
	e.SetJoinInitial(!r.NoJoin)
	e.SetRemote(now, r.Remote)
	return n, true, nil
}

// ask writes a message of a handshake and reads the answer (readHandshake). timeout, from the end of the message on, and ctx
// bound it. After an error nc is closed, else it has no deadline.
func ask(ctx context.Context, nc net.Conn, timeout time.Duration, message, begun []byte, feed func([]byte) (int, bool, error)) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		nc.Close()
		return nil, context.Cause(ctx)
	}
	setDeadline(nc, timeout)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = nc.SetDeadline(time.Unix(1, 0))
	})
	var rest []byte
	r := &driver.PatientReader{Conn: nc, Over: func() bool { return ctx.Err() != nil }}
	_, err := nc.Write(message)
	if err == nil {
		r.Wait(timeout)
		err = context.Cause(ctx) // the deadline that ends the wait may have come before ours
	}
	if err == nil {
		if rest, err = readHandshake(r, begun, feed); errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w within %v: %w", errSilent, timeout, err)
		}
	}
	if !stop() {
		<-stopped
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = context.Cause(ctx)
		}
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	setDeadline(nc, 0) // a result wins over a context that has ended
	return rest, nil
}

// readHandshake reads until feed is done and returns what was read beyond that. begun are bytes that were
// read before.
func readHandshake(r io.Reader, begun []byte, feed func([]byte) (int, bool, error)) (rest []byte, err error) {
	buf := make([]byte, 512)
	for b := begun; ; {
		n, done, err := feed(b)
		if err != nil {
			return nil, err
		}
		if done {
			return append([]byte(nil), b[n:]...), nil
		}
		m, err := r.Read(buf)
		if m == 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if m == 0 && err != nil {
			return nil, err
		}
		b = buf[:m]
	}
}

// errSilent is that the peer had the whole time for its answer.
var errSilent = errors.New("no answer")

// notStream makes the errors of a peer that does not answer ErrNotStream: it closed, reset or kept
// silent. Errors that say more, the end of the caller's patience, and that the question did not leave, stay what they are.
func notStream(err error) error {
	var proto *engine.ProtocolError
	var reset *engine.ResetError
	switch {
	case errors.Is(err, ErrNotStream), errors.Is(err, ErrSecret), errors.Is(err, ErrVersion),
		errors.As(err, &proto), errors.As(err, &reset), errors.Is(err, context.Canceled),
		errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, errSilent):
		return err
	}
	return fmt.Errorf("%w: %w", ErrNotStream, err)
}
