package engine

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
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

// A chunk is taken as a whole or not at all, in order with what Write takes.
func TestSendBufferTakesChunks(t *testing.T) {
	s, f := single(t, true, func(c *Config) { c.SendBuffer = 256 << 10 })
	chunk := func(b byte) (n int, err error) {
		p := pool.Get(pool.MaxSize)
		for i := range p.Bytes() {
			p.Bytes()[i] = b
		}
		if n, err = s.c.WriteChunk(s.now, p); n == 0 {
			p.Release()
		}
		return n, err
	}
	want := []byte("begin")
	n, err := s.c.Write(s.now, want)
	require.NoError(t, err)
	require.Equal(t, len(want), n)
	for i := byte(1); i < 10; i++ {
		if n, err = chunk(i); n == 0 {
			break
		}
		require.NoError(t, err)
		want = append(want, bytes.Repeat([]byte{i}, pool.MaxSize)...)
	}
	require.NoError(t, err)
	require.Zero(t, n, "there is no room for a whole one")
	require.EqualValues(t, 256<<10-len(want), s.c.WriteRoom())
	require.Less(t, s.c.WriteRoom(), int64(pool.MaxSize))
	for len(want) < 256<<10 {
		n, err = s.c.Write(s.now, []byte("the rest, byte for byte"))
		require.NoError(t, err)
		require.Positive(t, n)
		want = append(want, "the rest, byte for byte"[:n]...)
	}
	f.Sends(window(1 << 20))
	require.True(t, bytes.Equal(want, f.data))
	f.Sends(ack(uint64(len(want))))

	s.mem.limit = max(s.mem.held, 1) // the budget is used up
	n, err = chunk(1)
	require.NoError(t, err)
	require.Zero(t, n)
	s.mem.limit = 0
	s.c.CloseWrite(s.now)
	_, err = chunk(1)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	s.c.Abort(s.now, ResetUnspecified)
	_, err = chunk(1)
	require.Error(t, err)
	require.NotErrorIs(t, err, io.ErrClosedPipe)
}

// Who has found the memory budget used up has room again when something of its own is acknowledged: until then nobody need try,
// and who waits for room is not told that there is some.
func TestSendBufferWaitsForMemory(t *testing.T) {
	s, f := single(t, true)
	f.Sends(window(1 << 20))
	const first = 20 << 10
	s.mem.limit = 40 << 10
	total := 0
	for range 10 {
		n, err := s.c.Write(s.now, make([]byte, first))
		require.NoError(t, err)
		total += n
	}
	require.Positive(t, total)
	require.Less(t, total, 10*first)
	require.False(t, s.c.Writable())
	n, err := s.c.Write(s.now, make([]byte, 1))
	require.NoError(t, err)
	require.Zero(t, n)
	f.Sends(ack(uint64(total)))
	require.True(t, s.c.Writable())
	n, err = s.c.Write(s.now, make([]byte, 1))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	s.mem.limit = 0
}
