package stream

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
)

func TestFlushWaitsForTheDataAck(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.connect(t, false)
		_, err := a.Write(make([]byte, 32<<10))
		require.NoError(t, err)
		require.NoError(t, a.Flush(t.Context()), "nobody reads on the other side, but its driver does")
		require.Zero(t, a.Info().SendBuffered)
		ended, stop := context.WithCancel(t.Context())
		stop()
		require.NoError(t, a.Flush(ended), "a result wins over a context that has ended")
		finish(t, a, b)
	})
}

func TestFlushEndsWithItsContext(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.serverP.Engine.RecvBuffer = 64 << 10
		a, b := w.connect(t, false)
		_, err := a.Write(make([]byte, 1<<20))
		require.NoError(t, err)
		ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer stop()
		require.ErrorIs(t, a.Flush(ctx), context.DeadlineExceeded)
		require.NoError(t, a.Abort(engine.ResetUnspecified))
		finish(t, b)
	})
}

func TestAbortResetsThePeer(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.connect(t, false)
		w.join(t, a, b)
		require.NoError(t, a.Abort(engine.ResetTooMuchData))
		_, err := b.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		require.Error(t, context.Cause(b.Context()))
		finish(t, a, b)
	})
}

func TestCloseDeliversInTheBackground(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.connect(t, false)
		const size = 4 << 20
		_, err := a.Write(make([]byte, size))
		require.NoError(t, err)
		require.NoError(t, a.Close())
		require.ErrorIs(t, a.Close(), net.ErrClosed)
		got, err := io.Copy(io.Discard, b)
		require.NoError(t, err)
		require.EqualValues(t, size, got)
		require.NoError(t, b.Close())
		finish(t, a, b)
	})
}

func TestCloseWakesWhoWaits(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.serverP.Engine.RecvBuffer = 64 << 10
		a, b := w.connect(t, false)
		errs := make(chan error, 3)
		for range 2 { // the second waits for its turn
			go func() {
				_, err := a.Read(make([]byte, 1))
				errs <- err
			}()
		}
		go func() {
			_, err := a.Write(make([]byte, 32<<20))
			errs <- err
		}()
		time.Sleep(30 * time.Millisecond)
		require.NoError(t, a.Close())
		for range 3 {
			require.ErrorIs(t, <-errs, net.ErrClosed)
		}
		require.NoError(t, b.Abort(engine.ResetUnspecified))
		finish(t, a, b)
	})
}

func TestInterruptedReadKeepsTheRecord(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.connect(t, false)
		done := make(chan error, 1)
		go func() {
			_, err := io.Copy(a, io.LimitReader(zeros{}, 8<<20))
			done <- err
		}()
		total := 0
		buf := make([]byte, 3000)
		for total < 8<<20 {
			require.NoError(t, b.SetReadDeadline(time.Now().Add(time.Duration(total%7)*50*time.Microsecond)))
			n, err := b.Read(buf)
			if total += n; err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.NoError(t, b.SetReadDeadline(time.Time{}))
				n, err = b.Read(buf)
				require.NoError(t, err)
				total += n
			}
		}
		require.NoError(t, <-done)
		finish(t, a, b)
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestPathsComeAndGo(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.connect(t, false)
		events := a.Watch(t.Context())
		id := w.join(t, a, b)
		require.Len(t, a.Subflows(), 2)
		require.NoError(t, a.SetBackup(id, true))
		require.NoError(t, a.CloseSubflow(id))
		require.Eventually(t, func() bool { return len(a.Subflows()) == 1 && len(b.Subflows()) == 1 }, 2*time.Second, time.Millisecond)
		w.join(t, a, b)
		first := a.Subflows()[0].ID
		require.NoError(t, a.CloseSubflow(first), "the first subflow's end does not end the connection")
		_, err := a.Write([]byte("still here"))
		require.NoError(t, err)
		buf := make([]byte, 20)
		n, err := b.Read(buf)
		require.NoError(t, err)
		require.Equal(t, "still here", string(buf[:n]))
		finish(t, a, b)
		names := map[string]int{}
		for ev := range events {
			names[ev.Name()]++
		}
		require.Equal(t, 2, names["subflow_established"])
		require.Equal(t, 3, names["subflow_closed"])
		require.Equal(t, 1, names["conn_closed"])
	})
}

func TestNobodyReadsYetSignalsAreTaken(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		a, b := w.connect(t, false)
		id := w.join(t, a, b)
		require.NoError(t, a.SetBackup(id, true))
		backup := func() bool {
			for _, s := range b.Subflows() {
				if s.Backup {
					return true
				}
			}
			return false
		}
		require.Eventually(t, backup, time.Second, time.Millisecond, "the background reader takes MP_PRIO")
		finish(t, a, b)
	})
}

func TestEarlyDataToAStranger(t *testing.T) {
	x, y := tcpPair(t)
	w := tcpWorld(t)
	p := w.clientP
	p.Key, _ = w.client.key()
	c, err := ClientEarly(x, p)
	require.NoError(t, err)
	_, err = c.Write([]byte("GET / HTTP/1.1\r\n"))
	require.NoError(t, err)
	_, err = y.Write([]byte("HTTP/1.1 400 Bad Request\r\n"))
	require.NoError(t, err)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, ErrNotStream)
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, ErrNotStream)
	require.NoError(t, y.Close())
	finish(t, c)
}

func TestHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testParams()
		p.HandshakeTimeout = 3 * time.Second
		p.Key = 1
		x, y := bufferedPipe()
		start := time.Now()
		_, err := Client(t.Context(), x, p)
		require.ErrorIs(t, err, ErrNotStream)
		require.Equal(t, 3*time.Second, time.Since(start))
		y.Close()

		x, y = bufferedPipe()
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		start = time.Now()
		_, err = Client(ctx, x, p)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		y.Close()

		x, y = bufferedPipe()
		c, err := ClientEarly(x, p)
		require.NoError(t, err)
		start = time.Now()
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, ErrNotStream)
		require.Equal(t, 3*time.Second, time.Since(start))
		finish(t, c)
		y.Close()
	})
}

// TestVirtualTime runs whole connections in a bubble: the driver owns no clock but package time's.
func TestVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pipeWorld(t)
		a, b := w.connect(t, false)
		w.join(t, a, b)
		exchangeBoth(t, a, b, 4<<20)
		start := time.Now()
		require.NoError(t, a.SetReadDeadline(start.Add(time.Hour)))
		finish(t, a, b)

		a, b = w.connect(t, false)
		start = time.Now()
		require.NoError(t, a.SetReadDeadline(start.Add(time.Hour)))
		_, err := a.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Hour, time.Since(start))
		finish(t, a, b)
	})
}

// TestIdleConnection measures what an idle connection with two subflows costs one side: its heap, the
// stack of the caller of Read, and nothing that ticks.
func TestIdleConnection(t *testing.T) {
	w := tcpWorld(t)
	const conns = 50
	var all []*driver.Conn
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	open := func() {
		for range conns {
			a, b := w.connect(t, false)
			w.join(t, a, b)
			all = append(all, a, b)
		}
	}
	open() // pools and the runtime grow with the first ones
	finish(t, all...)
	all = nil
	before, goroutines := heap(), runtime.NumGoroutine()
	open()
	time.Sleep(100 * time.Millisecond)
	per := float64(heap()-before) / (2 * conns)
	t.Logf("%.1f KB and %.1f goroutines per side", per/1024, float64(runtime.NumGoroutine()-goroutines)/(2*conns))
	limit := 20.0 * 1024
	if raceDetector {
		limit *= 1.25 // it makes stacks and the pools' leftovers larger
	}
	require.Less(t, per, limit)
	finish(t, all...)
}

func TestSteadyPathDoesNotAllocate(t *testing.T) {
	if testing.Short() {
		t.Skip("moves a gigabyte")
	}
	w := tcpWorld(t)
	a, b := w.connect(t, false)
	w.join(t, a, b)
	const warm, size = 256 << 20, 1 << 30
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, 64<<10)
		for n := 0; n < warm+size; n += len(buf) {
			if _, err := a.Write(buf); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	var m0, m1 runtime.MemStats
	buf := make([]byte, 64<<10)
	read := func(n int) {
		for n > 0 {
			m, err := b.Read(buf[:min(n, len(buf))])
			require.NoError(t, err)
			n -= m
		}
	}
	read(warm)
	runtime.ReadMemStats(&m0)
	read(size)
	runtime.ReadMemStats(&m1)
	require.NoError(t, <-done)
	per := float64(m1.Mallocs-m0.Mallocs) / (size >> 16)
	t.Logf("%.4f allocations per 64 KiB", per)
	limit := 0.1
	if raceDetector {
		limit = 10
	}
	require.Less(t, per, limit, "no allocation per record; pools and queues grow now and then")
	finish(t, a, b)
}

func TestTracerSeesEventsInOrder(t *testing.T) {
	w := tcpWorld(t)
	tr := &listTracer{closed: make(chan struct{})}
	w.clientP.Trace = func(extapi.ConnInfo) extapi.Tracer { return tr }
	a, b := w.connect(t, false)
	w.join(t, a, b)
	finish(t, a, b)
	<-tr.closed
	require.Contains(t, tr.names, "conn_established")
	require.Equal(t, "conn_closed", tr.names[len(tr.names)-1])
	require.IsIncreasing(t, append([]time.Duration{-1}, tr.last))
}

type listTracer struct {
	names  []string
	last   time.Duration
	closed chan struct{}
}

func (l *listTracer) Trace(now time.Duration, ev extapi.Event) {
	l.names = append(l.names, ev.Name())
	l.last = max(l.last, now)
}

func (l *listTracer) Close() error {
	close(l.closed)
	return nil
}
