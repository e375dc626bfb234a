package congestion

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A network of packets for controllers alone: senders that always have data, links with a rate, a queue and
// losses at random. The goodput that comes out is compared with the fluid model's, in which a TCP has
// sqrt(2/p)/rtt segments per second.

type testLink struct {
	rate  float64 // segments per second; 0: as much as comes
	queue int     // segments
	loss  float64 // of segments, at random
	free  Time    // when the last segment in the queue has left
}

type testSender struct {
	Controller
	link     *testLink
	rtt      time.Duration // without queues
	inFlight int64         // bytes
	got      int           // segments acknowledged in the second half of the run
}

type testEvent struct {
	at, sent Time
	to       *testSender
	lost     bool
}

type testEvents []testEvent

func (e testEvents) Len() int           { return len(e) }
func (e testEvents) Less(i, j int) bool { return e[i].at < e[j].at }
func (e testEvents) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *testEvents) Push(x any)        { *e = append(*e, x.(testEvent)) }
func (e *testEvents) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

type testNetwork struct {
	rnd     *rand.Rand
	events  testEvents
	senders []*testSender
}

func newTestNetwork() *testNetwork { return &testNetwork{rnd: rand.New(rand.NewPCG(1, 2))} }

// connect adds a connection with a subflow on each link, all with this RTT.
func (n *testNetwork) connect(f Factory, rtt time.Duration, links ...*testLink) []*testSender {
	g := f.NewGroup()
	var all []*testSender
	for _, l := range links {
		all = append(all, &testSender{Controller: g.New(0, Subflow{MSS: mss, RTT: rtt}), link: l, rtt: rtt})
	}
	n.senders = append(n.senders, all...)
	return all
}

func (n *testNetwork) run(d time.Duration) {
	for _, s := range n.senders {
		n.fill(0, s)
	}
	for len(n.events) > 0 {
		e := heap.Pop(&n.events).(testEvent)
		if e.at > d {
			return
		}
		s := e.to
		if e.lost {
			s.OnLoss(e.at, Loss{Bytes: mss, InFlight: s.inFlight, SentAt: e.sent})
		} else {
			rtt := e.at - e.sent
			s.OnAck(e.at, Ack{Bytes: mss, InFlight: s.inFlight, SentAt: e.sent, RTT: rtt, SRTT: rtt, MinRTT: s.rtt})
			if e.at > d/2 {
				s.got++
			}
		}
		s.inFlight -= mss
		n.fill(e.at, s)
	}
}

// fill sends what the window allows.
func (n *testNetwork) fill(now Time, s *testSender) {
	for s.inFlight+mss <= s.Window() {
		s.inFlight += mss
		s.OnSent(now, mss, s.inFlight)
		// What leaves in one instant is spread over a tenth of a round trip, lest senders be in step.
		at := now + Time(n.rnd.Int64N(int64(s.rtt/10)))
		l := s.link
		lost := n.rnd.Float64() < l.loss
		if l.rate > 0 {
			start := max(at, l.free)
			// The queue drops at random from the middle on, so that losses tell of the load and senders do not halve together.
			if full := (start - at).Seconds() * l.rate / float64(l.queue); full > 1 || n.rnd.Float64() < (full-0.5)/20 {
				lost = true
			} else if !lost {
				l.free = start + Time(float64(time.Second)/l.rate)
			}
			at = max(at, l.free)
		}
		heap.Push(&n.events, testEvent{at: at + s.rtt, sent: now, to: s, lost: lost})
	}
}

func total(senders []*testSender) (segments float64) {
	for _, s := range senders {
		segments += float64(s.got)
	}
	return segments
}

// Goal 2 of RFC 6356: "A multipath flow should not take up more capacity from any of the resources shared
// by its different paths than if it were a single flow using only one of these paths."
func TestSharedBottleneck(t *testing.T) {
	share := func(f Factory) float64 {
		n := newTestNetwork()
		l := &testLink{rate: 1000, queue: 100}
		multi := n.connect(f, 100*time.Millisecond, l, l)
		var single []*testSender
		for range 8 {
			single = append(single, n.connect(Reno, 100*time.Millisecond, l)...)
		}
		n.run(150 * time.Second)
		t.Logf("%s: %.0f, a TCP %.0f segments", f.Name(), total(multi), total(single)/8)
		return total(multi) / (total(single) / 8)
	}
	require.InDelta(t, 2, share(Reno), 0.3, "two subflows that are not coupled take two shares")
	for _, f := range couplings {
		require.InDelta(t, 1, share(f), 0.25, f.Name())
	}
}

// Goal 1: "A multipath flow should perform at least as well as a single path flow would on the best of the paths
// available to it." Where a TCP gets sqrt(2/p)/rtt, LIA's subflows have that of the best path together.
func TestBestPathIsEnough(t *testing.T) {
	rate := func(f Factory, loss ...float64) float64 {
		n := newTestNetwork()
		var links []*testLink
		for _, p := range loss {
			links = append(links, &testLink{loss: p})
		}
		all := n.connect(f, 100*time.Millisecond, links...)
		n.run(600 * time.Second)
		return total(all) / 300
	}
	best := rate(Reno, 0.001)
	t.Logf("a TCP on the best path: %.0f segments/s", best)
	for _, f := range couplings {
		got := rate(f, 0.001, 0.004)
		t.Logf("%s: %.0f", f.Name(), got)
		require.InDelta(t, 1, got/best, 0.15, f.Name())
	}
}

// Goal 3: "A multipath flow should move as much traffic as possible off its most congested paths". NewReno on each has
// sqrt(p2/p1) times as much on the one as on the other, LIA p2/p1 times as much.
func TestCongestionIsBalanced(t *testing.T) {
	ratio := func(f Factory) float64 {
		n := newTestNetwork()
		all := n.connect(f, 100*time.Millisecond, &testLink{loss: 0.001}, &testLink{loss: 0.004})
		n.run(600 * time.Second)
		t.Logf("%s: %d and %d", f.Name(), all[0].got, all[1].got)
		return float64(all[0].got) / float64(all[1].got)
	}
	require.InDelta(t, 2, ratio(Reno), 0.3)
	require.InDelta(t, 4, ratio(LIA), 1.2)
	require.Greater(t, ratio(BALIA), 2.5)
	require.Greater(t, ratio(OLIA), 4.0)
}

// A path that nobody else uses is used whole, beside one on which others are.
func TestFreePathIsUsed(t *testing.T) {
	for _, f := range couplings {
		n := newTestNetwork()
		shared, free := &testLink{rate: 500, queue: 50}, &testLink{rate: 500, queue: 50}
		multi := n.connect(f, 100*time.Millisecond, shared, free)
		single := n.connect(Reno, 100*time.Millisecond, shared)
		n.run(600 * time.Second)
		t.Logf("%s: %d and %d, the TCP %d", f.Name(), multi[0].got, multi[1].got, single[0].got)
		require.Greater(t, float64(multi[1].got)/300/500, 0.8, f.Name())
		require.Greater(t, float64(single[0].got)/300/500, 0.6, f.Name())
	}
}
