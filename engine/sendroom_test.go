package engine

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// What waits unsent is bounded while data is under way, however much that is; only when the peer has taken everything and
// does not read on does the buffer take what it can.
func TestSendBufferTakesABacklog(t *testing.T) {
	const limit, underWay = 6 << 20, 3 << 20
	s, f := single(t, true, func(c *Config) { c.SendBuffer = limit })
	fill := func() {
		for s.c.Writable() {
			_, err := s.c.Write(s.now, make([]byte, 64<<10))
			require.NoError(t, err)
		}
	}
	f.Sends(window(underWay))
	fill()
	require.Equal(t, int64(underWay), s.c.Unacknowledged())
	require.Equal(t, int64(backlog), s.c.Backlog())

	f.Sends(ack(underWay))
	require.Zero(t, s.c.Unacknowledged(), "the window is shut")
	fill()
	require.Equal(t, int64(limit), s.c.Backlog(), "nobody reads there")
}
