package mptcp

import (
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/wire"
)

// A peer joins as soon as it has the first acknowledgment: its token leads to the connection then, and not only when the
// program has been handed it.
func TestWireTokenLeadsToAConnectionThatNobodyHasAccepted(t *testing.T) {
	var tr Transport
	defer tr.Close()
	h := tr.use()
	m, err := h.newMember()
	require.NoError(t, err)
	require.NoError(t, m.draw())
	defer m.discard()
	w := &wireListener{h: h, queue: make(chan *arrival, 1)}
	_, found := w.Lookup(m.key.Token())
	require.False(t, found, "its handshake is not over")
	d := new(driver.Conn)
	w.Welcome(d, wire.Result{}, &multi{m: m})
	got, found := w.Lookup(m.key.Token())
	require.True(t, found)
	require.Same(t, d, got)
}

// A handshake that is under way when the listener is closed ends after it: the peer is reset like those who wait in the queue then,
// and the connection's place is given back, whichever of the two is first.
func TestWireNobodyIsWelcomeAfterClose(t *testing.T) {
	var tr Transport
	defer tr.Close()
	h := tr.use()
	for name, meet := range map[string]func(welcome, close func()){
		"before":  func(welcome, close func()) { welcome(); close() },
		"after":   func(welcome, close func()) { close(); welcome() },
		"at once": func(welcome, close func()) { var wg sync.WaitGroup; wg.Go(welcome); wg.Go(close); wg.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			for range 100 {
				m, err := h.newMember()
				require.NoError(t, err)
				require.NoError(t, m.draw())
				b := newMulti(m, (&Config{}).resolve(), netip.AddrPort{}, netip.AddrPort{})
				w := &wireListener{h: h, queue: make(chan *arrival, 1), done: make(chan struct{})}
				p := b.seed(t.Context(), false).Driver
				p.Key = m.key
				d := driver.NewConn(p, nil)
				meet(func() { w.Welcome(d, wire.Result{}, b) }, func() { require.NoError(t, w.Close()) })
				select {
				case <-d.Closed():
				default:
					t.Fatal("left alone")
				}
				_, found := w.Lookup(m.key.Token())
				require.False(t, found)
			}
		})
	}
}
