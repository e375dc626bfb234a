package wire

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/extapi"
)

// ownGroup is a program's congestion control, that of Reno, which counts its controllers and panics in one of its methods.
type ownGroup struct {
	congestion.Group
	panics string // name of the method
	after  int    // calls of it that go well
	list   []congestion.Controller
	given  []congestion.Subflow
}

func newOwnGroup(panics string, after int) *ownGroup {
	return &ownGroup{Group: congestion.Reno.NewGroup(), panics: panics, after: after}
}

func (g *ownGroup) call(method string) {
	if method == g.panics {
		if g.after--; g.after < 0 {
			panic(method)
		}
	}
}

func (g *ownGroup) New(now congestion.Time, s congestion.Subflow) congestion.Controller {
	g.call("New")
	c := &ownController{g.Group.New(now, s), g}
	g.list, g.given = append(g.list, c), append(g.given, s)
	return c
}

func (g *ownGroup) Remove(c congestion.Controller) {
	g.list = slices.DeleteFunc(g.list, func(x congestion.Controller) bool { return x == c })
	g.call("Remove")
}

type ownController struct {
	congestion.Controller
	g *ownGroup
}

func (c *ownController) OnSent(now congestion.Time, bytes, inFlight int64) {
	c.g.call("OnSent")
	c.Controller.OnSent(now, bytes, inFlight)
}

func (c *ownController) OnAck(now congestion.Time, a congestion.Ack) {
	c.g.call("OnAck")
	c.Controller.OnAck(now, a)
}

func (c *ownController) OnLoss(now congestion.Time, l congestion.Loss) {
	c.g.call("OnLoss")
	c.Controller.OnLoss(now, l)
}

func (c *ownController) OnSpuriousLoss(now congestion.Time) {
	c.g.call("OnSpuriousLoss")
	c.Controller.OnSpuriousLoss(now)
}

func (c *ownController) OnMSS(mss int) {
	c.g.call("OnMSS")
	c.Controller.OnMSS(mss)
}

func (c *ownController) Window() int64 {
	c.g.call("Window")
	return c.Controller.Window()
}

func (c *ownController) PacingRate() int64 {
	c.g.call("PacingRate")
	return c.Controller.PacingRate()
}

func (c *ownController) Metrics() congestion.Metrics {
	c.g.call("Metrics")
	return c.Controller.Metrics()
}

// failures are the events that tell of the client's congestion control.
func (w *world) failures() (list []extapi.CongestionFailed) {
	for _, e := range w.client.events {
		if e, ok := e.(extapi.CongestionFailed); ok {
			list = append(list, e)
		}
	}
	return list
}

// A panic in the program's congestion control costs neither the connection nor a byte: the default takes over, and that
// is said once.
func TestCongestionControlThatPanics(t *testing.T) {
	for method, after := range map[string]int{
		"New": 1, "OnSent": 20, "OnAck": 20, "OnLoss": 0, "Window": 50, "PacingRate": 20, "Metrics": 30, "Remove": 0,
	} {
		t.Run(method, func(t *testing.T) {
			own := newOwnGroup(method, after)
			w, _, _ := two(t, 41, func(h *host) {
				if h.client {
					h.own = own
				}
			})
			for _, r := range w.routes {
				r.loss = 0.01
			}
			w.exchange(1<<20, 10<<10, time.Minute)
			for _, f := range w.client.flows {
				f.LeaveGroup()
			}
			require.Empty(t, own.list, "the group hears of every end")
			if method == "Remove" {
				return // of a flow that is over nobody is told more
			}
			list := w.failures()
			require.Len(t, list, 1)
			require.Equal(t, method, list[0].Value)
			require.NotZero(t, list[0].ID)
			require.Contains(t, w.names(), "cubic")
		})
	}
}

// names are those of the congestion control of the client's flows.
func (w *world) names() (list []string) {
	for _, f := range w.client.flows {
		list = append(list, f.Stats(w.now).Congestion)
	}
	return list
}

// A panic in a method that no transfer is sure to call.
func TestCongestionControlThatPanicsSeldom(t *testing.T) {
	for method, call := range map[string]func(congestion.Controller){
		"OnSpuriousLoss": func(c congestion.Controller) { c.OnSpuriousLoss(0) },
		"OnMSS":          func(c congestion.Controller) { c.OnMSS(1000) },
	} {
		own := newOwnGroup(method, 0)
		w, _ := one(t, 42, func(h *host) {
			if h.client {
				h.own = own
			}
		})
		w.client.out = pattern(10 << 10)
		w.dial()
		require.True(t, w.run(time.Second, func() bool { return len(own.list) == 1 }))
		call((*control)(w.client.flows[0].Flow))
		require.Empty(t, own.list)
		w.run(w.now+time.Second, nil)
		require.Len(t, w.failures(), 1, method)
		require.Equal(t, []string{"cubic"}, w.names())
	}
}

// The program's controllers learn what the handshake has found out, and come one for each subflow.
func TestCongestionControlIsAskedWhenAFlowIsAttached(t *testing.T) {
	own := newOwnGroup("", 0)
	w, a, _ := two(t, 43, func(h *host) {
		if h.client {
			h.own = own
		}
	})
	w.client.out = pattern(1 << 20)
	w.dial()
	require.Empty(t, own.given)
	require.True(t, w.run(5*time.Second, func() bool { return len(own.given) == 2 }))
	for _, s := range own.given {
		require.Equal(t, 1500-20-20-12, s.MSS)
		require.GreaterOrEqual(t, s.RTT, 2*a.delay)
	}
	require.Equal(t, []string{"own", "own"}, w.names())
	require.Empty(t, w.failures())
}
