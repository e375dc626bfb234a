package driver

import (
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
)

// queueing is a wire that queues what the engine sends.
type queueing struct {
	wire
	queue []byte
	other bool // something else waits too
}

func (w *queueing) Send(_ time.Duration, _ engine.Mapping, p pool.Ref) {
	w.queue = append(w.queue, p.B...)
	p.Release()
}
func (w *queueing) Pending() int                 { return len(w.queue) }
func (w *queueing) Queued() (int, bool)          { return len(w.queue), !w.other }
func (w *queueing) Gather(iov [][]byte) [][]byte { return append(iov, w.queue) }
func (w *queueing) Wrote(_ time.Duration, n int) { w.queue = w.queue[n:] }

// sink is a socket that takes everything, call by call, and from which nothing comes.
type sink struct {
	Raw
	end net.Conn

	mu   sync.Mutex
	list []int
}

// calls are the sizes of the writes so far.
func (s *sink) calls() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

func (s *sink) Writev(bufs [][]byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, length(bufs))
	return length(bufs), nil
}

func (s *sink) Readv(_ Target, wait bool) (int, error) {
	if !wait {
		return 0, ErrAgain
	}
	return s.end.Read(make([]byte, 1))
}

func (s *sink) Stats(*engine.FlowStats) error { return ErrAgain }

// sinking is a connection whose peer takes a large window and says nothing more.
func sinking(t *testing.T) (*Conn, *queueing, *sink, func()) {
	c := NewConn(Params{Engine: testEngine(), Key: ourKey}, func(now time.Duration, e *engine.Conn) {
		e.SetRemote(now, theirKey)
	})
	ours, theirs := net.Pipe()
	w, s := new(queueing), &sink{end: ours}
	_, err := c.Attach(Subflow{
		Flow: w, Bind: w.bind, Net: ours, Raw: s, Params: engine.FlowParams{Initial: true}, Established: true,
	})
	require.NoError(t, err)
	c.Update(func(now time.Duration, e *engine.Conn) { e.HandleWindow(now, w.id, ourKey.IDSN()+1, 1<<30) })
	return c, w, s, func() { end(t, c, theirs) }
}

func write(t *testing.T, c *Conn, n int) {
	_, err := c.Write(make([]byte, n))
	require.NoError(t, err)
}

// A path that has plenty under way gets runs, and what is left when the application stops a little later.
func TestWritesCollectIntoRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, s, end := sinking(t)
		defer end()
		const piece = 32 << 10
		for range plenty / piece {
			write(t, c, piece)
		}
		require.Len(t, s.calls(), plenty/piece, "a path with little under way gets everything at once")
		for range runSize / piece {
			write(t, c, piece)
		}
		require.Equal(t, []int{runSize}, s.calls()[plenty/piece:])

		write(t, c, piece)
		require.Len(t, s.calls(), plenty/piece+1)
		time.Sleep(collectTime - time.Nanosecond)
		synctest.Wait()
		require.Len(t, s.calls(), plenty/piece+1)
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		require.Equal(t, []int{runSize, piece}, s.calls()[plenty/piece:], "the application has not come back")
	})
}

// Whoever waits has nothing to add, and what is not data does not wait.
func TestCollectedRunsLeave(t *testing.T) {
	for name, act := range map[string]func(*testing.T, *Conn, *queueing){
		"Read": func(t *testing.T, c *Conn, _ *queueing) {
			require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Microsecond)))
			_, err := c.Read(make([]byte, 1))
			require.Error(t, err)
		},
		"CloseWrite": func(t *testing.T, c *Conn, _ *queueing) { require.NoError(t, c.CloseWrite()) },
		"Close":      func(t *testing.T, c *Conn, _ *queueing) { require.NoError(t, c.Close()) },
		"option": func(_ *testing.T, c *Conn, w *queueing) {
			c.Update(func(time.Duration, *engine.Conn) { w.other = true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, w, s, end := sinking(t)
				defer end()
				write(t, c, plenty)
				write(t, c, 1000)
				require.Equal(t, plenty, s.total())
				act(t, c, w)
				require.Equal(t, plenty+1000, s.total())
			})
		})
	}
}

func (s *sink) total() (n int) {
	for _, k := range s.calls() {
		n += k
	}
	return n
}
