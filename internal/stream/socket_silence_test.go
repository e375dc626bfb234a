package stream

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
)

// sleepy is a connection in a process that does not run before an instant: it sees that a deadline has passed before it sees what has
// come.
type sleepy struct {
	net.Conn
	until time.Time
}

func (c *sleepy) Read(b []byte) (int, error) {
	time.Sleep(time.Until(c.until))
	return c.Conn.Read(b)
}

// A client that did not run for longer than it waits reads the answer all the same. No, too, is an answer.
func TestAnswerThatCameWhileTheClientSlept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := bufferedPipe()
		go func() {
			if o, err := Sniff(y, sniffParams); err == nil {
				o.Refuse(engine.ResetResources, true)
			}
		}()
		p := testParams()
		p.Key, p.HandshakeTimeout = 1, 250*time.Millisecond
		_, err := Client(t.Context(), &sleepy{x, time.Now().Add(260 * time.Millisecond)}, p)
		var r *engine.ResetError
		require.ErrorAs(t, err, &r)
	})
}

// stuck is a connection that does something in place of writing.
type stuck struct {
	net.Conn
	write func() error
}

func (c *stuck) Write([]byte) (int, error) { return 0, c.write() }

// Who has not been asked is not silent.
func TestQuestionThatDoesNotLeaveSaysNothingOfThePeer(t *testing.T) {
	x, _ := bufferedPipe()
	p := testParams()
	p.Key = 1
	_, err := Client(t.Context(), &stuck{x, func() error { return os.ErrDeadlineExceeded }}, p)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NotErrorIs(t, err, ErrNotStream)
}

// The end of a context counts, also when it has come just before the wait for the answer begins.
func TestContextThatEndsWithTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, _ := bufferedPipe()
		ctx, cancel := context.WithCancel(t.Context())
		p := testParams()
		p.Key = 1
		start := time.Now()
		_, err := Client(ctx, &stuck{x, func() error {
			cancel()
			time.Sleep(time.Millisecond)
			return nil
		}}, p)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, time.Millisecond, time.Since(start))
	})
}

// A wait for the first byte that somebody ends is over at once.
func TestSniffThatIsHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := bufferedPipe()
		var over atomic.Bool
		p := sniffParams
		p.First, p.Over = time.Minute, over.Load
		time.AfterFunc(time.Second, func() {
			over.Store(true)
			_ = y.SetReadDeadline(time.Unix(1, 0))
		})
		start := time.Now()
		o, err := Sniff(y, p)
		require.NoError(t, err)
		require.True(t, o.Silent())
		require.Equal(t, time.Second, time.Since(start))
		x.Close()
		y.Close()
	})
}
