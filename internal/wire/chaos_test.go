package wire

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Bounds of what chaos may do to a connection.
const (
	chaosPatience = 20 * time.Second // the longest time without a byte in either direction while a path works
	chaosChunks   = 2000             // pool buffers of both ends together
	chaosFlows    = 16               // subflows of one end, dying ones included
)

// chaos is a connection whose network does not leave it alone.
type chaos struct {
	*world
	r      *rand.Rand
	nat    *onpath.NAT
	until  time.Duration
	works  [3]time.Duration // since when each route has been sound; -1: it is not
	away   [3]bool          // the client has no address there now
	boxed  [3]int           // middleboxes that were switched on, ever: the newest counts
	dup    [3]float64
	spared bool // the server has withdrawn its second address
	ways   [2]way
	chunks int64
	flows  int
	before int64
	story  []string
}

// way is one direction: what was sent and what arrived.
type way struct {
	sent, got int64
	last      time.Duration // when something arrived
	wrong     int64         // where the first wrong byte is; -1: nowhere
}

// chaosNoise is what both ends send over and over. Its length is a prime.
var chaosNoise = func() []byte {
	const period = 1<<18 - 5
	b := make([]byte, period, period+64<<10)
	rand.NewChaCha8([32]byte{'c', 'h', 'a', 'o', 's'}).Read(b)
	return append(b, b[:64<<10]...)
}()

// kbit is a rate in bytes per second.
func kbit(n int) int64 { return int64(n) * 125 }

// noiseAt is the stream from an offset on, 64 KiB at most.
func noiseAt(off int64, n int) []byte {
	at := off % (1<<18 - 5)
	return chaosNoise[at : at+int64(n)]
}

func (c *chaos) tell(format string, a ...any) {
	c.story = append(c.story, fmt.Sprintf("%10v ", c.now.Round(time.Millisecond))+fmt.Sprintf(format, a...))
	c.story = c.story[max(0, len(c.story)-40):]
}

func newChaos(t *testing.T, seed uint64, until time.Duration) *chaos {
	c := &chaos{r: rand.New(rand.NewPCG(seed, 99)), until: until, before: pool.Outstanding()}
	c.world = newWorld(t, seed, func(h *host) {
		h.offer.Checksum = seed%2 == 0
		h.super = int(seed%3) * (16 << 10)
		h.cfg.SendBuffer, h.cfg.RecvBuffer = 512<<10, 512<<10
		h.cfg.NoPathTimeout = time.Hour
	})
	for i, server := range []string{"10.0.1.2", "10.0.1.2", "10.0.2.2"} {
		c.connect(fmt.Sprintf("10.0.%d.1", i+1), server, route{
			delay: time.Duration(3+c.r.IntN(30)) * time.Millisecond, rate: kbit(300 + c.r.IntN(600)), queue: 100 * time.Millisecond,
		})
		c.duplicates(i)
	}
	c.nat = &onpath.NAT{Public: netip.MustParseAddr("192.0.2.3"), Reset: seed%3 == 0}
	c.routes[2].nat = c.nat.Public
	c.routes[2].through(c.nat)
	for i, h := range []*host{c.client, c.server} {
		w, back := &c.ways[i], &c.ways[1-i]
		w.wrong = -1
		h.source = func() {
			if len(h.out) == 0 && c.now < c.until {
				h.out = noiseAt(w.sent, 16<<10)
				w.sent += 16 << 10
			}
		}
		h.sink = func(b []byte) {
			if len(b) > 0 {
				back.last = c.now
			}
			if back.wrong < 0 && !bytes.Equal(b, noiseAt(back.got, len(b))) {
				back.wrong = back.got
			}
			back.got += int64(len(b))
		}
	}
	return c
}

// duplicates lets packets of a route come twice, as often as dup says.
func (c *chaos) duplicates(i int) {
	c.routes[i].box = func(_ bool, s packet.Segment) []packet.Segment {
		if c.dup[i] > 0 && c.r.Float64() < c.dup[i] {
			return []packet.Segment{s, s}
		}
		return []packet.Segment{s}
	}
}

// chaosBoxes are what a middlebox may do. Those that change data stand on no path of the first subflow: alone with it a
// connection would fall back, and be no connection of many paths any more.
var chaosBoxes = []string{
	"strip=all", "strip=data", "blank=syn", "blank=ack", "garble=data", "bad-option=ack", "twice=data", "drop-mptcp=data", "reject-mptcp=syn", "drop-join",
	"split=500", "split-first=700", "split-last=600", "coalesce=3000", "no-holes", "normalize", "thin-acks=4", "unseen-acks", "window=20000",
	"mtu-blackhole=1200", "bad-checksum=0.1", "reset=20", "finish=30", "urgent=10", "renumber", "bleach-ecn", "early-ack",
}

// box switches a middlebox on, and off after a while.
func (c *chaos) box(i int) {
	list := chaosBoxes
	if c.client.offer.Checksum {
		list = append([]string{"flip=15", "flip=1"}, list...)
	}
	name := list[c.r.IntN(len(list))]
	e, err := onpath.Named(name, rand.NewChaCha8([32]byte{byte(c.boxed[i])}))
	require.NoError(c.t, err)
	keep := []onpath.Element{}
	if i == 2 {
		keep = append(keep, c.nat)
	}
	c.boxed[i]++
	me := c.boxed[i]
	c.works[i] = -1
	c.tell("box %s on route %d", name, i)
	c.routes[i].through(append([]onpath.Element{e}, keep...)...)
	c.after(time.Second+time.Duration(c.r.Int64N(int64(8*time.Second))), func() {
		if me == c.boxed[i] {
			c.tell("no box on route %d", i)
			c.routes[i].through(keep...)
			c.boxed[i]++
		}
	})
}

// addresses tells the client's engine which addresses it has.
func (c *chaos) addresses() {
	all := c.client.candidates()
	now := all[:0]
	for i, a := range all {
		if !c.away[i] {
			now = append(now, a)
		}
	}
	if c.client.eng != nil {
		c.client.eng.SetLocalAddrs(c.now, now)
	}
}

// announce tells the server's engine which addresses it has.
func (c *chaos) announce() {
	if c.server.eng == nil {
		return
	}
	list := c.server.candidates()
	if c.spared {
		list = list[:1]
	}
	c.server.eng.SetLocalAddrs(c.now, list)
}

// event lets something happen now, and the next thing soon.
func (c *chaos) event() {
	if c.now >= c.until {
		return
	}
	i := c.r.IntN(3)
	k := c.routes[i]
	some := func(most time.Duration) time.Duration { return time.Duration(c.r.Int64N(int64(most))) }
	switch c.r.IntN(10) {
	case 0, 1:
		c.tell("cut route %d", i)
		k.dead = true
		c.after(100*time.Millisecond+some(8*time.Second), func() { c.tell("restored route %d", i); k.dead = false })
	case 2:
		c.tell("address %d gone", i)
		c.away[i] = true
		c.addresses()
		c.after(500*time.Millisecond+some(5*time.Second), func() { c.tell("address %d back", i); c.away[i] = false; c.addresses() })
	case 3:
		was := k.loss
		c.tell("burst of losses on route %d", i)
		k.loss = 0.2 + 0.5*c.r.Float64()
		c.after(some(time.Second), func() { k.loss = min(was, 0.02) })
	case 4:
		k.loss, k.reorder, c.dup[i] = 0.02*c.r.Float64(), 0.1*c.r.Float64(), 0.05*c.r.Float64()
		c.tell("route %d loses %.3f, reorders %.3f, doubles %.3f", i, k.loss, k.reorder, c.dup[i])
	case 5, 6:
		if i > 0 {
			c.box(i)
		}
	case 7:
		c.tell("NAT rebinds")
		c.nat.Rebind()
	case 8:
		k.rate, k.delay = kbit(200+c.r.IntN(700)), time.Duration(2+c.r.IntN(40))*time.Millisecond
		c.tell("route %d: %d B/s, %v", i, k.rate, k.delay)
	case 9:
		c.spared = !c.spared
		c.tell("the server's second address withdrawn: %t", c.spared)
		c.announce()
	}
	c.after(200*time.Millisecond+some(3*time.Second), c.event)
}

// watch checks the bounds each quarter of a second.
func (c *chaos) watch() {
	sound := false
	for i, k := range c.routes {
		switch {
		case k.dead || c.away[i] || k.loss > 0.1 || c.boxed[i]%2 == 1 || i == 2 && c.spared:
			c.works[i] = -1
		case c.works[i] < 0:
			c.works[i] = c.now
		case c.now-c.works[i] >= chaosPatience:
			sound = true
		}
	}
	for i, w := range c.ways {
		require.Negative(c.t, w.wrong, "way %d: the byte at this offset is wrong", i)
		require.False(c.t, sound && c.now-w.last > chaosPatience, "way %d stands still since %v though a path works", i, w.last)
	}
	c.chunks = max(c.chunks, pool.Outstanding()-c.before)
	for _, h := range []*host{c.client, c.server} {
		require.NoError(c.t, h.err)
		c.flows = max(c.flows, len(h.flows))
		h.events = h.events[:0]
	}
	require.Less(c.t, c.chunks, int64(chaosChunks), "buffers")
	require.Less(c.t, c.flows, chaosFlows, "subflows")
	c.after(250*time.Millisecond, c.watch)
}

// calm puts everything in order, so that what is under way arrives.
func (c *chaos) calm() {
	c.tell("calm")
	for i, k := range c.routes {
		k.dead, k.loss, k.reorder, k.rate, c.dup[i], c.away[i] = false, 0, 0, mbit(5), 0, false
		c.boxed[i] += c.boxed[i] % 2
	}
	c.routes[1].through()
	c.routes[2].through(c.nat)
	c.spared = false
	c.addresses()
	c.announce()
	c.client.fin, c.server.fin = true, true
}

// One connection over three paths that are cut and restored, whose addresses come and go on both sides, whose packets get
// lost in bursts, overtake one another and come twice, through a NAT that rebinds and middleboxes that come and go. Every byte
// arrives, and within a bounded time while a path works. MPTCP_CHAOS=1h (go test -timeout 1h) is the
// full proof: the virtual time of each of four seeds.
func TestChaos(t *testing.T) {
	until, seeds := 3*time.Minute, uint64(2)
	if raceEnabled {
		until = 20 * time.Second
	}
	if s := os.Getenv("MPTCP_CHAOS"); s != "" {
		var err error
		until, err = time.ParseDuration(s)
		require.NoError(t, err)
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			c := newChaos(t, seed, until)
			defer func() {
				if t.Failed() {
					for _, line := range c.story {
						t.Log(line)
					}
				}
			}()
			c.dial()
			c.run(time.Second, nil)
			c.announce()
			c.after(0, c.event)
			c.after(0, c.watch)
			c.run(until, nil)
			c.calm()
			c.run(until+2*time.Minute, func() bool { return c.client.eof && c.server.eof })
			for i, w := range c.ways {
				require.Negative(t, w.wrong, "way %d: the byte at this offset is wrong", i)
				require.Equal(t, w.sent, w.got, "way %d", i)
			}
			require.True(t, c.client.eof && c.server.eof, "both ends arrive")
			t.Logf("%v: %d and %d MiB, at most %d buffers and %d subflows", until, c.ways[0].got>>20, c.ways[1].got>>20, c.chunks, c.flows)
		})
	}
}
