package tcp

import (
	"bytes"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

var (
	clientAddr = netip.MustParseAddrPort("192.0.2.1:40000")
	serverAddr = netip.MustParseAddrPort("192.0.2.2:443")
)

func newController() congestion.Controller {
	return congestion.Reno.NewGroup().New(0, congestion.Subflow{MSS: 1448})
}

// link is one direction of a path in virtual time.
type link struct {
	delay, jitter time.Duration
	rate          float64 // bytes per second; 0: infinite
	queue         int     // bytes; 0: infinite
	loss, dup     float64
	corrupt       func(*packet.Segment) bool // false: dropped
	free          time.Duration              // when what is queued has left
}

// world is two ends with a link in each direction.
type world struct {
	t      failer
	now    time.Duration
	rng    *rand.Rand
	queue  events
	serial int
	ends   [2]*end // client, server
	links  [2]*link
	tap    func(from int, s *packet.Segment)
	steps  int
}

type event struct {
	at     time.Duration
	serial int
	to     int
	seg    packet.Segment
	data   []byte
	icmp   *packet.ICMPError // instead of a segment
}

type events []*event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].serial < e[j].serial
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(v any)   { *e = append(*e, v.(*event)) }
func (e *events) Pop() any {
	old := *e
	v := old[len(old)-1]
	*e = old[:len(old)-1]
	return v
}

// end is one connection with a program that sends a stream and collects what comes.
type end struct {
	w    *world
	id   int
	c    *Conn
	cfg  Config
	send []byte // still to be queued
	got  []byte

	established, fin, closed bool
	err                      error
	stuck                    int
	hold                     bool // do not consume
	held                     int
	closeWhenSent            bool
}

func (e *end) Established(now time.Duration) { e.established = true; e.fill(now) }
func (e *end) Data(now time.Duration, p pool.Ref) {
	e.got = append(e.got, p.B...)
	if e.hold {
		e.held += len(p.B)
	} else {
		e.c.Consumed(now, len(p.B))
	}
	p.Release()
}
func (e *end) FIN(time.Duration) { e.fin = true }
func (e *end) Acked(now time.Duration, _ uint64) {
	e.fill(now)
}
func (e *end) Room(now time.Duration)       { e.fill(now) }
func (e *end) Stuck(_ time.Duration, n int) { e.stuck = n }
func (e *end) Closed(_ time.Duration, err error) {
	if e.closed {
		e.w.t.Fatal("Closed twice")
	}
	e.closed, e.err = true, err
}

// fill queues as much as there is room for.
func (e *end) fill(now time.Duration) {
	for len(e.send) > 0 {
		n := min(e.c.Room(), len(e.send), 16<<10)
		if n <= 0 {
			return
		}
		e.c.Queue(now, pool.Copy(e.send[:n]))
		e.send = e.send[n:]
	}
	if e.closeWhenSent {
		e.c.Close(now)
	}
}

// failer is a test, or a check of rapid's.
type failer interface {
	require.TestingT
	Fatal(...any)
}

func newWorld(t failer, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	for i := range w.links {
		w.links[i] = &link{delay: 10 * time.Millisecond}
		w.ends[i] = &end{w: w, id: i}
	}
	w.ends[0].cfg = Config{Local: clientAddr, Remote: serverAddr, ISN: 0xFFFFFF00, TSOffset: 77, MTU: 1500, Controller: newController()}
	w.ends[1].cfg = Config{Local: serverAddr, Remote: clientAddr, ISN: 0x7FFFFFF0, TSOffset: 99, MTU: 1500, Controller: newController()}
	return w
}

// dial makes the client's SYN leave; the server is made by it.
func (w *world) dial() {
	e := w.ends[0]
	e.c = Dial(w.now, e.cfg, e)
	w.flush(0)
}

// flush sends what an end has to send.
func (w *world) flush(i int) {
	e := w.ends[i]
	if e.c == nil {
		return
	}
	var out packet.Segment
	out.Options = make([]byte, 0, packet.MaxOptions)
	for n := 0; e.c.Poll(w.now, &out); n++ {
		require.Less(w.t, n, 100000, "Poll never ends")
		w.transmit(i, &out)
		out.Options = out.Options[:0]
	}
	e.c.Sent(w.now)
}

// transmit puts a segment on the link, split if it is a super-segment.
func (w *world) transmit(from int, s *packet.Segment) {
	data := s.AppendPayload(nil)
	require.LessOrEqual(w.t, len(s.Options), packet.MaxOptions)
	one := *s
	one.Payload, one.More, one.SegSize = nil, [packet.MaxPieces - 1][]byte{}, 0
	one.Options = bytes.Clone(s.Options)
	if s.SegSize == 0 {
		w.put(from, one, data)
		return
	}
	for off := 0; off < len(data); off += s.SegSize {
		part := one
		part.Seq += uint32(off)
		end := min(off+s.SegSize, len(data))
		if end < len(data) {
			part.Flags &^= packet.FIN | packet.PSH
		}
		w.put(from, part, data[off:end])
	}
}

func (w *world) put(from int, s packet.Segment, data []byte) {
	l := w.links[from]
	if w.tap != nil {
		s.Payload = data
		w.tap(from, &s)
		s.Payload = nil
	}
	size := 40 + len(s.Options) + len(data)
	if l.corrupt != nil {
		s.Payload = data
		if !l.corrupt(&s) {
			return
		}
		s.Payload = nil
	}
	if w.rng.Float64() < l.loss {
		return
	}
	at := w.now
	if l.rate > 0 {
		if l.queue > 0 && float64(l.free-w.now)/1e9*l.rate > float64(l.queue) {
			return
		}
		l.free = max(l.free, w.now) + time.Duration(float64(size)/l.rate*1e9)
		at = l.free
	}
	copies := 1
	if w.rng.Float64() < l.dup {
		copies = 2
	}
	for range copies {
		when := at + l.delay
		if l.jitter > 0 {
			when += time.Duration(w.rng.Int64N(int64(l.jitter)))
		}
		w.serial++
		heap.Push(&w.queue, &event{at: when, serial: w.serial, to: 1 - from, seg: s, data: data})
	}
}

// step handles the next event, and says whether there was one before deadline.
func (w *world) step(deadline time.Duration) bool {
	at, who := deadline, -1
	if len(w.queue) > 0 && w.queue[0].at <= at {
		at, who = w.queue[0].at, 2
	}
	for i, e := range w.ends {
		if e.c == nil {
			continue
		}
		if t, ok := e.c.Next(); ok && t < at {
			at, who = t, i
		}
	}
	if who < 0 {
		w.now = deadline
		return false
	}
	w.steps++
	require.Less(w.t, w.steps, 3_000_000, "the simulation does not end")
	w.now = max(w.now, at)
	if who < 2 {
		w.ends[who].c.HandleTimeout(w.now)
		w.flush(who)
		return true
	}
	ev := heap.Pop(&w.queue).(*event)
	w.deliver(ev)
	return true
}

func (w *world) deliver(ev *event) {
	e := w.ends[ev.to]
	if ev.icmp != nil {
		e.c.HandleICMP(w.now, ev.icmp)
		w.flush(ev.to)
		return
	}
	if e.c == nil {
		if ev.to == 1 && ev.seg.Flags&(packet.SYN|packet.ACK) == packet.SYN {
			e.c = Accept(w.now, e.cfg, e, &ev.seg)
			w.flush(1)
		}
		return
	}
	if e.c.Done() { // its host answers for it
		ev.seg.Payload = ev.data
		if r, ok := Reset(&ev.seg); ok {
			w.put(ev.to, r, nil)
		}
		return
	}
	var p pool.Ref
	if len(ev.data) > 0 {
		p = pool.Copy(ev.data)
		ev.seg.Payload = p.B
	}
	e.c.HandleSegment(w.now, &ev.seg, p)
	w.flush(ev.to)
}

// run goes on until done says so or time is up.
func (w *world) run(limit time.Duration, done func() bool) bool {
	deadline := w.now + limit
	for !done() {
		if !w.step(deadline) {
			return done()
		}
	}
	return true
}

// finish ends both connections, so that they hold nothing any more.
func (w *world) finish() {
	for i, e := range w.ends {
		if e.c != nil {
			e.c.Abort(w.now)
			w.flush(i)
		}
	}
}

func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 12345
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// exchange sends both streams, closes both ways and checks every byte.
func (w *world) exchange(up, down int, limit time.Duration) {
	a, b := w.ends[0], w.ends[1]
	want0, want1 := pattern(up, 1), pattern(down, 2)
	a.send, b.send = want0, want1
	a.closeWhenSent, b.closeWhenSent = true, true
	w.dial()
	ok := w.run(limit, func() bool { return a.closed && b.closed })
	desc := fmt.Sprintf("after %v: client %v got %d of %d, server got %d of %d\nclient %+v\n", w.now, a.c.State(), len(a.got), down, len(b.got), up, a.c.Stats())
	if b.c != nil {
		desc += fmt.Sprintf("server %v %+v", b.c.State(), b.c.Stats())
	}
	require.True(w.t, ok, desc)
	require.NoError(w.t, a.err)
	require.NoError(w.t, b.err)
	require.True(w.t, bytes.Equal(want0, b.got), "server's bytes\n"+desc)
	require.True(w.t, bytes.Equal(want1, a.got), "client's bytes\n"+desc)
	require.True(w.t, a.fin && b.fin)
	w.finish()
}

func TestExchange(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*world)
	}{
		{"clean", func(*world) {}},
		{"rate", func(w *world) {
			for _, l := range w.links {
				l.rate, l.queue = 5e6, 100_000
			}
		}},
		{"loss", func(w *world) { w.links[0].loss, w.links[1].loss = 0.02, 0.02 }},
		{"heavy loss", func(w *world) { w.links[0].loss, w.links[1].loss = 0.1, 0.1 }},
		{"jitter", func(w *world) { w.links[0].jitter, w.links[1].jitter = 5*time.Millisecond, 5*time.Millisecond }},
		{"duplicates", func(w *world) { w.links[0].dup, w.links[1].dup = 0.2, 0.2 }},
		{"everything", func(w *world) {
			for _, l := range w.links {
				*l = link{delay: 20 * time.Millisecond, jitter: 10 * time.Millisecond, loss: 0.05, dup: 0.05, rate: 2e6, queue: 60000}
			}
		}},
	} {
		for _, opt := range []struct {
			name string
			set  func(*Config)
		}{
			{"all options", func(*Config) {}},
			{"no options", func(c *Config) { c.NoSACK, c.NoScale, c.NoTimestamps = true, true, true }},
			{"no SACK", func(c *Config) { c.NoSACK = true }},
			{"no timestamps", func(c *Config) { c.NoTimestamps = true }},
			{"ECN and pacing", func(c *Config) { c.ECN, c.Pacing = true, true }},
		} {
			t.Run(c.name+"/"+opt.name, func(t *testing.T) {
				for seed := range uint64(4) {
					w := newWorld(t, seed)
					c.set(w)
					for _, e := range w.ends {
						opt.set(&e.cfg)
					}
					w.exchange(300_000, 200_000, 10*time.Minute)
				}
			})
		}
	}
}
