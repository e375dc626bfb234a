package mptcp

import (
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
