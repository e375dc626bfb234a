package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/simnet"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/stretchr/testify/require"
)

// world is two hosts with an engine connection each, and what lies between them, in virtual time.
type world struct {
	t      testing.TB
	now    time.Duration
	events *simnet.Sim
	rng    *rand.Rand
	client *host
	server *host
	routes []*route
	lost   int // packets that the routes dropped
}

// route is what lies between one address of the client and the server.
type route struct {
	client, server netip.Addr
	delay          time.Duration
	rate           int64         // bytes per second; 0: any
	queue          time.Duration // how long a packet may wait; 0: any
	loss           float64
	reorder        float64 // this share takes twice the delay
	dead           bool
	// box is what a middlebox makes of a packet: any number of packets go on.
	box  func(up bool, s packet.Segment) []packet.Segment
	path *onpath.Chain // the same as elements; see through
	due  time.Duration // when path has something to do
	nat  netip.Addr    // the address that stands for the client's at the server
	data int           // bytes of payload that came through
	free [2]time.Duration
	seen []packet.Segment // with keep
	when []time.Duration  // of these
	keep bool
}

// host is one end.
type host struct {
	w      *world
	client bool
	eng    *engine.Conn
	cfg    engine.Config
	key    engine.Key
	offer  engine.CapableOffer
	flows  []*flow
	addrs  []netip.Addr
	port   uint16
	events []extapi.Event
	params tcp.Config // Local, Remote, ISN and Controller are set for each flow
	super  int
	next   uint16
	plain  bool          // does not speak Multipath TCP
	listen *tcp.Listener // answers every SYN with a cookie
	state  Stateless

	out    []byte
	fin    bool
	in     bytes.Buffer
	eof    bool
	err    error
	paused bool
	result Result // of the first subflow
	flooding
	controls
}

// controls is where congestion control comes from.
type controls struct {
	group congestion.Group
	own   congestion.Group // the program's, which the flows get their controllers of in Attach; nil: group's from the beginning
}

// flooding is an application that never ends.
type flooding struct {
	source func()         // refills out
	sink   func(b []byte) // takes what arrives, instead of in
}

type flow struct {
	*Flow
	h      *host
	local  netip.AddrPort
	remote netip.AddrPort
	params engine.FlowParams
	first  bool
	stray  bool // a join whose option got lost: another connection, on a real host
	joined bool // the peer's
	done   bool // settled, attached or failed
	err    error
}

func newWorld(t testing.TB, seed uint64, with ...func(h *host)) *world {
	w := &world{t: t, events: simnet.New(seed), rng: newRand(seed)}
	before := pool.Outstanding()
	mk := func(client bool) *host {
		h := &host{w: w, client: client, controls: controls{group: newGroup()}, port: 80, next: 40000}
		h.key = 0x0102030405060708
		if !client {
			h.key = 0x1112131415161718
		}
		h.offer = engine.CapableOffer{Carrier: extapi.CarrierWire}
		h.cfg = engine.Config{
			Client: client, Rand: rand.NewChaCha8([32]byte{byte(seed)}), SendBuffer: 4 << 20, RecvBuffer: 4 << 20,
			JoinDelay: 10 * time.Millisecond, JoinBytes: 64 << 10,
			NoPathTimeout: 30 * time.Second, CloseTimeout: 60 * time.Second, Counters: new(mib.Tally),
		}
		h.params = tcp.Config{MTU: 1500, NoDelay: true}
		for _, f := range with {
			f(h)
		}
		return h
	}
	w.client, w.server = mk(true), mk(false)
	t.Cleanup(func() {
		for _, h := range []*host{w.client, w.server} {
			if h.eng != nil {
				h.eng.Abort(w.now, engine.ResetUnspecified)
				h.eng.Close(w.now)
			}
			for _, f := range h.flows {
				f.Abort(w.now, engine.ResetUnspecified)
				f.Sent(w.now)
			}
		}
		w.events = nil
		require.Equal(t, before, pool.Outstanding(), "buffers that nobody released")
	})
	return w
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// connect adds a route between two addresses.
func (w *world) connect(client, server string, r route) *route {
	r.client, r.server = addr(client), addr(server)
	w.routes = append(w.routes, &r)
	for _, x := range []struct {
		h *host
		a netip.Addr
	}{{w.client, r.client}, {w.server, r.server}} {
		known := false
		for _, a := range x.h.addrs {
			known = known || a == x.a
		}
		if !known {
			x.h.addrs = append(x.h.addrs, x.a)
		}
	}
	return w.routes[len(w.routes)-1]
}

func (w *world) after(d time.Duration, do func()) {
	w.events.At(w.now+d, do)
}

// dial opens the connection from the client's first address to the server's first.
func (w *world) dial() {
	h := w.client
	h.eng = engine.NewConn(w.now, h.cfg, h.key)
	r := w.routes[0]
	f := h.flow(netip.AddrPortFrom(r.client, h.port40000()), netip.AddrPortFrom(r.server, w.server.port))
	f.first = true
	c := engine.NewCapable(h.offer, h.key)
	if h.plain {
		f.Flow = DialPlain(w.now, h.config(f), extapi.FallbackDisabled)
	} else {
		f.Flow = Dial(w.now, h.config(f), c)
	}
	h.enrol(f)
}

func (h *host) port40000() uint16 {
	h.next++
	return h.next
}

func (h *host) flow(local, remote netip.AddrPort) *flow {
	return &flow{h: h, local: local, remote: remote}
}

func (h *host) config(f *flow) Config {
	p := h.params
	p.Local, p.Remote = f.local, f.remote
	p.ISN = h.w.rng.Uint32()
	p.TSOffset = h.w.rng.Uint32()
	p.Rand = h.cfg.Rand
	if h.own != nil {
		return Config{TCP: p, Group: h.own, Congestion: "own", Counters: h.cfg.Counters}
	}
	p.Controller = h.group.New(h.w.now, congestion.Subflow{MSS: 1400, InitialWindow: 14000})
	return Config{TCP: p, Congestion: "reno", Counters: h.cfg.Counters}
}

// endings are what the host has counted of what ends subflows, or Multipath TCP itself: "MPRstTx 1 …" for the counters that are
// not zero.
func (h *host) endings() string {
	var l []string
	mib.Named(*h.cfg.Counters.Snapshot(), func(name string, n uint64) {
		for _, p := range []string{"MPRst", "MPFail", "MPFastclose", "Infinite", "DSSCorruption", "DataCsum", "DssFallback", "MPCapableDataFallback", "FallbackFailed"} {
			if n > 0 && strings.HasPrefix(name, p) {
				l = append(l, fmt.Sprint(name, " ", n))
			}
		}
	})
	return strings.Join(l, ", ")
}

func (h *host) enrol(f *flow) {
	f.SetSuper(h.super)
	h.flows = append(h.flows, f)
}

// run lets time pass until the given instant or until stop says so.
func (w *world) run(until time.Duration, stop func() bool) bool {
	w.t.Helper()
	w.settle()
	for idle := 0; stop == nil || !stop(); idle++ {
		require.Less(w.t, idle, 20000, "time stands still at %v", w.now)
		next := until
		if at, ok := w.events.Next(); ok {
			next = min(next, at)
		}
		for _, h := range []*host{w.client, w.server} {
			if at, ok := h.deadline(); ok {
				next = min(next, max(at, w.now))
			}
		}
		if next > w.now {
			w.now, idle = next, 0
		}
		for at, ok := w.events.Next(); ok && at <= w.now; at, ok = w.events.Next() {
			w.events.Step()
			w.settle()
		}
		for _, h := range []*host{w.client, w.server} {
			h.timeouts()
		}
		w.settle()
		if w.now >= until {
			return false
		}
	}
	return true
}

func (h *host) deadline() (at time.Duration, ok bool) {
	if h.eng != nil {
		at, ok = h.eng.Next()
	}
	for _, f := range h.flows {
		if t, has := f.Next(); has && (!ok || t < at) {
			at, ok = t, true
		}
	}
	return at, ok
}

func (h *host) timeouts() {
	if h.eng != nil {
		if at, ok := h.eng.Next(); ok && at <= h.w.now {
			h.eng.HandleTimeout(h.w.now)
		}
	}
	for _, f := range h.flows {
		if at, ok := f.Next(); ok && at <= h.w.now {
			f.HandleTimeout(h.w.now)
		}
	}
}

// settle lets everybody do what can be done now.
func (w *world) settle() {
	for range 3 {
		w.client.turn()
		w.server.turn()
	}
}

func (h *host) turn() {
	for i := 0; i < len(h.flows); i++ {
		h.settled(h.flows[i])
	}
	if h.eng != nil {
		h.application()
		h.joins()
		for {
			e, ok := h.eng.PollEvent()
			if !ok {
				break
			}
			h.events = append(h.events, e)
		}
	}
	h.transmit()
}

// settled looks whether a handshake is over.
func (h *host) settled(f *flow) {
	r, ok := f.Settled()
	if !ok || f.done {
		return
	}
	f.done, f.err = true, r.Err
	if f.stray {
		return
	}
	if f.first {
		h.result = r
	}
	switch {
	case r.Err != nil && f.params.Attempt != 0:
		h.eng.JoinFailed(h.w.now, f.params.Attempt, r.Err, r.Refused)
	case r.Err != nil && f.joined:
		h.eng.JoinRefused(h.w.now)
	case r.Err != nil:
		h.err = r.Err
	default:
		if h.eng == nil {
			h.eng = engine.NewConn(h.w.now, h.cfg, h.key)
		}
		f.Attach(h.w.now, h.eng, f.params)
		if f.first && h.client {
			h.eng.SetLocalAddrs(h.w.now, h.candidates())
		}
	}
}

func (h *host) candidates() []extapi.Candidate {
	var l []extapi.Candidate
	for i, a := range h.addrs {
		l = append(l, extapi.Candidate{Local: netip.AddrPortFrom(a, 0), Interface: string(rune('a' + i)), IfIndex: i + 1, Kind: extapi.KindEthernet})
	}
	return l
}

// joins carries out the engine's wishes.
func (h *host) joins() {
	for {
		r, ok := h.eng.PollJoin()
		if !ok {
			break
		}
		f := h.flow(netip.AddrPortFrom(r.Path.Local.Addr(), h.port40000()), r.Path.Remote)
		f.params = engine.FlowParams{
			Attempt: r.Attempt, LocalID: r.LocalID, RemoteID: r.RemoteID, Interface: r.Path.Interface, Backup: r.Backup, Role: r.Role,
		}
		k := h.eng.Keys()
		f.Flow = DialJoin(h.w.now, h.config(f), k, engine.NewJoinInitiator(k, h.w.rng.Uint32()|1, r.LocalID, r.Backup))
		h.enrol(f)
	}
	for {
		n, ok := h.eng.PollCancel()
		if !ok {
			return
		}
		for _, f := range h.flows {
			if f.params.Attempt == n && !f.done {
				f.done = true
				f.Abort(h.w.now, engine.ResetUnspecified)
			}
		}
	}
}

func (h *host) application() {
	for {
		if h.source != nil {
			h.source()
		}
		if len(h.out) == 0 {
			break
		}
		n, err := h.eng.Write(h.w.now, h.out)
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
		h.eng.CloseWrite(h.w.now)
	}
	var b [16 << 10]byte
	for !h.paused && !h.eof && h.eng.Readable() {
		n, err := h.eng.Read(h.w.now, b[:])
		if h.sink != nil {
			h.sink(b[:n])
		} else {
			h.in.Write(b[:n])
		}
		if errors.Is(err, io.EOF) {
			h.eof = true
		} else if err != nil {
			h.err = err
			break
		}
	}
}

// transmit sends what the flows have, and forgets those that are over.
func (h *host) transmit() {
	var buf [packet.MaxOptions]byte
	keep := h.flows[:0]
	for _, f := range h.flows {
		out := packet.Segment{Options: buf[:0]}
		for n := 0; f.Poll(h.w.now, &out); n++ {
			require.Less(h.w.t, n, 100000, "a flow that never stops sending")
			require.LessOrEqual(h.w.t, len(out.Options), packet.MaxOptions)
			h.w.send(h, out)
			out.Options = buf[:0]
		}
		f.Sent(h.w.now)
		if !f.Done() {
			keep = append(keep, f)
		}
	}
	clear(h.flows[len(keep):])
	h.flows = keep
}

// flatten is a copy of a segment that shares nothing with it.
func flatten(s packet.Segment) packet.Segment {
	c := s
	c.Options = append([]byte(nil), s.Options...)
	c.Payload = s.AppendPayload(nil)
	c.More = [packet.MaxPieces - 1][]byte{}
	return c
}

// split cuts a super-segment as a device does.
func split(s packet.Segment) []packet.Segment {
	size := s.SegSize
	s.SegSize = 0
	if size == 0 || len(s.Payload) <= size {
		return []packet.Segment{s}
	}
	var l []packet.Segment
	for off := 0; off < len(s.Payload); off += size {
		p := s
		end := min(off+size, len(s.Payload))
		p.Seq += uint32(off)
		p.Payload = s.Payload[off:end]
		if end < len(s.Payload) {
			p.Flags &^= packet.FIN | packet.PSH
		}
		l = append(l, p)
	}
	return l
}

// send puts a segment on its route.
func (w *world) send(from *host, s packet.Segment) {
	up := from == w.client
	r := w.route(s, up)
	for _, p := range split(flatten(s)) {
		if r == nil || r.dead {
			w.lost++
			continue
		}
		if r.keep {
			r.seen, r.when = append(r.seen, p), append(r.when, w.now)
		}
		out := []packet.Segment{p}
		if r.box != nil {
			out = r.box(up, p)
		}
		for _, q := range out {
			if r.path != nil {
				r.process(w, up, q)
			} else {
				w.carry(r, up, q)
			}
		}
	}
}

func (w *world) route(s packet.Segment, up bool) *route {
	c, d := s.Src.Addr(), s.Dst.Addr()
	if !up {
		c, d = d, c
	}
	for _, r := range w.routes {
		if (r.client == c || r.nat == c) && r.server == d {
			return r
		}
	}
	return nil
}

// carry takes a packet over a route: rate, queue, delay, loss and reordering.
func (w *world) carry(r *route, up bool, s packet.Segment) {
	if r.loss > 0 && w.rng.Float64() < r.loss {
		w.lost++
		return
	}
	dir := 0
	if up {
		dir = 1
	}
	start := max(w.now, r.free[dir])
	if r.queue > 0 && start-w.now > r.queue {
		w.lost++
		return
	}
	took := time.Duration(0)
	if r.rate > 0 {
		took = time.Duration(float64(s.Len()) / float64(r.rate) * float64(time.Second))
	}
	r.free[dir] = start + took
	d := r.delay
	if r.reorder > 0 && w.rng.Float64() < r.reorder {
		d *= 2
	}
	r.data += len(s.Payload)
	to := w.client
	if up {
		to = w.server
	}
	w.after(start+took-w.now+d, func() {
		if r.dead {
			w.lost++
			return
		}
		to.receive(s)
	})
}

// receive is a host's demultiplexer.
func (h *host) receive(s packet.Segment) {
	var p pool.Ref
	if len(s.Payload) > 0 {
		p = pool.Copy(s.Payload)
	}
	for _, f := range h.flows {
		if f.local == s.Dst && f.remote == s.Src {
			f.HandleSegment(h.w.now, &s, p)
			return
		}
	}
	if h.listen != nil {
		h.listening(&s, p)
		return
	}
	p.Release()
	if s.Flags&(packet.SYN|packet.ACK|packet.RST) == packet.SYN && s.Dst.Port() == h.port && !h.client {
		h.accept(s)
		return
	}
	if rst, ok := tcp.Reset(&s); ok {
		h.w.send(h, rst)
	}
}

// cookies makes a host answer every SYN with a cookie.
func (h *host) cookies() {
	h.state = Stateless{Secret: []byte("0123456789abcdef"), Want: h.offer}
	h.listen = tcp.NewListener(tcp.ListenConfig{Conn: h.params, SYNs: 1, Stateless: h.state})
	var syn, out packet.Segment
	syn.Src, syn.Dst, syn.Flags = netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:80"), packet.SYN
	h.listen.HandleSegment(0, &syn, &out) // whoever this is takes the only place
}

func (h *host) listening(s *packet.Segment, p pool.Ref) {
	out := packet.Segment{Options: make([]byte, 0, packet.MaxOptions)}
	v, k := h.listen.HandleSegment(h.w.now, s, &out)
	switch v {
	case tcp.Reply:
		h.w.send(h, out)
	case tcp.Restore:
		f := h.flow(s.Dst, s.Src)
		f.first = true
		f.Flow = h.state.Resume(h.w.now, h.config(f), s, k, extapi.FallbackNone)
		h.enrol(f)
		f.HandleSegment(h.w.now, s, p)
		r, ok := f.Settled()
		require.True(h.w.t, ok)
		if r.Fallback == extapi.FallbackNone {
			h.key = r.Capable.Local
		}
		return
	}
	p.Release()
}

// accept is a listener.
func (h *host) accept(s packet.Segment) {
	f := h.flow(s.Dst, s.Src)
	o := Open(&s)
	if h.plain {
		o = Opening{}
	}
	switch o.Asks {
	case AsksJoin:
		h.acceptJoin(f, o, s)
		return
	case AsksCapable:
		if c, ok := o.Negotiate(h.offer); ok {
			f.first = true
			f.Flow = Accept(h.w.now, h.config(f), c.WithKey(h.key), &s)
			h.enrol(f)
			return
		}
	}
	f.first, f.stray = h.eng == nil, h.eng != nil
	f.Flow = AcceptPlain(h.w.now, h.config(f), extapi.FallbackPeer, &s)
	h.enrol(f)
}

func (h *host) acceptJoin(f *flow, o Opening, s packet.Segment) {
	reason, transient := engine.ResetProtocol, false
	if h.eng != nil && o.Join.Token == h.key.Token() {
		j, p, err := h.eng.AcceptJoin(h.w.now, o.Join, s.Dst, s.Src, h.w.rng.Uint32()|1)
		var refused *engine.ResetError
		if err == nil {
			f.params, f.joined = p, true
			if f.Flow, err = AcceptJoin(h.w.now, h.config(f), h.eng.Keys(), j, &s); err == nil {
				h.enrol(f)
				return
			}
			h.eng.JoinRefused(h.w.now)
		} else if errors.As(err, &refused) {
			reason, transient = refused.Reason, refused.Transient
		}
	}
	if rst, ok := Reject(&s, reason, transient); ok {
		h.w.send(h, rst)
	}
}

// pattern is n bytes whose every 8-byte word tells its place.
func pattern(n int) []byte {
	b := make([]byte, (n+7)&^7)
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], uint64(i)*0x9E3779B97F4A7C15+1)
	}
	return b[:n]
}

// exchange sends up from the client and down from the server, and expects every byte and both ends.
func (w *world) exchange(up, down int, limit time.Duration) {
	w.t.Helper()
	a, b := pattern(up), pattern(down)
	w.client.out, w.client.fin = a, true
	w.server.out, w.server.fin = b, true
	w.dial()
	w.run(limit, func() bool { return w.client.eof && w.server.eof })
	w.arrived(a, w.server)
	w.arrived(b, w.client)
	require.True(w.t, w.client.eof, "the server's end arrives")
	require.True(w.t, w.server.eof, "the client's end arrives")
	require.NoError(w.t, w.client.err)
	require.NoError(w.t, w.server.err)
}

func (w *world) arrived(want []byte, at *host) {
	w.t.Helper()
	got := at.in.Bytes()
	require.Equal(w.t, len(want), len(got), "bytes delivered at %v", w.now)
	require.True(w.t, bytes.Equal(want, got), "bytes are right")
}

// over says whether both connections have ended, without an error.
func (w *world) over() bool {
	return w.client.eng.Done() && w.server.eng != nil && w.server.eng.Done()
}

// addrs are the two ends of tests with one flow.
var addrs = [2]netip.AddrPort{netip.MustParseAddrPort("10.0.1.1:40000"), netip.MustParseAddrPort("10.0.1.2:80")}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

func newGroup() congestion.Group { return congestion.Reno.NewGroup() }

func subflowOf() congestion.Subflow { return congestion.Subflow{MSS: 1400, InitialWindow: 14000} }
