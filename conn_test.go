package mptcp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/scheduler"
)

// carriers are the three kinds of connection that a program can be handed.
var carriers = []struct {
	name    string
	dial    Config
	listen  Config
	carrier extapi.Carrier
	why     extapi.FallbackReason
}{
	{"stream", Config{Mode: ModeStream, RequireMultipath: true}, Config{}, extapi.CarrierStream, extapi.FallbackNone},
	{"kernel", Config{Mode: ModeKernel}, Config{Mode: ModeKernel}, extapi.CarrierKernel, extapi.FallbackNone},
	{"tcp", Config{Mode: ModeTCP}, Config{Mode: ModeTCP}, extapi.CarrierTCP, extapi.FallbackDisabled},
}

func eachCarrier(t *testing.T, f func(t *testing.T, i int, l *Listener)) {
	for i, c := range carriers {
		t.Run(c.name, func(t *testing.T) {
			if c.carrier == extapi.CarrierKernel {
				requireKernel(t)
			}
			f(t, i, listen(t, ListenConfig{Config: c.listen}))
		})
	}
}

func TestConnIsANetConn(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		d := Dialer{Config: carriers[i].dial, Transport: newTransport(t)}
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			c1, err = d.Dial("tcp", l.Addr().String())
			if err != nil {
				return nil, nil, nil, err
			}
			c2, err = l.Accept()
			if err != nil {
				return nil, nil, nil, err
			}
			return c1, c2, func() { c1.Close(); c2.Close() }, nil
		})
	})
}

func TestConnTellsWhatCarriesIt(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		client, server := connect(t, Dialer{Config: carriers[i].dial}, l)
		exchange(t, client, server)
		requireCarrier(t, client, carriers[i].carrier, carriers[i].why)
		require.Equal(t, carriers[i].carrier, server.Info().Carrier)
		require.Equal(t, carriers[i].carrier != extapi.CarrierTCP, client.Multipath())
		require.Equal(t, client.LocalAddr().String(), server.RemoteAddr().String())
		require.Equal(t, l.Addr().String(), client.RemoteAddr().String())
		require.IsType(t, (*net.TCPAddr)(nil), client.LocalAddr())

		subflows := client.Subflows()
		require.Len(t, subflows, 1)
		require.Equal(t, carriers[i].carrier, subflows[0].Carrier)
		require.Equal(t, client.LocalAddr().String(), subflows[0].Local.String())
		info := client.Info()
		require.EqualValues(t, 15, info.BytesSent)
		require.EqualValues(t, 14, info.BytesReceived)
		require.NotZero(t, info.ID)
		require.NotEqual(t, info.ID, server.Info().ID)

		ctl, ok := extapi.From(client)
		require.True(t, ok)
		require.Equal(t, client, ctl)
	})
}

func TestCopyBothWays(t *testing.T) {
	data := make([]byte, 3<<20)
	_, _ = rand.Read(data)
	want := sha256.Sum256(data)
	file := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		client, server := connect(t, Dialer{Config: carriers[i].dial}, l)
		sent := make(chan error, 1)
		go func() {
			f, err := os.Open(file)
			if err != nil {
				sent <- err
				return
			}
			defer f.Close()
			_, err = io.Copy(client, f) // ReadFrom
			sent <- errors.Join(err, client.CloseWrite())
		}()
		h := sha256.New()
		n, err := io.Copy(h, server) // WriteTo
		require.NoError(t, err)
		require.NoError(t, <-sent)
		require.EqualValues(t, len(data), n)
		require.Equal(t, want[:], h.Sum(nil))
		require.GreaterOrEqual(t, server.Info().BytesReceived, uint64(n))

		_, err = server.Write([]byte("still open this way"))
		require.NoError(t, err)
		require.NoError(t, server.CloseWrite())
		rest, err := io.ReadAll(client)
		require.NoError(t, err)
		require.Equal(t, "still open this way", string(rest))
	})
}

// A proxy's copy reaches the kernel's sockets underneath, where it is spliced.
func TestCopyFromConnToConn(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		d := Dialer{Config: carriers[i].dial, Transport: newTransport(t)}
		from, in := connect(t, d, l)
		to, out := connect(t, d, l)
		go func() {
			_, _ = from.Write(data)
			_ = from.CloseWrite()
		}()
		go func() {
			_, _ = io.Copy(out, in)
			_ = out.CloseWrite()
		}()
		got, err := io.ReadAll(to)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got), "%d bytes of %d", len(got), len(data))
		if carriers[i].carrier != extapi.CarrierStream { // there, sent means DATA_ACKed
			require.GreaterOrEqual(t, out.Info().BytesSent, uint64(len(data)))
		}
	})
}

func TestClosedConn(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		client, server := connect(t, Dialer{Config: carriers[i].dial}, l)
		ctx := client.Context()
		require.NoError(t, ctx.Err())
		require.NoError(t, client.Close())
		<-ctx.Done()
		require.ErrorIs(t, context.Cause(ctx), net.ErrClosed)
		_, err := client.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, "mptcp", op.Net)
		_, err = client.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, client.Close(), net.ErrClosed)
		_, err = server.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	})
}

func TestAbortIsAReset(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		client, server := connect(t, Dialer{Config: carriers[i].dial}, l)
		require.NoError(t, client.Abort(ResetUnspecified))
		_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := server.Read(make([]byte, 1))
		require.Error(t, err)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
		if carriers[i].carrier != extapi.CarrierKernel { // the kernel tells with its own words
			require.ErrorContains(t, err, "reset")
		}
	})
}

func TestDeadlines(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		client, _ := connect(t, Dialer{Config: carriers[i].dial}, l)
		require.NoError(t, client.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		_, err := client.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var ne net.Error
		require.ErrorAs(t, err, &ne)
		require.True(t, ne.Timeout())
		require.NoError(t, client.Context().Err(), "a deadline kills nothing")
	})
}

func TestFlushWaitsForThePeer(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		client, server := connect(t, Dialer{Config: carriers[i].dial}, l)
		_, err := client.Write(make([]byte, 100<<10))
		require.NoError(t, err)
		go io.Copy(io.Discard, server)
		err = client.Flush(t.Context())
		if errors.Is(err, errors.ErrUnsupported) {
			return // this operating system does not tell
		}
		require.NoError(t, err)
	})
}

func TestSettersOfTCPConn(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		c, _ := connect(t, Dialer{Config: carriers[i].dial}, l)
		require.NoError(t, c.SetNoDelay(true))
		require.NoError(t, c.SetKeepAlive(true))
		require.NoError(t, c.SetKeepAlivePeriod(time.Minute))
		require.NoError(t, c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute}))
		require.NoError(t, c.SetReadBuffer(1<<20))
		require.NoError(t, c.SetWriteBuffer(1<<20))
		require.NoError(t, c.SetLinger(-1))
		require.NoError(t, c.SetDeadline(time.Time{}))
		require.NoError(t, c.SetWriteDeadline(time.Time{}))
	})
}

func TestFallenBackConnSteersNoPaths(t *testing.T) {
	l := listen(t, ListenConfig{Config: Config{Mode: ModeTCP}})
	c, _ := connect(t, Dialer{Config: Config{Mode: ModeTCP}}, l)
	_, err := c.OpenSubflow(t.Context(), addrPort(c.LocalAddr()), addrPort(c.RemoteAddr()))
	require.ErrorIs(t, err, ErrNotMultipath)
	require.ErrorIs(t, c.SetPathPolicy(extapi.Only("eth0")), ErrNotMultipath)
	require.ErrorIs(t, c.CloseSubflow(1), ErrNotMultipath)
	require.ErrorIs(t, c.SetBackup(1, true), ErrNotMultipath)
	require.ErrorIs(t, c.SetScheduler(scheduler.RoundRobin), ErrNotMultipath)
	require.ErrorIs(t, c.AddLocalAddr(addrPort(c.LocalAddr())), ErrNotMultipath)
	require.ErrorIs(t, c.RemoveLocalAddr(addrPort(c.LocalAddr())), ErrNotMultipath)
}

// names drains a Watch channel that ends.
func names(ch <-chan extapi.Event) (l []string) {
	for ev := range ch {
		l = append(l, ev.Name())
	}
	return l
}

type recorder chan string

func (r recorder) Trace(_ time.Duration, ev extapi.Event) { r <- ev.Name() }
func (r recorder) Close() error                           { close(r); return nil }

func TestWatchAndTrace(t *testing.T) {
	eachCarrier(t, func(t *testing.T, i int, l *Listener) {
		trace := make(recorder, 1024)
		cfg := carriers[i].dial
		cfg.Trace = func(_ context.Context, info extapi.ConnInfo) extapi.Tracer {
			require.NotZero(t, info.ID)
			return trace
		}
		tr := newTransport(t)
		c, server := connect(t, Dialer{Config: cfg, Transport: tr}, l)
		ch := c.Watch(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		short := c.Watch(ctx)
		cancel()
		require.Empty(t, names(short))
		require.NoError(t, server.Close())
		require.NoError(t, c.Close())
		require.NoError(t, tr.Close())
		require.Contains(t, names(ch), "conn_closed")
		var events []string
		for name := range trace {
			events = append(events, name)
		}
		require.Contains(t, events, "conn_established")
		require.Contains(t, events, "conn_closed")
		require.Equal(t, carriers[i].why != extapi.FallbackNone, contains(events, "conn_fell_back"))
		require.Empty(t, names(c.Watch(t.Context())), "the connection is over")
	})
}

// unmade is a scheduler that cannot even begin.
type unmade struct{}

func (unmade) Name() string             { return "unmade" }
func (unmade) New() scheduler.Scheduler { panic("no scheduler") }

// The factory is the program's code, as its schedulers are, and on a listener it runs in nobody's call.
func TestSchedulerThatCannotBegin(t *testing.T) {
	cfg := Config{Scheduler: unmade{}}
	l := listen(t, ListenConfig{Config: cfg})
	cfg.Mode = ModeStream
	client, server := connect(t, Dialer{Config: cfg, Transport: newTransport(t)}, l)
	exchange(t, client, server)
	for _, c := range []*Conn{client, server} {
		require.Equal(t, "minrtt", c.Info().Scheduler)
	}
}

func contains(l []string, s string) bool {
	for _, x := range l {
		if x == s {
			return true
		}
	}
	return false
}
