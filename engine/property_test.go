package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/scheduler"
	"github.com/stretchr/testify/require"
)

// world is one random life of a connection.
type world struct {
	l       *lab
	r       *rand.Rand
	links   []*labLink
	up, dn  []byte // what client and server write
	aborted bool
	healed  time.Duration // from then on the links work
	mem     [2]*scriptMemory
	story   []string
}

func between(r *rand.Rand, lo, hi int) int { return lo + r.IntN(hi-lo+1) }

func (w *world) tell(format string, a ...any) {
	w.story = append(w.story, fmt.Sprintf("%8v ", w.l.now)+fmt.Sprintf(format, a...))
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 7)), mem: [2]*scriptMemory{{}, {}}}
	r := w.r
	send, recv := between(r, 8<<10, 1<<20), between(r, 16<<10, 1<<20)
	schedulers := []scheduler.Factory{scheduler.MinRTT, scheduler.RoundRobin, scheduler.Redundant}
	fac := schedulers[r.IntN(len(schedulers))]
	sum := r.IntN(3) == 0
	w.l = newLab(t, seed, func(client bool, c *Config) {
		c.Rand = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
		c.SendBuffer, c.RecvBuffer, c.Checksum = send, recv, sum
		c.Scheduler, c.SchedName = fac.New(), fac.Name()
		c.Memory = w.mem[1]
		if client {
			c.Memory = w.mem[0]
		}
	})
	w.l.tcp = true
	w.tell("send %d recv %d %s checksum %t", send, recv, fac.Name(), sum)
	for i := range between(r, 1, 3) {
		w.links = append(w.links, &labLink{
			rate: mbit(float64(between(r, 2, 100))), delay: time.Duration(between(r, 1, 80)) * time.Millisecond,
			queue: int64(between(r, 4<<10, 256<<10)),
		})
		w.tell("link %d: %+v", i, *w.links[i])
	}
	w.up, w.dn = labBytes(between(r, 0, 400<<10)), labBytes(between(r, 0, 400<<10))
	w.l.join = func(_ *lab, j JoinRequest) *labLink {
		for i := range w.links {
			if j.Path.Local.Addr() == w.addr(i).Local.Addr() {
				return w.links[i]
			}
		}
		return nil
	}
	return w
}

func (w *world) addr(i int) extapi.Candidate {
	return extapi.Candidate{Local: labAddr(fmt.Sprintf("10.0.%d.1:0", i+1)), Interface: fmt.Sprintf("eth%d", i+1), IfIndex: i + 1, Kind: extapi.KindEthernet}
}

// addrs are the client's addresses but one (-1: all).
func (w *world) addrs(without int) (l []extapi.Candidate) {
	for i := range w.links {
		if i != without {
			l = append(l, w.addr(i))
		}
	}
	return l
}

// fault plans one thing that goes wrong between now and healed.
func (w *world) fault() {
	l, r := w.l, w.r
	// Before the first round trip is over there is nothing to join.
	const begin = 300 * time.Millisecond
	at := begin + time.Duration(r.Int64N(int64(w.healed-begin)))
	i := r.IntN(len(w.links))
	k := w.links[i]
	switch r.IntN(6) {
	case 0, 1: // a cut
		l.after(at, func() { w.tell("cut %d", i); k.dead = true })
		l.after(at+time.Duration(r.Int64N(int64(w.healed-at))), func() { w.tell("heal %d", i); k.dead = false })
	case 2: // flaps ten times a second
		for n := range 20 {
			l.after(at+time.Duration(n)*50*time.Millisecond, func() { k.dead = n%2 == 0 })
		}
	case 3: // an address goes and comes back
		l.after(at, func() { w.tell("address %d gone", i); l.client.c.SetLocalAddrs(l.now, w.addrs(i)) })
		l.after(at+time.Second, func() { w.tell("address %d back", i); l.client.c.SetLocalAddrs(l.now, w.addrs(-1)) })
	case 4: // a reader pauses
		h := []*labHost{l.client, l.server}[r.IntN(2)]
		l.after(at, func() { w.tell("pause"); h.paused = true })
		l.after(w.healed, func() { h.paused = false })
	case 5: // priorities change
		l.after(at, func() {
			for _, s := range l.client.c.flows {
				_ = l.client.c.SetBackup(l.now, s.id, r.IntN(2) == 0)
			}
		})
	}
}

func (w *world) live(seed uint64) {
	l, r := w.l, w.r
	l.first(w.links[0])
	s := l.client.c.flows[0]
	s.p.Interface = "eth1"
	l.client.c.SetLocalAddrs(0, w.addrs(-1))
	w.healed = 8 * time.Second
	for range r.IntN(6) {
		w.fault()
	}
	l.after(w.healed, func() {
		for _, k := range w.links {
			k.dead = false
		}
	})
	l.client.out, l.server.out = w.up, w.dn
	l.client.fin, l.server.fin = true, true
	if seed%5 == 0 {
		w.aborted = true
		h := []*labHost{l.client, l.server}[r.IntN(2)]
		l.after(time.Duration(r.Int64N(int64(3*time.Second))), func() { w.tell("abort"); h.c.Abort(l.now, ResetUnspecified) })
	}
	l.run(3*time.Minute, func() bool {
		return l.client.c.Done() && l.server.c.Done() && !l.client.paused && !l.server.paused
	})
}

// Whatever the links do, every byte arrives exactly once and in order, or both ends learn of the
// failure; nothing spins and nothing is left behind.
func TestConnectionsSurviveAnything(t *testing.T) {
	n := uint64(600)
	if testing.Short() {
		n = 40
	}
	for seed := range n {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { surviveAnything(t, seed) })
		if t.Failed() {
			return
		}
	}
}

func surviveAnything(t *testing.T, seed uint64) {
	before := pool.Outstanding()
	w := newWorld(t, seed)
	defer func() {
		if t.Failed() {
			for _, s := range w.story {
				t.Log(s)
			}
		}
	}()
	w.live(seed)
	l := w.l
	require.True(t, bytes.HasPrefix(w.up, l.server.in.Bytes()), "the server got something else")
	require.True(t, bytes.HasPrefix(w.dn, l.client.in.Bytes()), "the client got something else")
	require.Less(t, l.steps, 400_000, "busy")
	require.True(t, l.client.c.Done() && l.server.c.Done(), "not over after %v: client %v/%v server %v/%v, %d of %d up, %d of %d down",
		l.now, l.client.c.Done(), l.client.c.Err(), l.server.c.Done(), l.server.c.Err(), l.server.in.Len(), len(w.up), l.client.in.Len(), len(w.dn))
	if !w.aborted {
		require.NoError(t, l.client.c.Err())
		require.NoError(t, l.server.c.Err())
		require.Equal(t, len(w.up), l.server.in.Len())
		require.Equal(t, len(w.dn), l.client.in.Len())
		require.True(t, l.client.eof && l.server.eof)
		require.Less(t, l.now, 40*time.Second, "slow")
	}
	l.client.c.Close(l.now)
	l.server.c.Close(l.now)
	require.Equal(t, before, pool.Outstanding(), "buffers that nobody released")
	require.Zero(t, w.mem[0].held)
	require.Zero(t, w.mem[1].held)
}
