package driver

import (
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/options"
)

// pending says when the alarm is due and whether its runtime timer ticks; 0: there is none.
func (c *Conn) pending(t testing.TB) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	ticks := c.alarm.t != nil && c.alarm.t.Stop()
	require.Equal(t, c.alarm.at != 0, ticks, "what the alarm believes")
	if ticks {
		c.alarm.t.Reset(c.alarm.at - c.now())
	}
	return c.alarm.at
}

// blockedRead reads in the background, and says when that ended and how.
func blockedRead(c *Conn) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 10))
		done <- err
	}()
	synctest.Wait()
	return done
}

// answer writes a DATA_ACK for n bytes of ours.
func answer(t testing.TB, theirs net.Conn, n int) {
	_, err := theirs.Write(options.DSS{HasAck: true, Ack64: true, DataAck: ourKey.IDSN() + 1 + uint64(n)}.Append(nil))
	require.NoError(t, err)
	synctest.Wait()
}

// An idle connection costs no CPU: nothing ticks, whether somebody waits in Read or not.
func TestNoTimerWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, w, theirs := attached(t, Params{})
		defer end(t, c, theirs)
		_, err := c.Write([]byte("hello"))
		require.NoError(t, err)
		require.Equal(t, "hello", string(w.sent))
		require.NotZero(t, c.pending(t), "what is under way is watched")
		answer(t, theirs, 5)

		var s stream
		s.record(pattern(3, 1))
		done := blockedRead(c)
		_, err = theirs.Write(s.Bytes())
		require.NoError(t, err)
		require.NoError(t, <-done)
		time.Sleep(time.Hour)
		require.Zero(t, c.pending(t))
		blockedRead(c)
		require.Zero(t, c.pending(t), "a Read without a deadline")
		time.Sleep(time.Hour)
		require.Zero(t, c.pending(t))
	})
}

// A deadline counts while somebody waits; each call of SetReadDeadline on a busy connection would
// else cost a timer.
func TestDeadlineOfNobodyArmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, theirs := attached(t, Params{})
		defer end(t, c, theirs)
		time.Sleep(time.Hour)
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
		require.Zero(t, c.pending(t))
		start := time.Now()
		require.ErrorIs(t, <-blockedRead(c), os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))
		require.ErrorIs(t, <-blockedRead(c), os.ErrDeadlineExceeded)
		require.Zero(t, c.pending(t))
	})
}

// A deadline that moves later leaves the runtime timer alone: it looks again when it fires.
func TestLaterDeadlineLeavesTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, theirs := attached(t, Params{})
		defer end(t, c, theirs)
		time.Sleep(time.Hour)
		start := time.Now()
		require.NoError(t, c.SetReadDeadline(start.Add(time.Second)))
		done := blockedRead(c)
		armed := c.pending(t)
		require.Equal(t, time.Hour+time.Second, armed)
		for i := range 100 {
			require.NoError(t, c.SetReadDeadline(start.Add(time.Minute+time.Duration(i)*time.Second)))
			require.Equal(t, armed, c.pending(t))
		}
		time.Sleep(2 * time.Second)
		require.Equal(t, time.Hour+time.Minute+99*time.Second, c.pending(t), "it has looked again")
		require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute+99*time.Second, time.Since(start))
	})
}

func TestEarlierAndLiftedDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, theirs := attached(t, Params{})
		defer end(t, c, theirs)
		start := time.Now()
		require.NoError(t, c.SetReadDeadline(start.Add(time.Hour)))
		done := blockedRead(c)
		require.NoError(t, c.SetReadDeadline(start.Add(time.Second)))
		require.ErrorIs(t, <-done, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))

		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		done = blockedRead(c)
		require.NoError(t, c.SetReadDeadline(time.Time{}))
		time.Sleep(time.Hour)
		require.Empty(t, done)
		require.NoError(t, c.SetReadDeadline(time.Unix(1, 0)))
		require.ErrorIs(t, <-done, os.ErrDeadlineExceeded, "one that has passed counts at once")
	})
}
