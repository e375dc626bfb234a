package driver

import (
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
)

// asleep is a connection in a process that does not run between two instants. What happens meanwhile it sees when it wakes, and
// before all that a deadline has passed.
type asleep struct {
	net.Conn
	from, wake time.Time
	deadline   time.Time
	came       []byte
}

func (c *asleep) SetReadDeadline(t time.Time) error {
	c.deadline = t
	return c.Conn.SetReadDeadline(t)
}

func (c *asleep) Read(b []byte) (int, error) {
	var err error
	if len(c.came) == 0 {
		buf := make([]byte, 16)
		var n int
		n, err = c.Conn.Read(buf)
		c.came = buf[:n]
	}
	if !time.Now().Before(c.from) {
		time.Sleep(time.Until(c.wake))
	}
	if !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, c.came)
	c.came = nil
	return n, err
}

// What comes in time is read, whenever and for how long the process does not run. A single deadline would pass in all of these.
func TestWhatCameWhileTheProcessSlept(t *testing.T) {
	const wait = 250 * time.Millisecond
	for came := time.Millisecond; came < wait-lastPiece; came += 13 * time.Millisecond {
		for from := time.Duration(0); from <= came; from += 7 * time.Millisecond {
			for _, wake := range []time.Duration{wait, wait + time.Millisecond, 2 * wait, time.Hour} {
				synctest.Test(t, func(t *testing.T) {
					ours, theirs := net.Pipe()
					start := time.Now()
					r := &PatientReader{Conn: &asleep{Conn: ours, from: start.Add(from), wake: start.Add(wake)}}
					time.AfterFunc(came, func() { _, _ = theirs.Write([]byte("answer")) })
					r.Wait(wait)
					b := make([]byte, 16)
					n, err := r.Read(b)
					require.NoError(t, err, "%v %v %v", came, from, wake)
					require.Equal(t, "answer", string(b[:n]))
					require.Equal(t, wake, time.Since(start))
				})
			}
		}
	}
}

func TestSilenceTakesTheWholeTime(t *testing.T) {
	for _, wait := range []time.Duration{1, lastPiece, 10 * time.Millisecond, 250 * time.Millisecond, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			ours, _ := net.Pipe()
			start := time.Now()
			r := &PatientReader{Conn: ours}
			r.Wait(wait)
			_, err := r.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, wait, time.Since(start))
		})
	}
}

// ending is a connection on which a wait is ended just when its reader sets its second deadline.
type ending struct {
	net.Conn
	set  int
	over atomic.Bool
}

func (c *ending) SetReadDeadline(t time.Time) error {
	if c.set++; c.set == 2 {
		c.end()
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *ending) end() {
	c.over.Store(true)
	_ = c.Conn.SetReadDeadline(longAgo)
}

func TestWaitThatIsEnded(t *testing.T) {
	for _, ends := range []time.Duration{0, 10 * time.Millisecond, 50 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			ours, _ := net.Pipe()
			c := &ending{Conn: ours}
			start := time.Now()
			r := &PatientReader{Conn: c, Over: c.over.Load}
			r.Wait(100 * time.Millisecond)
			time.AfterFunc(ends, c.end)
			_, err := r.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, ends, time.Since(start))
		})
	}
}

// anyAnswer is a handshake that any bytes complete.
type anyAnswer struct{}

func (anyAnswer) Feed(now time.Duration, e *engine.Conn, b []byte) (int, bool, error) {
	if len(b) > 0 {
		e.SetRemote(now, theirKey)
	}
	return len(b), len(b) > 0, nil
}

// The alarm of a process that did not run fires before a reader gets to see what has come meanwhile.
func TestHandshakeWhoseAlarmIsAsLateAsItsReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout, slept = time.Second, 3 * time.Second
		ours, theirs := net.Pipe()
		c := NewConn(Params{Engine: testEngine(), Key: ourKey}, nil)
		w := new(wire)
		start := time.Now()
		_, err := c.Attach(Subflow{
			Flow: w, Bind: w.bind, Net: &asleep{Conn: ours, from: start, wake: start.Add(slept + 1)},
			Params: engine.FlowParams{Initial: true}, Intake: anyAnswer{}, Timeout: timeout,
		})
		require.NoError(t, err)
		c.alarm.t.Reset(slept)
		_, err = theirs.Write([]byte("answer"))
		require.NoError(t, err)
		time.Sleep(slept + 2*timeout)
		c.mu.Lock()
		failed := c.rd.err
		c.mu.Unlock()
		require.NoError(t, failed)
		end(t, c, theirs)
	})
}
