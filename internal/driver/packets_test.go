package driver

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
)

// postbox is a packet flow without TCP: each number put into out is a packet, each number in sent has
// left.
type postbox struct {
	c        *Conn
	out      []int
	batch    []int
	sent     chan int
	due      time.Duration
	fired    int
	between  atomic.Bool // between Gather and Sent
	over     bool
	released chan struct{}
}

func (p *postbox) Next() (time.Duration, bool) { return p.due, p.due != 0 }

func (p *postbox) HandleTimeout(time.Duration) {
	p.fired++
	p.due = 0
	p.out = append(p.out, -p.fired)
}

func (p *postbox) Gather(time.Duration) int {
	if p.between.Load() {
		panic("two senders at once")
	}
	n := min(len(p.out), 2)
	p.batch, p.out = append(p.batch[:0], p.out[:n]...), p.out[n:]
	p.between.Store(n > 0)
	return n
}

// Transmit needs the lock to be free: it takes it.
func (p *postbox) Transmit() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	for _, n := range p.batch {
		p.sent <- n
	}
}

func (p *postbox) Sent(time.Duration) { p.between.Store(false) }
func (p *postbox) Over() bool         { return p.over }
func (p *postbox) Release()           { close(p.released) }

func newPostbox() *postbox {
	c := NewConn(Params{Engine: testEngine(), Key: ourKey}, nil)
	p := &postbox{c: c, sent: make(chan int, 100), released: make(chan struct{})}
	now := c.Enter(0)
	c.Adopt(p, 0, func(*engine.Conn) engine.PathID { return 1 })
	c.Leave(now)
	return p
}

// do runs f as an event.
func (p *postbox) do(f func(now time.Duration)) {
	p.c.Update(func(now time.Duration, _ *engine.Conn) { f(now) })
}

func TestPacketsLeaveInOrderAfterEveryEvent(t *testing.T) {
	p := newPostbox()
	defer p.c.Abort(engine.ResetUnspecified)
	p.do(func(time.Duration) { p.out = append(p.out, 1, 2, 3, 4, 5) })
	for want := 1; want <= 5; want++ {
		require.Equal(t, want, <-p.sent)
	}
	require.Empty(t, p.sent)
}

func TestPacketsHaveOneSender(t *testing.T) {
	p := newPostbox()
	defer p.c.Abort(engine.ResetUnspecified)
	const workers, each = 4, 20
	done := make(chan struct{})
	for range workers {
		go func() {
			for range each {
				p.do(func(time.Duration) { p.out = append(p.out, 1) })
			}
			done <- struct{}{}
		}()
	}
	for range workers {
		<-done
	}
	for range workers * each {
		select {
		case <-p.sent:
		case <-time.After(5 * time.Second):
			t.Fatal("a packet never left")
		}
	}
}

func TestPacketsTimersGoOnAfterTheEnd(t *testing.T) {
	p := newPostbox()
	require.NoError(t, p.c.Abort(engine.ResetUnspecified))
	<-p.c.Closed() // the engine is done; the subflow's FIN is not acknowledged
	p.do(func(now time.Duration) { p.due = now + 5*time.Millisecond })
	require.Equal(t, -1, <-p.sent, "its timer fired")
	p.do(func(time.Duration) { p.over = true })
	<-p.released
	p.do(func(time.Duration) { require.Empty(t, p.c.packets) })
}
