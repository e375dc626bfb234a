package stream

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
)

// A path dies in the midst of a record, while Read waits for the rest of it in the application's own buffer. A
// join comes in all the same, and brings what is missing.
func TestJoinWhileReadWaitsForTheRestOfARecord(t *testing.T) {
	const size, through = 200_000, 100_000
	w := tcpWorld(t)
	direct := w.dial
	w.dial = func(ctx context.Context) (net.Conn, error) {
		far, err := direct(ctx)
		if err != nil {
			return nil, err
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		near, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		middle, err := ln.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { middle.Close(); far.Close() })
		go io.Copy(far, middle)
		go io.CopyN(middle, far, through) // then it swallows all
		return near, nil
	}
	w.clientP.Open = func(ctx context.Context, _ engine.JoinRequest) (net.Conn, error) { return direct(ctx) }
	a, b := w.connect(t, false)
	sent := make([]byte, size)
	for i := range sent {
		sent[i] = byte(i * i >> 7)
	}
	_, err := b.Write(sent)
	require.NoError(t, err)
	got := make(chan []byte, 1)
	go func() {
		buf := make([]byte, 2*size)
		n := 0
		for n < size {
			m, err := a.Read(buf[n:])
			if n += m; err != nil {
				break
			}
		}
		got <- buf[:n]
	}()
	require.Eventually(t, func() bool { return a.Info().BytesReceived > 0 }, 2*time.Second, time.Millisecond)
	time.Sleep(50 * time.Millisecond) // Read has all that came through
	w.join(t, a, b)
	select {
	case all := <-got:
		require.Equal(t, sent, all)
	case <-time.After(5 * time.Second):
		require.Fail(t, "what is missing does not come")
	}
	finish(t, a, b)
}
