package simtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/simnet"
)

// end is one host: what package driver is in a program, and the application on top.
type end struct {
	w     *world
	name  string
	key   engine.Key
	cfg   engine.Config
	eng   *engine.Conn
	legs  []*leg
	timer *simnet.Event
	depth int

	left   int64 // bytes still to be written
	finish bool  // CloseWrite after them
	wrote  int64
	paused bool // the application does not read
	got    int64
	gotAt  time.Duration
	eof    bool
	err    error
	gap    time.Duration // the longest time between two reads that gave something
	events []extapi.Event
	failed []error // joins
}

// pattern is what applications write, over and over. Its length is prime: a piece in the wrong place
// does not look right.
var pattern = func() []byte {
	b := make([]byte, 65_521)
	x := uint32(1)
	for i := range b {
		x = x*1_664_525 + 1_013_904_223
		b[i] = byte(x >> 24)
	}
	return b
}()

func (e *end) String() string {
	return fmt.Sprintf("%s at %v: wrote %d (left %d), got %d, eof %t, err %v, %+v, %+v",
		e.name, e.w.sim.Now(), e.wrote, e.left, e.got, e.eof, e.err, e.eng.Info(), e.eng.Subflows(e.w.sim.Now()))
}

// act brings the engine an input and draws the consequences, as driver.Conn does around its lock.
func (e *end) act(f func(now time.Duration)) {
	e.depth++
	f(e.w.sim.Now())
	e.depth--
	if e.depth > 0 {
		return
	}
	e.depth++
	e.settle()
	for e.flush() || e.application() {
		e.settle()
	}
	e.depth--
}

// settle takes what the engine wants.
func (e *end) settle() {
	for {
		r, ok := e.eng.PollJoin()
		if !ok {
			break
		}
		e.w.openJoin(e, r)
	}
	for {
		ev, ok := e.eng.PollEvent()
		if !ok {
			break
		}
		e.events = append(e.events, ev)
	}
	at, ok := e.eng.Next()
	e.timer.Stop()
	if ok {
		e.timer = e.w.sim.At(at, func() {
			e.act(func(now time.Duration) {
				for _, l := range e.legs {
					l.measure(now)
				}
				e.eng.HandleTimeout(now)
			})
		})
	}
}

// application writes and reads what it can, and says whether it could.
func (e *end) application() (busy bool) {
	now := e.w.sim.Now()
	for e.left > 0 && e.eng.Writable() {
		off := int(e.wrote % int64(len(pattern)))
		n, err := e.eng.Write(now, pattern[off:off+int(min(e.left, int64(len(pattern)-off)))])
		e.wrote += int64(n)
		e.left -= int64(n)
		if e.fail(err) || n == 0 {
			break
		}
		busy = true
	}
	if e.left == 0 && e.finish {
		e.finish = false
		e.eng.CloseWrite(now)
		busy = true
	}
	for !e.paused && !e.eof && e.eng.Readable() {
		ref, err := e.eng.NextRef(now)
		if errors.Is(err, io.EOF) {
			e.eof = true
			return true
		}
		if e.fail(err) || ref.Len() == 0 {
			break
		}
		e.check(ref.B)
		ref.Release()
		if e.got > 0 {
			e.gap = max(e.gap, now-e.gotAt)
		}
		e.got, e.gotAt = e.got+int64(len(ref.B)), now
		busy = true
	}
	return busy
}

func (e *end) fail(err error) bool {
	if err != nil && e.err == nil {
		e.err = err
	}
	return err != nil
}

// check compares what has come with what was sent.
func (e *end) check(b []byte) {
	for at := e.got; len(b) > 0; {
		want := pattern[at%int64(len(pattern)):]
		n := min(len(b), len(want))
		if !bytes.Equal(b[:n], want[:n]) {
			require.Fail(e.w.t, "wrong bytes", "behind %d", at)
		}
		b, at = b[n:], at+int64(n)
	}
}

// send makes the application write n bytes more, and then finish.
func (e *end) send(n int64, finish bool) {
	e.left, e.finish = e.left+n, finish
	e.act(func(time.Duration) {})
}

func (e *end) flush() (busy bool) {
	for i := 0; i < len(e.legs); i++ {
		l := e.legs[i]
		if l.serve() {
			busy = true
		}
		if l.gone {
			i--
		}
	}
	return busy
}
