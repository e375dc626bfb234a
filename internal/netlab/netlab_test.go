package netlab

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mptcp-go/mptcp/internal/onpath"
)

func TestMain(m *testing.M) {
	sweep()
	goleak.VerifyTestMain(m)
}

// fake is a device of which the test has the other side.
type fake struct {
	in, out chan []byte
	gone    chan struct{}
}

func newFake() *fake {
	return &fake{make(chan []byte, 100), make(chan []byte, 100), make(chan struct{})}
}

func (f *fake) name() string { return "fake" }

func (f *fake) Read(b []byte) (int, error) {
	select {
	case p := <-f.in:
		return copy(b, p), nil
	case <-f.gone:
		return 0, io.ErrClosedPipe
	}
}

func (f *fake) Write(p []byte) (int, error) {
	f.out <- p
	return len(p), nil
}

func (f *fake) Close() error {
	select {
	case <-f.gone:
	default:
		close(f.gone)
	}
	return nil
}

// Packets take their delay, one by one, whatever the timer was set for before; each direction its own.
func TestDelayInBothDirections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := onpath.NewLink(onpath.LinkConfig{Delay: time.Second}, nil)
		link.Set(onpath.Back, onpath.LinkConfig{Delay: 100 * time.Millisecond})
		near, far := newFake(), newFake()
		l := between(near, far, []onpath.Element{link})
		start := time.Now()
		near.in <- []byte("slow")
		time.Sleep(10 * time.Millisecond)
		far.in <- []byte("quick")
		require.Equal(t, "quick", string(<-near.out))
		require.Equal(t, 110*time.Millisecond, time.Since(start))
		require.Equal(t, "slow", string(<-far.out))
		require.Equal(t, time.Second, time.Since(start))

		near.in <- []byte("x")
		synctest.Wait()
		s := l.Stats()
		require.Equal(t, Count{2, 5}, s.In[onpath.Forward])
		require.Equal(t, Count{1, 4}, s.Out[onpath.Forward])
		require.EqualValues(t, 1, s.Missing(onpath.Forward))
		require.Zero(t, s.Missing(onpath.Back))
		require.NoError(t, l.Close())
		require.NoError(t, l.Close())
	})
}

func TestAnInterfaceThatVanishesEndsThePath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := newFake(), newFake()
		l := between(near, far, nil)
		select {
		case <-l.Done():
			t.Fatal("too early")
		default:
		}
		_ = far.Close()
		<-l.Done()
		require.ErrorIs(t, l.Close(), io.ErrClosedPipe)
		require.ErrorContains(t, l.Close(), "fake")
		<-near.gone
	})
}

func TestElementsChangeWhileTheNetworkStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hole := &onpath.Blackhole{On: true}
		near, far := newFake(), newFake()
		l := between(near, far, []onpath.Element{hole})
		defer l.Close()
		near.in <- []byte("lost")
		synctest.Wait()
		l.Do(func() { hole.On = false })
		near.in <- []byte("there")
		require.Equal(t, "there", string(<-far.out))
	})
}

func TestStartRefuses(t *testing.T) {
	_, err := Start(Config{MTU: 10})
	require.ErrorContains(t, err, "MTU")
	_, err = Start(Config{Near: End{Namespace: "there-is-no-such-namespace"}})
	require.Error(t, err)
}
