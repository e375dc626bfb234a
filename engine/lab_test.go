package engine

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"io"
	mrand "math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/simnet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// lab runs two engine connections against each other in virtual time, over links of the test's
// making: the flows below are the simplest that the port allows, a queue with a rate and a delay.
type lab struct {
	t      *testing.T
	now    time.Duration
	events *simnet.Sim
	rng    *mrand.Rand
	client *labHost
	server *labHost
	links  []*labLink
	join   func(l *lab, r JoinRequest) *labLink // the link that a join takes; nil: it fails
	tcp    bool                                 // what a dead link swallows is sent again, as TCP does
	steps  int                                  // events and timeouts so far
}

// labHost is one end: a connection, its events and what its application does.
type labHost struct {
	l      *lab
	c      *Conn
	events []extapi.Event

	out     []byte // still to be written
	fin     bool   // CloseWrite after that
	in      bytes.Buffer
	eof     bool
	err     error
	paused  bool // the application does not read
	gapFrom time.Duration
	maxGap  time.Duration // longest time between two reads that gave something
}

// labLink carries flows between the hosts; both directions share nothing but the switch.
type labLink struct {
	rate  int64 // bytes per second
	delay time.Duration
	queue int64 // bytes that a flow takes at once
	dead  bool  // swallows everything
	free  [2]time.Duration
}

// labFlow is one end of a subflow.
type labFlow struct {
	h      *labHost
	peer   *labFlow
	link   *labLink
	dir    int
	id     PathID
	queued int64
	limit  int64
	acked  int64
	last   time.Duration
	closed bool
	sent   int
	stuck  []labItem // what waits for a dead link (lab.tcp)
	wait   time.Duration
	strip  bool // lose the options of what is sent
	flip   int  // corrupt the first byte of that many payloads
	log    []options.Option
}

func newLab(t *testing.T, seed uint64, cfg ...func(client bool, c *Config)) *lab {
	l := &lab{t: t, events: simnet.New(seed), rng: mrand.New(mrand.NewPCG(seed, 1))}
	mk := func(client bool) *labHost {
		c := Config{
			Client: client, Rand: rand.Reader, SendBuffer: 1 << 20, RecvBuffer: 1 << 20,
			JoinDelay: 50 * time.Millisecond, JoinBytes: 64 << 10,
			NoPathTimeout: 60 * time.Second, CloseTimeout: 60 * time.Second,
		}
		for _, f := range cfg {
			f(client, &c)
		}
		return &labHost{l: l, c: NewConn(0, c, labKey(client))}
	}
	l.client, l.server = mk(true), mk(false)
	l.client.c.SetRemote(0, labKey(false))
	l.server.c.SetRemote(0, labKey(true))
	return l
}

func labKey(client bool) Key {
	if client {
		return 0x0102030405060708
	}
	return 0x1112131415161718
}

func labAddr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// first connects the hosts over their first subflow.
func (l *lab) first(link *labLink) (*labFlow, *labFlow) {
	return l.connect(link, FlowParams{Initial: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
}

// connect makes a subflow as both ends see it once its handshake is over.
func (l *lab) connect(link *labLink, p FlowParams) (*labFlow, *labFlow) {
	p.Carrier = extapi.CarrierWire
	l.links = append(l.links, link)
	a, b := &labFlow{h: l.client, link: link}, &labFlow{h: l.server, link: link, dir: 1}
	a.peer, b.peer = b, a
	q := p
	q.Local, q.Remote, q.LocalID, q.RemoteID = p.Remote, p.Local, p.RemoteID, p.LocalID
	q.Accepted, q.Attempt = !p.Initial, 0
	p.Joining = !p.Initial
	b.id = l.server.c.AddFlow(l.now, b, q)
	if b.id == 0 {
		l.client.c.JoinFailed(l.now, p.Attempt, io.ErrUnexpectedEOF, true)
		return a, b
	}
	if p.Initial {
		l.server.c.HandleEstablished(l.now, b.id)
	}
	if a.id = l.client.c.AddFlow(l.now, a, p); a.id == 0 {
		a.Abort(l.now, ResetProhibited)
	}
	b.Ack(l.now, l.server.c.ackValue(l.now))
	l.settle()
	return a, b
}

func (l *lab) after(d time.Duration, do func()) {
	l.events.At(l.now+d, do)
}

// run lets time pass until the given instant, or until stop says so.
func (l *lab) run(until time.Duration, stop func() bool) {
	l.settle()
	for idle := 0; !stop(); idle++ {
		require.Less(l.t, idle, 10000, "time stands still at %v", l.now)
		next := until
		if at, ok := l.events.Next(); ok {
			next = min(next, at)
		}
		for _, h := range []*labHost{l.client, l.server} {
			if at, ok := h.c.Next(); ok {
				next = min(next, max(at, l.now))
			}
		}
		if next > l.now {
			l.now, idle = next, 0
		}
		for at, ok := l.events.Next(); ok && at <= l.now; at, ok = l.events.Next() {
			l.events.Step()
			l.steps++
			l.settle()
		}
		for _, h := range []*labHost{l.client, l.server} {
			if at, ok := h.c.Next(); ok && at <= l.now {
				h.c.HandleTimeout(l.now)
				l.steps++
			}
		}
		l.settle()
		if l.now >= until {
			return
		}
	}
}

// settle lets both applications do what they can, and drains the outputs.
func (l *lab) settle() {
	for _, h := range []*labHost{l.client, l.server} {
		h.turn()
	}
}

func (h *labHost) turn() {
	for len(h.out) > 0 {
		n, err := h.c.Write(h.l.now, h.out)
		if h.err == nil {
			h.err = err
		}
		h.out = h.out[n:]
		if n == 0 {
			break
		}
	}
	if len(h.out) == 0 && h.fin {
		h.fin = false
		h.c.CloseWrite(h.l.now)
	}
	var b [16 << 10]byte
	for !h.paused && !h.eof && h.c.Readable() {
		n, err := h.c.Read(h.l.now, b[:])
		h.in.Write(b[:n])
		if n > 0 {
			h.maxGap = max(h.maxGap, h.l.now-h.gapFrom)
			h.gapFrom = h.l.now
		}
		if err == io.EOF {
			h.eof = true
		} else if err != nil {
			h.err = err
			break
		}
	}
	for {
		r, ok := h.c.PollJoin()
		if !ok {
			break
		}
		h.l.open(r)
	}
	for {
		e, ok := h.c.PollEvent()
		if !ok {
			break
		}
		h.events = append(h.events, e)
	}
}

// open carries out a JoinRequest of the client.
func (l *lab) open(r JoinRequest) {
	var link *labLink
	if l.join != nil {
		link = l.join(l, r)
	}
	if link == nil {
		l.after(time.Millisecond, func() { l.client.c.JoinFailed(l.now, r.Attempt, io.ErrUnexpectedEOF, false) })
		return
	}
	l.after(4*link.delay, func() {
		if link.dead {
			l.client.c.JoinFailed(l.now, r.Attempt, io.ErrUnexpectedEOF, false)
			return
		}
		l.connect(link, FlowParams{
			Attempt: r.Attempt, Local: netip.AddrPortFrom(r.Path.Local.Addr(), 5000), Remote: r.Path.Remote,
			LocalID: r.LocalID, RemoteID: r.RemoteID, Interface: r.Path.Interface, Backup: r.Backup, Role: r.Role,
		})
	})
}

// deliver puts something on the link: n bytes long, arriving at the peer as do.
func (f *labFlow) deliver(n int64, do func(p *labFlow)) {
	l, k := f.h.l, f.link
	start := max(l.now, k.free[f.dir])
	took := time.Duration(0)
	if k.rate > 0 {
		took = time.Duration(float64(n+40) / float64(k.rate) * float64(time.Second))
	}
	k.free[f.dir] = start + took
	f.queued += n
	l.after(start+took-l.now, func() {
		if f.closed {
			return
		}
		f.sent++
		f.cross(f.sent, func() {
			do(f.peer)
			f.peer.answer(func() { // the subflow's own ACK
				if f.closed {
					return
				}
				f.acked += n
				f.last = l.now
				f.queued -= n
				f.h.c.HandleProgress(l.now, f.id)
				f.h.c.HandleRoom(l.now, f.id)
			})
		})
	})
}

// cross takes something over the link. What a dead link swallows is lost, or, as with TCP, tried again
// with back-off, in order, for a minute.
func (f *labFlow) cross(seq int, do func()) {
	switch {
	case len(f.stuck) > 0:
		f.hold(seq, do)
	case !f.link.dead:
		f.h.l.after(f.link.delay, func() {
			if f.link.dead || len(f.stuck) > 0 {
				f.cross(seq, do)
				return
			}
			do()
		})
	case f.h.l.tcp:
		f.hold(seq, do)
		f.wait = 200 * time.Millisecond
		f.h.l.after(f.wait, f.retry)
	}
}

// labItem is something on its way, with its place in the flow's order.
type labItem struct {
	seq int
	do  func()
}

func (f *labFlow) hold(seq int, do func()) {
	i := len(f.stuck)
	for i > 0 && f.stuck[i-1].seq > seq {
		i--
	}
	f.stuck = slices.Insert(f.stuck, i, labItem{seq, do})
}

// answer is cross for acknowledgements: they are cumulative, so each finds its own way.
func (f *labFlow) answer(do func()) {
	f.h.l.after(f.link.delay, func() {
		switch {
		case !f.link.dead:
			do()
		case f.h.l.tcp:
			f.h.l.after(200*time.Millisecond, func() { f.answer(do) })
		}
	})
}

func (f *labFlow) retry() {
	l := f.h.l
	switch {
	case !f.link.dead:
		for _, i := range f.stuck {
			i.do()
		}
		f.stuck = nil
	case f.wait > 30*time.Second:
		f.stuck, f.closed = nil, true
		f.h.c.HandleClosed(l.now, f.id, io.ErrNoProgress)
	default:
		f.wait *= 2
		l.after(f.wait, f.retry)
	}
}

func (f *labFlow) Room() int {
	if f.closed {
		return 0
	}
	room := f.link.queue
	if f.limit > 0 {
		room = min(room, f.limit)
	}
	return int(max(0, room-f.queued))
}

func (f *labFlow) Send(now time.Duration, m Mapping, p pool.Ref) {
	d := options.DSS{
		HasMap: true, DSN64: true, DSN: m.DSN, SSN: m.SSN, DataLen: uint16(m.Len), DataFIN: m.DataFIN,
		HasChecksum: m.HasChecksum, Checksum: m.Checksum, HasAck: m.Ack.Valid, Ack64: true, DataAck: m.Ack.DataAck,
	}
	if m.DataFIN {
		d.DataLen++
	}
	if m.Infinite {
		d = options.DSS{HasMap: true, DSN64: true, DSN: m.DSN, SSN: m.SSN}
	}
	b := append([]byte(nil), p.B...)
	p.Release()
	if f.flip > 0 {
		f.flip--
		b[0] ^= 0x20
	}
	bare := f.strip || m.Continued
	f.deliver(int64(m.Len), func(q *labFlow) {
		c := q.h.c
		if !bare {
			c.HandleDSS(q.h.l.now, q.id, &d)
			if m.Ack.Valid {
				c.HandleWindow(q.h.l.now, q.id, m.Ack.DataAck, m.Ack.Window)
			}
		} else if f.strip {
			c.HandlePlain(q.h.l.now, q.id)
		}
		c.HandleBytes(q.h.l.now, q.id, pool.Copy(b))
	})
}

func (f *labFlow) Ack(now time.Duration, a Ack) {
	if !a.Valid || f.strip {
		return
	}
	f.deliver(0, func(q *labFlow) {
		d := options.DSS{HasAck: true, Ack64: true, DataAck: a.DataAck}
		q.h.c.HandleDSS(q.h.l.now, q.id, &d)
		q.h.c.HandleWindow(q.h.l.now, q.id, a.DataAck, a.Window)
	})
}

func (f *labFlow) Signal(now time.Duration, o options.Option) {
	f.log = append(f.log, o)
	f.deliver(0, func(q *labFlow) {
		if d, ok := o.(options.DSS); ok {
			q.h.c.HandleDSS(q.h.l.now, q.id, &d)
			return
		}
		q.h.c.HandleOption(q.h.l.now, q.id, o)
	})
}

func (f *labFlow) Close(now time.Duration) {
	f.deliver(0, func(q *labFlow) {
		q.h.c.HandleFIN(q.h.l.now, q.id)
		q.finish()
		q.answer(func() {
			f.h.c.HandleFINAcked(f.h.l.now, f.id)
			f.finish()
		})
	})
	f.log = append(f.log, nil)
}

// finish ends the flow once the FINs of both sides have been acknowledged.
func (f *labFlow) finish() {
	if s := f.h.c.flow(f.id); s != nil && s.finRcvd && s.finAcked {
		f.h.c.HandleClosed(f.h.l.now, f.id, nil)
	}
}

func (f *labFlow) Abort(now time.Duration, r ResetReason) {
	var fast *options.Fastclose // it goes with the RST
	if n := len(f.log); n > 0 {
		if o, ok := f.log[n-1].(options.Fastclose); ok {
			fast = &o
		}
	}
	q := f.peer
	f.sent++
	f.cross(f.sent, func() {
		if q.closed {
			return
		}
		q.closed = true
		if fast != nil {
			q.h.c.HandleOption(q.h.l.now, q.id, *fast)
		}
		q.h.c.HandleOption(q.h.l.now, q.id, options.TCPRst{Reason: uint8(r)})
		q.h.c.HandleClosed(q.h.l.now, q.id, io.ErrUnexpectedEOF)
	})
	f.closed = true
}

func (f *labFlow) Limit(n int64) { f.limit = n }

func (f *labFlow) Probe(now time.Duration) time.Duration {
	f.deliver(0, func(*labFlow) {})
	return now
}

func (f *labFlow) Remind(now time.Duration) { f.Probe(now) }

func (f *labFlow) Stats(now time.Duration) FlowStats {
	rtt := 2 * f.link.delay
	if f.link.rate > 0 {
		rtt += time.Duration(float64(f.queued) / float64(f.link.rate) * float64(time.Second))
	}
	return FlowStats{
		SRTT: rtt, RTTVar: rtt / 8, MinRTT: 2 * f.link.delay, CWnd: f.link.queue, InFlight: f.queued,
		DeliveryRate: f.link.rate, Acked: f.acked, LastProgress: f.last, Congestion: "lab",
	}
}

// labBytes is n bytes whose every 8-byte word tells its place.
func labBytes(n int) []byte {
	b := make([]byte, (n+7)&^7)
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], uint64(i)*0x9E3779B97F4A7C15+1)
	}
	return b[:n]
}

// sent asserts that everything given to a arrived at b, in order and once.
func (l *lab) arrived(want []byte, at *labHost) {
	l.t.Helper()
	require.Equal(l.t, len(want), at.in.Len(), "bytes delivered")
	require.True(l.t, bytes.Equal(want, at.in.Bytes()), "bytes are right")
}
