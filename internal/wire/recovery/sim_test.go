package recovery

import (
	"container/heap"
	"math/rand"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
)

// world is a whole transfer in virtual time: a sender in the shape of package tcp, a link, and a naive
// receiver. Everything in it but the Sender is as plain as can be.
type world struct {
	now    time.Duration
	events events
	seq    int
	rnd    *rand.Rand

	s      *Sender
	ctl    congestion.Controller
	rcv    *receiver
	total  uint64 // offset after the last byte
	window uint64 // receive window
	super  int64  // bytes that leave at once
	timer  int    // numbers the timer's events: an older one is void
	done   time.Duration
	step   func(w *world, what string, o Outcome) // after every call into the sender
	hooks  hooks

	link
	counts
}

// link is what happens to packets and ACKs on their way.
type link struct {
	delay   func(w *world) time.Duration  // one way, to the receiver
	back    func(w *world) time.Duration  // one way, of ACKs
	lose    func(w *world, p packet) bool // a packet dies
	loseACK func(w *world) bool           // an ACK dies
	copies  func(w *world, p packet) int  // 1: as it should be
	mark    func(w *world, p packet) bool // a router marks the packet
	rate    int64                         // bottleneck, bytes per second; 0: none
	queue   int64                         // bytes that wait before it; 0: any number
	busy    time.Duration
}

// counts are packets by kind, and timers.
type counts struct {
	sent, again, dropped int
	spurious             int // retransmissions that the receiver had already
	timeouts, probes     int
}

// hooks let a model follow what the sender is told.
type hooks struct {
	onSend  func(now time.Duration, from, to uint64)
	onAck   func(now time.Duration, a *Ack, o Outcome)
	onTimer func(now time.Duration, e Expired)
}

type packet struct {
	from, to uint64
	sentAt   time.Duration
	again    bool
	number   int
}

// index counts segments in the order of their offsets.
func (p packet) index() int { return int(p.from-1) / simMSS }

type event struct {
	at  time.Duration
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

const simMSS = 1000

// newWorld makes a transfer of n bytes over a link of the given round-trip time with nothing wrong.
func newWorld(n int, rtt time.Duration, opts ...func(*Config)) *world {
	cfg := Config{MSS: simMSS, SACK: true, Timestamps: true}
	for _, o := range opts {
		o(&cfg)
	}
	if cfg.Controller == nil {
		cfg.Controller = congestion.Reno.NewGroup().New(0, congestion.Subflow{MSS: cfg.MSS})
	}
	w := &world{
		s: New(cfg), ctl: cfg.Controller, total: uint64(n) + 1, window: 1 << 30, super: int64(cfg.MSS),
		rnd: rand.New(rand.NewSource(1)),
	}
	w.delay = func(*world) time.Duration { return rtt / 2 }
	w.back = w.delay
	w.lose = func(*world, packet) bool { return false }
	w.loseACK = func(*world) bool { return false }
	w.copies = func(*world, packet) int { return 1 }
	w.mark = func(*world, packet) bool { return false }
	w.step = func(*world, string, Outcome) {}
	w.rcv = newReceiver(w, cfg)
	w.s.Resume(1)
	w.s.SetRTT(0, rtt)
	return w
}

func (w *world) at(t time.Duration, do func()) {
	w.seq++
	heap.Push(&w.events, event{t, w.seq, do})
}

// run goes on until all is acknowledged, or the limit.
func (w *world) run(limit time.Duration) bool {
	w.pump()
	for len(w.events) > 0 && w.s.Una() < w.total {
		e := heap.Pop(&w.events).(event)
		if e.at > limit {
			return false
		}
		w.now = max(w.now, e.at)
		e.do()
	}
	w.done = w.now
	return w.s.Una() == w.total
}

// pump sends what may be sent, as package tcp does: lost data first, then new data, whole segments only.
func (w *world) pump() {
	for {
		n := w.s.Allowance(w.now)
		r, ok := w.s.Retransmit()
		if !ok {
			edge := min(w.total, w.s.Una()+w.window)
			if w.s.Nxt() >= edge {
				break
			}
			r = Range{From: w.s.Nxt(), To: edge}
		}
		mss := int64(w.s.MSS())
		size := min(r.Len(), w.super, max(n/mss*mss, mss))
		if n < size {
			break
		}
		w.send(Range{From: r.From, To: r.From + uint64(size)}, false)
	}
	w.wake()
}

func (w *world) send(r Range, probe bool) {
	nxt := w.s.Nxt()
	idle := !probe && r.To == w.total
	w.s.OnSend(w.now, r.From, r.To, idle)
	if w.hooks.onSend != nil {
		w.hooks.onSend(w.now, r.From, r.To)
	}
	w.step(w, "send", Outcome{})
	for from := r.From; from < r.To; {
		to := min(r.To, from+uint64(w.s.MSS()))
		p := packet{from: from, to: to, sentAt: w.now, again: from < nxt, number: w.sent}
		w.sent++
		if p.again {
			w.again++
		}
		for range w.copies(w, p) {
			w.carry(p)
		}
		from = to
	}
}

// carry takes a packet over the link.
func (w *world) carry(p packet) {
	if w.lose(w, p) {
		w.dropped++
		return
	}
	leaves := w.now
	if w.rate > 0 {
		size := int64(p.to - p.from)
		waiting := max(w.busy-w.now, 0)
		if w.queue > 0 && int64(waiting)*w.rate/int64(time.Second) > w.queue {
			w.dropped++
			return
		}
		leaves = w.now + waiting + time.Duration(size*int64(time.Second)/w.rate)
		w.busy = leaves
	}
	marked := w.mark(w, p)
	w.at(leaves+w.delay(w), func() { w.rcv.take(p, marked) })
}

// ack brings an ACK back.
func (w *world) ack(a Ack) {
	if w.loseACK(w) {
		return
	}
	w.at(w.now+w.back(w), func() {
		a.Unsent = int64(min(w.total, w.s.Una()+w.window)) - int64(w.s.Nxt())
		o := w.s.OnAck(w.now, &a)
		if w.hooks.onAck != nil {
			w.hooks.onAck(w.now, &a, o)
		}
		w.step(w, "ack", o)
		w.pump()
	})
}

// wake sets the timer.
func (w *world) wake() {
	w.timer++
	n := w.timer
	at, ok := w.s.Next()
	if !ok {
		return
	}
	w.at(max(at, w.now), func() {
		if n != w.timer {
			return
		}
		e := w.s.OnTimer(w.now)
		if w.hooks.onTimer != nil {
			w.hooks.onTimer(w.now, e)
		}
		w.step(w, "timer", Outcome{})
		switch e {
		case RTO:
			w.timeouts++
		case Probe:
			w.probes++
			w.probe()
		}
		w.pump()
	})
}

func (w *world) probe() {
	edge := min(w.total, w.s.Una()+w.window)
	if from := w.s.Nxt(); from < edge {
		w.send(Range{From: from, To: min(edge, from+uint64(w.s.MSS()))}, true)
	} else if r, ok := w.s.Probe(); ok {
		w.send(r, true)
	}
}
