package driver

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
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
	between  atomic.Bool   // between Gather and Sent
	tail     bool          // the last packet waits for more, if more comes
	again    time.Duration // from what leaves next to the timer that it starts; 0: it starts none
	over     bool
	inlet    Inlet
	released chan struct{}
}

func (p *postbox) Inlet() Inlet { return p.inlet }

func (p *postbox) Next() (time.Duration, bool) { return p.due, p.due != 0 }

func (p *postbox) HandleTimeout(time.Duration) {
	p.fired++
	p.due = 0
	p.out = append(p.out, -p.fired)
}

func (p *postbox) Gather(_ time.Duration, more bool) (int, bool) {
	if p.between.Load() {
		panic("two senders at once")
	}
	n := min(len(p.out), 2)
	if p.tail && more && n == len(p.out) && n > 0 {
		n--
	}
	p.batch, p.out = append(p.batch[:0], p.out[:n]...), p.out[n:]
	p.between.Store(n > 0)
	return n, n < len(p.out)
}

// Transmit needs the lock to be free: it takes it.
func (p *postbox) Transmit() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	for _, n := range p.batch {
		p.sent <- n
	}
}

func (p *postbox) Sent(now time.Duration) {
	p.between.Store(false)
	if p.again != 0 {
		p.due, p.again = now+p.again, 0
	}
}

func (p *postbox) Over() bool { return p.over }
func (p *postbox) Release()   { close(p.released) }

func newPostbox() *postbox {
	c := NewConn(Params{Engine: testEngine(), Key: ourKey}, nil)
	p := &postbox{c: c, sent: make(chan int, 100), released: make(chan struct{})}
	now := c.Enter(0)
	c.Adopt(p, 0, func(*engine.Conn) engine.PathID { return 1 })
	c.Leave(now)
	return p
}

// newTaking is a postbox whose connection has a flow that takes all that is written.
func newTaking() (*postbox, *wire) {
	p, w := newPostbox(), new(wire)
	p.do(func(now time.Duration) {
		p.c.eng.SetRemote(now, theirKey)
		w.bind(p.c.eng, p.c.eng.AddFlow(now, w, engine.FlowParams{Initial: true}))
		p.c.eng.HandleEstablished(now, w.id)
		p.c.eng.HandleWindow(now, w.id, ourKey.IDSN()+1, 1<<30)
	})
	return p, w
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

// What leaves starts a timer, that of its retransmission, when the event that made it leave is over. It fires although
// nothing else happens: no engine has a timer for what fell back to plain TCP.
func TestPacketsTimerThatSendingStarts(t *testing.T) {
	p := newPostbox()
	require.NoError(t, p.c.Abort(engine.ResetUnspecified))
	<-p.c.Closed()
	p.do(func(time.Duration) { p.out, p.again = append(p.out, 1), 5*time.Millisecond })
	for _, want := range []int{1, -1} {
		select {
		case got := <-p.sent:
			require.Equal(t, want, got)
		case <-time.After(5 * time.Second):
			require.Fail(t, "never sent", "%d", want)
		}
	}
	p.do(func(time.Duration) { p.over = true })
	<-p.released
}

// The end of what an application writes waits for what it writes next, for a while, and as long as much is under way.
func TestPacketsCollect(t *testing.T) {
	for name, act := range map[string]func(*testing.T, *postbox, *wire){
		"time passes": func(t *testing.T, p *postbox, _ *wire) {
			time.Sleep(collectTime - time.Nanosecond)
			synctest.Wait()
			require.Empty(t, p.sent)
			time.Sleep(2 * time.Nanosecond)
			synctest.Wait()
		},
		"Read": func(t *testing.T, p *postbox, _ *wire) {
			require.NoError(t, p.c.SetReadDeadline(time.Now().Add(time.Microsecond)))
			_, err := p.c.Read(make([]byte, 1))
			require.Error(t, err)
		},
		"Close": func(t *testing.T, p *postbox, _ *wire) { require.NoError(t, p.c.Close()) },
		"acknowledgement": func(_ *testing.T, p *postbox, w *wire) {
			p.c.Update(func(now time.Duration, e *engine.Conn) {
				e.HandleDSS(now, w.id, &options.DSS{HasAck: true, Ack64: true, DataAck: ourKey.IDSN() + 2})
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, w := newPostbox(), new(wire)
				defer p.c.Abort(engine.ResetUnspecified)
				p.c.Update(func(now time.Duration, e *engine.Conn) {
					e.SetRemote(now, theirKey)
					w.bind(e, e.AddFlow(now, w, engine.FlowParams{Initial: true}))
					e.HandleEstablished(now, w.id)
					e.HandleWindow(now, w.id, ourKey.IDSN()+1, 1<<30)
				})
				p.tail = true
				p.out = append(p.out, 1)
				write(t, p.c, company-1)
				require.Equal(t, 1, <-p.sent, "little is under way")
				p.out = append(p.out, 2, 3, 4)
				write(t, p.c, 1)
				require.Equal(t, 2, <-p.sent)
				require.Equal(t, 3, <-p.sent)
				require.Empty(t, p.sent)
				act(t, p, w)
				require.Equal(t, 4, <-p.sent)
				p.c.Update(func(time.Duration, *engine.Conn) { require.Zero(t, p.c.packets[0].collect) })
			})
		})
	}
}

// An application that writes piece after piece is not kept by what sends them; one that pauses, or that writes little,
// sends by itself.
func TestPacketsOfWhoWritesAndWrites(t *testing.T) {
	for name, c := range map[string]struct {
		pause time.Duration
		piece int
		waits bool
	}{
		"without a pause": {piece: bigPiece},
		"with pauses":     {piece: bigPiece, pause: pause + 1, waits: true},
		"little pieces":   {piece: bigPiece - 1, waits: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := newTaking()
				for range runSize/bigPiece + 1 {
					write(t, p.c, c.piece)
					time.Sleep(c.pause)
				}
				synctest.Wait()
				p.sent = make(chan int) // nobody takes them yet
				p.do(func(time.Duration) {})
				wrote := make(chan struct{})
				go func() {
					p.c.mu.Lock()
					p.out = append(p.out, 1)
					p.c.mu.Unlock()
					write(t, p.c, c.piece)
					close(wrote)
				}()
				synctest.Wait()
				select {
				case <-wrote:
					require.False(t, c.waits)
				default:
					require.True(t, c.waits)
				}
				require.Equal(t, 1, <-p.sent)
				<-wrote
				require.NoError(t, p.c.Abort(engine.ResetUnspecified))
				p.do(func(time.Duration) { p.over = true })
				<-p.released
			})
		})
	}
}

// What fills a chunk in a run of writes comes in order with what does not, whoever else needs the lock meanwhile, and the end of the
// connection ends a Write of it.
func TestPacketsOfLongWrites(t *testing.T) {
	synctest.Test(t, longWrites) // in which no pause ends the run
}

func longWrites(t *testing.T) {
	p, w := newTaking()
	var wanted []byte
	for i, n := range []int{runSize, pool.MaxSize, 3, pool.MaxSize - 1, pool.MaxSize + 5, 3*pool.MaxSize + 7} {
		b := bytes.Repeat([]byte{byte(i + 1)}, n)
		k, err := p.c.Write(b)
		require.NoError(t, err)
		require.Equal(t, n, k)
		wanted = append(wanted, b...)
	}
	p.do(func(time.Duration) { require.True(t, bytes.Equal(wanted, w.sent)) })

	ended := make(chan error)
	go func() { // the buffer ends it: nothing is acknowledged
		_, err := p.c.Write(make([]byte, 16*pool.MaxSize))
		ended <- err
	}()
	for range 1000 {
		p.do(func(time.Duration) {})
	}
	require.NoError(t, p.c.Abort(engine.ResetUnspecified))
	require.Error(t, <-ended)
	p.do(func(time.Duration) { p.over = true })
	<-p.released
}
