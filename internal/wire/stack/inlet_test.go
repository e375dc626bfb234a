package stack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Flush tells the link whose segments a batch had: that of one connection, whichever of its subflows, or nobody's alone.
func TestFlushSaysWhoseSegmentsTheyWere(t *testing.T) {
	w := newWorld(t, secondAddr)
	one, s := w.dial(w.seed(true))
	w.hello(one.d, s.d)
	w.join(one.d)
	other, _ := w.dial(w.seed(true))
	time.Sleep(50 * time.Millisecond) // what comes by itself has come
	ports := make(map[*driver.Conn][]*port)
	w.client.mu.Lock()
	for p := range w.client.ports {
		ports[p.d.Load()] = append(ports[p.d.Load()], p)
	}
	w.client.mu.Unlock()
	require.Len(t, ports[one.d], 2)
	require.Len(t, ports[other.d], 1)
	for _, c := range []struct {
		whose any
		ports []*port
	}{
		{nil, nil},
		{one.d, ports[one.d]},
		{one.d, ports[one.d][:1]},
		{other.d, ports[other.d]},
		{nil, slices.Concat(ports[one.d], ports[other.d])},
		{nil, slices.Concat(ports[other.d], ports[one.d])},
	} {
		for _, p := range c.ports {
			w.client.mark(p)
		}
		require.Equal(t, c.whose, w.client.Flush(w.client.now()))
	}
}

// Who waits for bytes receives the segments that bring them.
func TestReaderReceives(t *testing.T) {
	w := newWorld(t)
	c, s := w.dial(w.seed(true))
	w.hello(c.d, s.d)
	server := w.fabric.hosts[1]
	before := server.guests.Load()
	exchange(t, c.d, s.d, 4<<20)
	require.Greater(t, server.guests.Load(), before)
}

// What comes next in order arrives in the buffer of a Read that waits for it; where its checksum has to be looked at first, nothing is
// the application's that has not been.
func TestReaderLendsItsBuffer(t *testing.T) {
	for _, checksum := range []bool{false, true} {
		t.Run(fmt.Sprint("checksum ", checksum), func(t *testing.T) { readLent(t, checksum) })
	}
}

func readLent(t *testing.T, checksum bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fabric.delay = time.Millisecond
		seed := w.seed(true)
		seed.Offer.Checksum = checksum
		c, s := w.dial(seed)
		w.hello(c.d, s.d)
		const pieces, piece = 20, 8 << 10
		data := make([]byte, pieces*piece)
		for i := range data {
			data[i] = byte(i * i >> 7)
		}
		go func() {
			for i := range pieces {
				time.Sleep(50 * time.Millisecond)
				_, err := c.d.Write(data[i*piece : (i+1)*piece])
				require.NoError(t, err)
			}
		}()
		got := make([]byte, len(data))
		for n := 0; n < len(got); {
			k, err := s.d.Read(got[n:])
			require.NoError(t, err)
			n += k
		}
		require.Equal(t, data, got)
		require.Equal(t, !checksum, w.fabric.hosts[1].direct.Load() > 0)
	})
}

// What arrives in the buffer of a Read out of order, twice, or for another connection is the application's no sooner than it is its
// turn: on two paths with loss, and two connections.
func TestLentBuffersUnderLoss(t *testing.T) {
	for n := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, secondAddr)
			w.fabric.delay = 2 * time.Millisecond
			var both sync.WaitGroup
			r := rand.New(rand.NewPCG(n, 41))
			var conns [2][2]*driver.Conn
			for i := range conns {
				c, s := w.dial(w.seed(true))
				w.hello(c.d, s.d)
				w.join(c.d)
				conns[i] = [2]*driver.Conn{c.d, s.d}
			}
			w.fabric.watch(func(*packet.Segment) bool { return r.Float64() < 0.02 })
			for _, c := range conns {
				both.Go(func() { exchange(t, c[0], c[1], 1<<20) })
			}
			both.Wait()
			require.Positive(t, w.fabric.hosts[0].direct.Load()+w.fabric.hosts[1].direct.Load())
			w.fabric.watch(func(*packet.Segment) bool { return false })
		})
	}
}
