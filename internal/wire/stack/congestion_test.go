package stack

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/extapi"
)

// coupled is congestion control whose controllers know of each other, as those of RFC 6356 do: it counts on being called
// under one lock, and notices when it is not.
type coupled struct {
	congestion.Group
	slow     time.Duration // what New and Remove take
	inside   atomic.Int32
	overlaps atomic.Int32
	made     atomic.Int32
	removed  atomic.Int32
}

func (g *coupled) Name() string               { return "coupled" }
func (g *coupled) NewGroup() congestion.Group { return g }

func (g *coupled) enter() func() {
	if g.inside.Add(1) != 1 {
		g.overlaps.Add(1)
	}
	return func() { g.inside.Add(-1) }
}

func (g *coupled) New(now congestion.Time, s congestion.Subflow) congestion.Controller {
	defer g.enter()()
	g.made.Add(1)
	time.Sleep(g.slow)
	return &member{g.Group.New(now, s), g}
}

func (g *coupled) Remove(congestion.Controller) {
	defer g.enter()()
	g.removed.Add(1)
	time.Sleep(g.slow)
}

type member struct {
	congestion.Controller
	g *coupled
}

func (m *member) OnSent(now congestion.Time, bytes, inFlight int64) {
	defer m.g.enter()()
	m.Controller.OnSent(now, bytes, inFlight)
}

func (m *member) OnAck(now congestion.Time, a congestion.Ack) {
	defer m.g.enter()()
	m.Controller.OnAck(now, a)
}

func (m *member) Window() int64 {
	defer m.g.enter()()
	return m.Controller.Window()
}

// A subflow comes and goes while another is busy: what couples their congestion control is called under one lock.
func TestCoupledCongestionControlNeedsNoLock(t *testing.T) {
	w := newWorld(t, secondAddr)
	g := &coupled{Group: congestion.Reno.NewGroup(), slow: 5 * time.Millisecond}
	seed := w.seed(true)
	seed.Congestion = g
	c, s := w.dial(seed)
	w.hello(c.d, s.d)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for b := make([]byte, 16<<10); ; {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := c.d.Write(b); err != nil {
				return
			}
		}
	}()
	var received atomic.Int64
	go func() {
		for b := make([]byte, 64<<10); ; {
			n, err := s.d.Read(b)
			received.Add(int64(n))
			if err != nil {
				return
			}
		}
	}()
	require.Eventually(t, func() bool { return received.Load() > 1<<20 }, 5*time.Second, time.Millisecond)
	w.join(c.d)
	require.EqualValues(t, 2, g.made.Load())
	require.NoError(t, c.d.CloseSubflow(2))
	require.Eventually(t, func() bool { return g.removed.Load() == 1 }, 5*time.Second, time.Millisecond)
	close(stop)
	<-ended
	_ = c.d.Abort(0)
	require.Eventually(t, func() bool { return g.removed.Load() == 2 }, 5*time.Second, time.Millisecond)
	require.Zero(t, g.overlaps.Load())
}

// unmade is congestion control that cannot even begin.
type unmade struct{ named bool }

func (u unmade) Name() string {
	if !u.named {
		panic("no name")
	}
	return "unmade"
}

func (unmade) NewGroup() congestion.Group { panic("no group") }

func TestCongestionControlThatCannotBegin(t *testing.T) {
	for _, factory := range []congestion.Factory{unmade{}, unmade{true}, nil} {
		w := newWorld(t)
		seed := w.seed(true)
		seed.Congestion = factory
		told := &traced{over: make(chan struct{})}
		seed.Driver.Trace = func(extapi.ConnInfo) extapi.Tracer { return told }
		c, s := w.dial(seed)
		require.Equal(t, "cubic", c.d.Subflows()[0].Congestion)
		exchange(t, c.d, s.d, 1<<20)
		require.NoError(t, c.d.Close())
		require.NoError(t, s.d.Close())
		<-told.over
		require.Contains(t, told.names(), "congestion_failed")
	}
}

// traced notes events.
type traced struct {
	events []extapi.Event // safe to read when over
	over   chan struct{}
}

func (t *traced) Trace(_ time.Duration, e extapi.Event) { t.events = append(t.events, e) }

func (t *traced) Close() error {
	close(t.over)
	return nil
}

func (t *traced) names() (list []string) {
	for _, e := range t.events {
		list = append(list, e.Name())
	}
	return list
}
