package rawip

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/link"
)

var here = netip.MustParseAddr("127.0.0.1")

// filtered is what the filter lets through.
type filtered struct {
	mu      sync.Mutex
	list    []span
	changed int
}

func (f *filtered) set(list []span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = list
	f.changed++
}

func (f *filtered) spans() []span {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list
}

func (f *filtered) changes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *filtered) through(a netip.AddrPort) bool {
	return slices.ContainsFunc(f.spans(), func(s span) bool { return s.first <= a.Port() && a.Port() <= s.last })
}

// unfiltered are ports without a raw socket: shields need no privilege.
func unfiltered(t *testing.T) (p *ports, f *filtered) {
	t.Helper()
	f = &filtered{}
	p = newPorts(func(v6 bool, list []span) error {
		if v6 {
			return errors.New("no IPv6")
		}
		f.set(list)
		return nil
	}, func() {})
	t.Cleanup(p.close)
	return p, f
}

func remote(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 443)
}

func connect(t *testing.T, p *ports, local, to netip.AddrPort) *flow {
	t.Helper()
	f := &flow{tuple: tupleOf(local, to, 0), handler: newRecorder()}
	require.NoError(t, p.connect(f))
	return f
}

// rested lets the time pass that ports rest for.
func rested(p *ports) {
	p.sweep()
	p.sweep()
}

// A thousand remotes need few ports, and a thousand flows to one remote need a thousand.
func TestClientPortsAreShared(t *testing.T) {
	p, filtered := unfiltered(t)
	var flows []*flow
	for i := range 1000 {
		flows = append(flows, connect(t, p, netip.AddrPortFrom(here, 0), remote(i)))
	}
	require.Len(t, p.held, keptClients)
	for i, f := range flows {
		got, h, ours := p.lookup(f.local, remote(i), 0)
		require.Same(t, f, got)
		require.Same(t, f.handler, h)
		require.True(t, ours)
		require.True(t, filtered.through(f.local))
	}
	for range 200 {
		flows = append(flows, connect(t, p, netip.AddrPortFrom(here, 0), remote(5000)))
	}
	require.Len(t, p.held, 200)
	for _, f := range flows {
		p.remove(f)
		p.remove(f) // twice does nothing
	}
	require.Empty(t, p.flows)
	require.Empty(t, p.busy)
	rested(p)
	require.Len(t, p.held, keptClients)
	require.LessOrEqual(t, len(filtered.spans()), keptClients)
	for a := range p.held {
		require.True(t, filtered.through(a.AddrPort))
	}
	_, h, ours := p.lookup(flows[0].local, remote(0), 0)
	require.Nil(t, h)
	require.Equal(t, p.held[door{flows[0].local, 0}] != nil, ours)
}

// Ports of a client come in blocks, each of which the filter is changed for once; on Linux before 6.3 each is one.
func TestClientPortsComeInBlocks(t *testing.T) {
	p, filtered := unfiltered(t)
	const n = 10 * blockLen
	var flows []*flow
	for range n {
		flows = append(flows, connect(t, p, netip.AddrPortFrom(here, 0), remote(1)))
		require.True(t, filtered.through(flows[len(flows)-1].local))
	}
	if flows[0].port.span.first == flows[0].port.span.last {
		t.Skip("this kernel draws from the whole range alone")
	}
	// Others have ports there, too.
	require.Less(t, len(filtered.spans()), 2*n/blockLen)
	require.Less(t, filtered.changes(), 2*n/blockLen)
	for _, f := range flows {
		p.remove(f)
	}
	rested(p)
	require.LessOrEqual(t, len(filtered.spans()), keptClients)
	require.Less(t, filtered.changes(), 4*n/blockLen)
}

// A block whose other ports belong to other programs is left for another one, and not tried again before one of ours
// leaves it.
func TestClientPortsOfAFullBlock(t *testing.T) {
	p, filtered := unfiltered(t)
	block := connect(t, p, netip.AddrPortFrom(here, 0), remote(1)).port.span
	for p.gates[0].uses[block] < blockLen/2 && len(p.held) < blockLen {
		connect(t, p, netip.AddrPortFrom(here, 0), remote(1))
	}
	for port := int(block.first); port <= int(block.last); port++ {
		if nl, err := net.Listen("tcp4", netip.AddrPortFrom(here, uint16(port)).String()); err == nil {
			defer nl.Close()
		}
	}
	before := filtered.changes()
	for range blockLen / 4 {
		next := connect(t, p, netip.AddrPortFrom(here, 0), remote(1))
		require.NotEqual(t, block, next.port.span)
	}
	require.LessOrEqual(t, filtered.changes()-before, 3, "once for each block")
	p.gates[0].leave(block)
	p.gates[0].enter(block)
	require.Empty(t, p.gates[0].full)
}

// To shield a port takes system calls: whom a segment is for is told meanwhile, and connections end and are accepted.
func TestSegmentsDoNotWaitForPorts(t *testing.T) {
	called, goOn := make(chan struct{}), make(chan struct{})
	p := newPorts(func(bool, []span) error {
		called <- struct{}{}
		<-goOn
		return nil
	}, func() {})
	defer p.close()
	f := &flow{tuple: tupleOf(netip.AddrPortFrom(here, 0), remote(1), 0)}
	done := make(chan error)
	go func() { done <- p.connect(f) }()
	<-called
	over := make(chan struct{})
	go func() {
		defer close(over)
		p.lookup(netip.AddrPortFrom(here, 1), remote(1), 0)
		h := &held{users: 1}
		other := &flow{tuple: tupleOf(netip.AddrPortFrom(here, 1), remote(2), 0)}
		_ = p.accept(h, other)
		p.remove(other)
	}()
	select {
	case <-over:
	case <-time.After(5 * time.Second):
		t.Error("they waited")
	}
	close(goOn)
	require.NoError(t, <-done)
}

// Those who ask at once for ports get what each asked for, and the filter lets all of it through.
func TestPortsAtOnce(t *testing.T) {
	p, filtered := unfiltered(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 50 {
				f := &flow{tuple: tupleOf(netip.AddrPortFrom(here, 0), remote(k%3), 0)}
				if err := p.connect(f); err != nil {
					t.Error(err)
					return
				}
				if got, _, _ := p.lookup(f.local, f.remote, 0); got != f {
					t.Error("somebody else's flow")
				}
				if (i+k)%2 == 0 {
					p.remove(f)
				}
			}
		})
	}
	wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for a := range p.held {
		require.True(t, filtered.through(a.AddrPort), "%v", a)
	}
	users := 0
	for _, h := range p.held {
		users += h.users
	}
	require.Equal(t, 200, users)
	require.Len(t, p.flows, 200)
	busy := 0
	for _, n := range p.busy {
		busy += n
	}
	require.Equal(t, 200, busy)
}

// A new connection takes over the four-tuple of one that is over, and with it its port: who had it has nothing to give back.
func TestFlowInherits(t *testing.T) {
	p, filtered := unfiltered(t)
	old := connect(t, p, netip.AddrPortFrom(here, 0), remote(1))
	heir := &flow{tuple: old.tuple, handler: newRecorder()}
	require.NoError(t, p.inherit(old, heir))
	require.ErrorIs(t, p.inherit(old, &flow{tuple: old.tuple}), link.ErrClosed, "once")
	p.remove(old)
	got, _, ours := p.lookup(old.local, old.remote, 0)
	require.True(t, ours)
	require.Same(t, heir, got)
	require.Equal(t, 1, heir.port.users)
	require.Len(t, filtered.spans(), 1)
	p.remove(heir)
	require.Zero(t, heir.port.users)
}

// A port that another program listens on is not ours to take, nor can it take ours.
func TestPortsOfOthers(t *testing.T) {
	p, _ := unfiltered(t)
	nl, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer nl.Close()
	theirs := nl.Addr().(*net.TCPAddr).AddrPort()
	_, err = p.listen(theirs, 0, newRecorder())
	require.ErrorIs(t, err, link.ErrInUse)
	require.ErrorIs(t, p.connect(&flow{tuple: tupleOf(theirs, remote(1), 0)}), link.ErrInUse)
	require.False(t, p.holds(theirs, 0))

	ours := connect(t, p, netip.AddrPortFrom(here, 0), remote(1)).local
	_, err = net.Listen("tcp4", ours.String())
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	_, err = p.listen(netip.MustParseAddrPort("192.0.2.1:0"), 0, newRecorder())
	require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
	_, err = p.listen(netip.MustParseAddrPort("[::1]:0"), 0, newRecorder())
	require.ErrorContains(t, err, "no IPv6", "no port without a filter for it")
	require.Len(t, p.held, 1)
}

// Local addresses come and go: what their flows have left behind does not pile up.
func TestClientPortsOfManyAddresses(t *testing.T) {
	p, filtered := unfiltered(t)
	busy := connect(t, p, netip.AddrPortFrom(here, 0), remote(0))
	for i := range 200 {
		at := netip.AddrFrom4([4]byte{127, 0, 1, byte(1 + i)})
		p.remove(connect(t, p, netip.AddrPortFrom(at, 0), remote(1)))
		require.LessOrEqual(t, len(p.held), keptAddrs+1)
		require.LessOrEqual(t, len(filtered.spans()), keptAddrs+1)
		require.True(t, p.holds(netip.AddrPortFrom(at, p.clients[at][0].addr.Port()), 0), "its port is kept for the next one")
	}
	require.Same(t, busy, p.find(busy.local, remote(0), 0))
	require.True(t, p.holds(busy.local, 0))
}

// A listener gets what no flow takes, also at the port's other addresses when it listens on all; its flows live
// on when it stops, and the port with them.
func TestListener(t *testing.T) {
	for _, at := range []netip.Addr{here, netip.IPv4Unspecified()} {
		p, filtered := unfiltered(t)
		in := newRecorder()
		h, err := p.listen(netip.AddrPortFrom(at, 0), 0, in)
		require.NoError(t, err)
		local := netip.AddrPortFrom(here, h.addr.Port())
		_, err = p.listen(h.addr, 0, in)
		require.ErrorIs(t, err, link.ErrInUse, "twice")

		_, got, ours := p.lookup(local, remote(1), 0)
		require.True(t, ours)
		require.Same(t, in, got)
		f := &flow{tuple: tupleOf(local, remote(1), 0), handler: newRecorder()}
		require.NoError(t, p.accept(h, f))
		require.ErrorIs(t, p.accept(h, &flow{tuple: f.tuple}), link.ErrInUse)
		_, got, _ = p.lookup(local, remote(1), 0)
		require.Same(t, f.handler, got)
		_, got, _ = p.lookup(local, remote(2), 0)
		require.Same(t, in, got)
		require.Same(t, in, p.listener(f.local, 0))
		out := connect(t, p, local, remote(3)) // from the port of the listener
		_, _, ours = p.lookup(netip.AddrPortFrom(here, local.Port()+1), remote(1), 0)
		require.False(t, ours)

		p.unlisten(h)
		p.unlisten(h)
		_, got, ours = p.lookup(local, remote(2), 0)
		require.True(t, ours)
		require.Nil(t, got)
		require.Nil(t, p.listener(f.local, 0))
		p.remove(f)
		require.Len(t, filtered.spans(), 1)
		p.remove(out)
		rested(p)
		require.Empty(t, filtered.spans())
		require.False(t, p.holds(local, 0))
		require.ErrorIs(t, p.accept(h, f), link.ErrClosed)
	}
}

func TestPortsClosed(t *testing.T) {
	p, _ := unfiltered(t)
	h, err := p.listen(netip.AddrPortFrom(here, 0), 0, newRecorder())
	require.NoError(t, err)
	f := connect(t, p, netip.AddrPortFrom(here, 0), remote(1))
	p.close()
	p.remove(f)
	p.unlisten(h)
	_, err = p.listen(netip.AddrPortFrom(here, 0), 0, newRecorder())
	require.ErrorIs(t, err, link.ErrClosed)
	require.ErrorIs(t, p.connect(&flow{tuple: tupleOf(netip.AddrPortFrom(here, 0), remote(1), 0)}), link.ErrClosed)
	require.ErrorIs(t, p.accept(h, f), link.ErrClosed)
	require.Nil(t, p.listener(h.addr, 0))
	for _, a := range []netip.AddrPort{h.addr, f.local} {
		nl, err := net.Listen("tcp4", a.String())
		require.NoError(t, err, "the shields are down")
		nl.Close()
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPorts(nil, nil)
			list := make([]*flow, n)
			for i := range list {
				list[i] = &flow{tuple: tupleOf(netip.AddrPortFrom(here, 1000), remote(i), 0)}
				p.flows[list[i].tuple] = list[i]
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if f, _, _ := p.lookup(list[i].local, list[i].remote, 0); f == nil {
					b.Fatal("not found")
				}
				i = (i + 1) % n
			}
		})
	}
}

// A link-local address that is listened on is ours on its interface alone: on another one it may be the kernel's, or another
// listener's, and a flow between the same addresses there is another one.
func TestListenersOnOneInterfaceEach(t *testing.T) {
	p, _ := unfiltered(t)
	local, from := netip.MustParseAddrPort("[fe80::1]:80"), netip.MustParseAddrPort("[fe80::2]:5000")
	var ports [5]*held
	for _, index := range []int{3, 4} {
		ports[index] = &held{shield: shield{fd: -1, addr: local, span: span{80, 80}}, scope: index, handler: newRecorder(), users: 1}
		p.gates[1].enter(ports[index].span)
		p.held[ports[index].door()] = ports[index]
	}
	_, err := p.listen(local, 4, newRecorder())
	require.ErrorIs(t, err, link.ErrInUse)
	for _, index := range []int{3, 4} {
		_, h, ours := p.lookup(local, from, index)
		require.True(t, ours)
		require.Same(t, ports[index].handler, h)
		require.True(t, p.holds(local, index))
		f := &flow{tuple: tupleOf(local, from, index), handler: newRecorder()}
		require.NoError(t, p.accept(ports[index], f))
		require.ErrorIs(t, p.accept(ports[index], f), link.ErrInUse)
		require.Same(t, f, p.find(local, from, index))
	}
	p.remove(p.find(local, from, 3))
	p.unlisten(ports[3])
	for _, index := range []int{0, 3, 5} {
		_, _, ours := p.lookup(local, from, index)
		require.False(t, ours)
		require.False(t, p.holds(local, index))
	}
	require.NotNil(t, p.find(local, from, 4))
	require.True(t, p.holds(local, 4))
}
