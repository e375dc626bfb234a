package rawip

import (
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// visited is a link of whose traffic all belongs to one connection, and a flow from itself to itself.
type visited struct {
	*testing.T
	link *Link
	in   *recorder
	flow link.Flow
	k    link.Inlet
	seq  uint32
}

// mine is the connection that the traffic belongs to.
var mine = new(int)

func newVisited(t *testing.T) *visited {
	t.Helper()
	return newVisitedAt(t, "127.0.0.1:0")
}

func newVisitedAt(t *testing.T, local string) *visited {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
	l, r := open(t, SuperOff)
	r.only = mine
	p, err := l.Listen(netip.MustParseAddrPort(local), r)
	require.NoError(t, err)
	f, err := l.Connect(netip.MustParseAddrPort(local), p.Local(), 0, r)
	require.NoError(t, err)
	t.Cleanup(f.Close)
	return &visited{t, l, r, f, f.Inlet(), 0}
}

// send sends the next segment.
func (v *visited) send() {
	v.Helper()
	v.seq++
	send(v, v.link, packet.Segment{Src: v.flow.Local(), Dst: v.flow.Remote(), Seq: v.seq, Flags: packet.ACK})
}

// expect is the next segment; it must have come.
func (v *visited) expect() {
	v.Helper()
	require.Equal(v, v.seq, v.in.next(v).Seq)
}

// receive receives without a buffer.
func (v *visited) receive(wait bool) (stays bool) {
	_, stays = v.k.Receive(nil, wait)
	return stays
}

// enter makes the test a guest.
func (v *visited) enter() {
	v.Helper()
	v.send()
	v.expect()
	require.Eventually(v, func() bool { return v.k.Take(mine) }, 5*time.Second, time.Millisecond)
}

// A guest receives, and nobody else does; when it has left, the keeper does, by itself and called.
func TestGuestReceives(t *testing.T) {
	v := newVisited(t)
	v.enter()
	before := v.link.Counters()
	for range 3 {
		v.send()
		time.Sleep(5 * tick)
		require.Empty(v, v.in.segments, "the keeper is not there")
		require.True(v, v.receive(true))
		v.expect()
	}
	require.True(v, v.receive(false), "there is nothing, and it does not wait")
	after := v.link.Counters()
	require.EqualValues(v, 3, after.GuestBatches-before.GuestBatches)
	require.EqualValues(v, 3, after.Batches-before.Batches)
	v.k.Leave(false)
	v.send()
	v.expect()
	require.Equal(v, after.GuestBatches, v.link.Counters().GuestBatches)

	v.enter()
	v.k.Leave(true)
	v.send()
	v.expect()
	require.False(v, v.k.Take(mine), "somebody else waits: it does not come and go")
}

// A guest that leaves calls the keeper at once where others wait for what comes, or it is for others, or where the keeper sleeps;
// else it may come back first.
func TestGuestCallsTheKeeper(t *testing.T) {
	for _, c := range []struct {
		wanted, asleep bool
		only           any
		calls          int
	}{{false, false, mine, 0}, {true, false, mine, 1}, {false, false, nil, 1}, {false, true, mine, 1}} {
		k := &inlet{
			link:   &Link{cfg: Config{Clock: func() time.Duration { return 0 }}},
			holder: guest, guest: mine, only: c.only, asleep: c.asleep, back: make(chan struct{}, 1),
		}
		k.Leave(c.wanted)
		require.Len(t, k.back, c.calls, "%+v", c)
	}
}

// Who may not be a guest.
func TestGuestMustBeAlone(t *testing.T) {
	v := newVisited(t)
	require.False(v, v.k.Take(mine), "there was no traffic of it")
	v.send()
	v.expect()
	require.False(v, v.k.Take(mine), "not for long enough")
	time.Sleep(2 * alone)
	require.False(v, v.k.Take(new(int)), "it is somebody else's")
	require.Eventually(v, func() bool { return v.k.Take(mine) }, 5*time.Second, time.Millisecond)
	require.False(v, v.k.Take(mine), "there is one already")
	v.in.mu.Lock()
	v.in.only = nil
	v.in.mu.Unlock()
	v.send()
	require.False(v, v.receive(true), "there is traffic of others")
	v.expect()
	v.k.Leave(false)
	v.send()
	v.expect()
	require.False(v, v.k.Take(mine))
}

// The wait of a guest can be ended, before it has begun too, and the next one is none the worse for it.
func TestGuestIsInterrupted(t *testing.T) {
	v := newVisited(t)
	v.enter()
	for _, first := range []bool{true, false} {
		done := make(chan bool)
		if first {
			require.NoError(v, v.k.SetReadDeadline(longAgo))
		}
		go func() { done <- v.receive(true) }()
		if !first {
			time.Sleep(10 * time.Millisecond)
			require.NoError(v, v.k.SetReadDeadline(time.Time{}))
			select {
			case <-done:
				require.Fail(v, "a deadline of never ends nothing")
			case <-time.After(10 * time.Millisecond):
			}
			require.NoError(v, v.k.SetReadDeadline(longAgo))
		}
		require.True(v, <-done)
		require.Empty(v, v.in.segments)
		go func() { done <- v.receive(true) }()
		time.Sleep(10 * time.Millisecond)
		v.send()
		require.True(v, <-done)
		v.expect()
	}
	v.k.Leave(false)
}

// Guests come and go while segments arrive: each is handled once, in order.
func TestGuestsComeAndGo(t *testing.T) {
	v := newVisited(t)
	const segments = 20000
	var mu sync.Mutex
	var last uint32
	all := make(chan struct{})
	v.in.do = func(s *packet.Segment, _ pool.Ref) {
		mu.Lock()
		defer mu.Unlock()
		if s.Seq != last+1 {
			t.Errorf("%d follows %d", s.Seq, last)
		}
		if last = s.Seq; last == segments {
			close(all)
		}
	}
	stop := make(chan struct{})
	var guests sync.WaitGroup
	for i := range 3 {
		guests.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if !v.k.Take(mine) {
					time.Sleep(50 * time.Microsecond)
					continue
				}
				for range n % 5 {
					if !v.receive(n%2 == 0) {
						break
					}
				}
				v.k.Leave(n%7 == 0)
			}
		})
	}
	began := time.Now()
	for range segments {
		v.send()
		mu.Lock()
		ahead := int(v.seq - last)
		mu.Unlock()
		if ahead > 100 {
			time.Sleep(100 * time.Microsecond)
		}
		require.Less(t, time.Since(began), 60*time.Second)
	}
	select {
	case <-all:
	case <-time.After(10 * time.Second):
		require.Fail(t, "segments are missing")
	}
	close(stop)
	require.Positive(t, v.link.Counters().GuestBatches)
	unblock := make(chan struct{})
	go func() { guests.Wait(); close(unblock) }()
	for {
		select {
		case <-unblock:
			return
		case <-time.After(time.Millisecond):
			_ = v.k.SetReadDeadline(longAgo)
		}
	}
}

// A link that is closed waits for its guest, which it sends away.
func TestLinkClosesUnderAGuest(t *testing.T) {
	v := newVisited(t)
	v.enter()
	closed := make(chan struct{})
	received := make(chan bool)
	go func() { received <- v.receive(true) }()
	time.Sleep(10 * time.Millisecond)
	go func() { defer close(closed); _ = v.link.Close() }()
	require.False(v, <-received)
	select {
	case <-closed:
		require.Fail(v, "the guest may still call handlers")
	case <-time.After(10 * time.Millisecond):
	}
	v.k.Leave(false)
	<-closed
	require.False(v, v.k.Take(mine))
}

// A batch brings as many packets as stay in a cache: few long ones, or many short ones.
func TestBatchesAreBounded(t *testing.T) {
	r := reader{msgs: make([]mmsghdr, batchSize)}
	for _, c := range []struct{ n, bytes, want int }{
		{32, 65535, 8}, {1, 65535, 8}, {8, 40, batchSize}, {32, 1500, batchSize}, {4, 32 << 10, 16}, {1, 0, batchSize},
	} {
		r.n = c.n
		for i := range c.n {
			r.msgs[i].n = uint32(c.bytes)
		}
		r.adapt()
		require.Equal(t, c.want, r.limit, "%+v", c)
	}
	r.n, r.limit = 0, 7
	r.adapt()
	require.Equal(t, 7, r.limit, "nothing has come: nothing is known")
}

// A link that is closed keeps neither its buffers nor the memory of all flows that it has had, though its owner keeps it for
// its counters.
func TestClosedLinkIsSmall(t *testing.T) {
	inNamespaces(t, func(w *world) {
		const flows = 20_000
		r := newRecorder()
		before := heap()
		l, err := Open(Config{Clock: func() time.Duration { return 0 }, Super: SuperOff}, r)
		require.NoError(w, err)
		p, err := l.Listen(netip.AddrPortFrom(near4, 0), r)
		require.NoError(w, err)
		for i := range flows {
			_, err := p.Accept(p.Local(), remote(i), 0, r)
			require.NoError(w, err)
		}
		require.Greater(w, heap()-before, int64(8<<20))
		require.NoError(w, l.Close())
		require.Less(w, heap()-before, int64(256<<10))
		runtime.KeepAlive(l)
	})
}

// heap is what lives, without what sync.Pool has.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
