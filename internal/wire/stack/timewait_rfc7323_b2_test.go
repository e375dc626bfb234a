package stack

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/wire/link"
)

// short is a connection that the client closes first; it returns the client's port, which is in TIME-WAIT then.
func (w *world) short(waiting int) uint16 {
	w.t.Helper()
	c, s := w.dial(w.seed(true))
	w.hello(c.d, s.d)
	w.part(c.d, s.d)
	require.Eventually(w.t, func() bool { return w.waiting() == waiting }, 5*time.Second, time.Millisecond)
	return uint16(c.d.LocalAddr().(*net.TCPAddr).Port)
}

// served is a connection that the server closes first.
func (w *world) served() {
	w.t.Helper()
	c, s := w.dial(w.seed(true))
	w.hello(c.d, s.d)
	w.part(s.d, c.d)
	<-s.d.Closed()
}

// part closes a connection at both ends, one after the other.
func (w *world) part(first, second *driver.Conn) {
	w.t.Helper()
	require.NoError(w.t, first.Close())
	_, err := second.Read(make([]byte, 1))
	require.ErrorIs(w.t, err, io.EOF)
	require.NoError(w.t, second.Close())
	<-second.Closed()
}

// waiting counts the client's connections in TIME-WAIT.
func (w *world) waiting() int { return waiting(w.client) }

func waiting(s *Stack) (n int) {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	for _, l := range s.waits.lists {
		n += l.Len()
	}
	return n
}

// Of the connections that a server closed first, so many are kept in TIME-WAIT, those that came last.
func TestAcceptedInTimeWaitAreBounded(t *testing.T) {
	w := newWorld(t)
	w.server.waits.accepted = 3
	for n := range 6 {
		w.served()
		require.Eventually(t, func() bool { return waiting(w.server) == min(n+1, 3) }, 5*time.Second, time.Millisecond)
	}
	ports, flows, _ := w.population()
	require.Zero(t, ports)
	require.Equal(t, 3, flows, "the others are forgotten altogether")
}

// When no port is left, who dials is told so. A second after it was closed the oldest connection makes room for a new one,
// over the same addresses, whose timestamps go on.
func TestPortsInTimeWaitAreUsedAgain(t *testing.T) {
	w := newWorld(t)
	h := w.client.link.(*host)
	h.mu.Lock()
	h.last = h.next + 3
	h.mu.Unlock()
	var used []uint16
	for n := range 3 {
		used = append(used, w.short(n+1))
	}
	_, _, err := w.client.Dial(context.Background(), w.seed(true), netip.AddrPortFrom(clientAddr, 0), netip.AddrPortFrom(serverAddr, serverPort), "")
	require.ErrorIs(t, err, link.ErrNoPort)
	oldest := func() bool {
		ws := &w.client.waits
		ws.mu.Lock()
		defer ws.mu.Unlock()
		for _, l := range ws.lists {
			return l.Front().Value.(*wait).tcp.Renewable(w.client.now())
		}
		return false
	}
	for _, port := range used {
		require.Eventually(t, oldest, 5*time.Second, 10*time.Millisecond)
		require.Equal(t, port, w.short(3))
	}
}
