// Package simtest runs whole connections in virtual time and one goroutine: the engine and the stream
// carrier's flows over simulated kernel sockets, handshakes included. What it measures depends on
// nothing but the code.
package simtest

import (
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/simnet"
	"github.com/mptcp-go/mptcp/scheduler"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if n := pool.Outstanding(); n != 0 && code == 0 {
			fmt.Fprintln(os.Stderr, n, "pooled buffers were never released")
			code = 1
		}
		os.Exit(code)
	}))
}

const (
	ms     = time.Millisecond
	mbit   = 1_000_000 / 8 // bytes per second
	second = time.Second
)

// wire is what a path is made of; both directions are alike.
type wire struct {
	rate  int64         // bytes per second
	delay time.Duration // one way
	queue int64         // bytes; 0: simnet's choice
}

// lan is what a proxy's path to the server is made of.
var lan = wire{1000 * mbit, ms, 0}

func (x wire) link() simnet.LinkConfig {
	return simnet.LinkConfig{Rate: x.rate, Delay: x.delay, Queue: x.queue}
}

// path is a way between the hosts: one local address each side.
type path struct {
	up, down       *simnet.Link
	client, server netip.AddrPort
	proxy          *proxy // between the wire and the server; nil: none
}

func (p *path) dead(on bool) {
	p.up.Blackhole(on)
	p.down.Blackhole(on)
}

// setup says what to build.
type setup struct {
	seed     uint64
	wires    []wire
	proxies  bool // each wire ends at one
	buffer   int  // SendBuffer and RecvBuffer; 0: 6 MiB, the default of Config
	portable bool // nobody reads TCP_INFO or caps the socket's unsent bytes
	sched    scheduler.Factory
	engine   func(client bool, c *engine.Config)
}

// world is two hosts with paths between them, and one connection.
type world struct {
	t              testing.TB
	sim            *simnet.Sim
	setup          setup
	paths          []*path
	client, server *end
	joins          int // join attempts that reached the server
}

func newWorld(t testing.TB, s setup) *world {
	if s.buffer == 0 {
		s.buffer = 6 << 20
	}
	if s.sched == nil {
		s.sched = scheduler.MinRTT
	}
	w := &world{t: t, sim: simnet.New(s.seed), setup: s}
	for i, x := range s.wires {
		n := byte(i + 1)
		w.paths = append(w.paths, &path{
			up: w.sim.NewLink(x.link()), down: w.sim.NewLink(x.link()),
			client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, n, 1}), 0),
			server: netip.MustParseAddrPort("10.0.9.9:80"),
		})
		if s.proxies {
			w.paths[i].proxy = &proxy{w: w, up: w.sim.NewLink(lan.link()), down: w.sim.NewLink(lan.link())}
		}
	}
	w.client, w.server = w.newEnd(true), w.newEnd(false)
	t.Cleanup(w.close)
	return w
}

func (w *world) newEnd(client bool) *end {
	cfg := engine.Config{
		Client: client, Rand: w.sim, Scheduler: w.setup.sched.New(), SchedName: w.setup.sched.Name(),
		SendBuffer: w.setup.buffer, RecvBuffer: w.setup.buffer,
		JoinDelay: 50 * ms, JoinBytes: 64 << 10,
		NoPathTimeout: 60 * second, CloseTimeout: 60 * second,
	}
	if w.setup.engine != nil {
		w.setup.engine(client, &cfg)
	}
	key := engine.Key(0x1112131415161718)
	if client {
		key = 0x0102030405060708
	}
	return &end{w: w, name: map[bool]string{true: "client", false: "server"}[client], key: key, cfg: cfg, eng: engine.NewConn(0, cfg, key)}
}

// locals are the client's addresses, as netmon would list them.
func (w *world) locals() []extapi.Candidate {
	var l []extapi.Candidate
	for i, p := range w.paths {
		l = append(l, extapi.Candidate{
			Local: p.client, Interface: "eth" + string(rune('0'+i)), IfIndex: i + 2, Kind: extapi.KindEthernet,
		})
	}
	return l
}

// run lets the world go on for d.
func (w *world) run(d time.Duration) { w.sim.Run(w.sim.Now() + d) }

// until runs the world until cond holds, at most for d.
func (w *world) until(d time.Duration, cond func() bool) {
	w.t.Helper()
	for end := w.sim.Now() + d; !cond(); {
		at, ok := w.sim.Next()
		require.True(w.t, ok && at <= end, "not within %v: client %v, server %v", d, w.client, w.server)
		w.sim.Step()
	}
}

// close ends the connection.
func (w *world) close() {
	for _, e := range []*end{w.client, w.server} {
		e.timer.Stop()
		e.act(func(now time.Duration) { e.eng.Abort(now, engine.ResetUnspecified) })
		for len(e.legs) > 0 {
			e.legs[0].drop()
		}
		e.timer.Stop()
	}
}
