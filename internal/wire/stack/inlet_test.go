package stack

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/driver"
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
