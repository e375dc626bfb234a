package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// reverser answers, once its client has ended its half, with what it got, doubled.
func reverser(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				b, _ := io.ReadAll(c)
				_, _ = c.Write(append(b, b...))
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		conns.Wait()
	})
	return ln.Addr().String()
}

// converse sends data over c, ends its half and returns the answer.
func converse(t *testing.T, c closeWriter, data []byte) []byte {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	var sending sync.WaitGroup
	sending.Go(func() {
		_, _ = c.Write(data)
		_ = c.CloseWrite()
	})
	b, err := io.ReadAll(c)
	sending.Wait()
	require.NoError(t, err)
	return b
}

func TestForwardThereAndBack(t *testing.T) {
	far, _ := service(t, "forward", "-reverse", "-listen", "127.0.0.1:0", "-to", reverser(t))
	near, _ := service(t, "forward", "-listen", "127.0.0.1:0", "-to", far, "-peer")
	data := randomBytes(300 << 10)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			c, err := net.Dial("tcp", near)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			mine := data[i*1000:]
			if got := converse(t, c.(*net.TCPConn), mine); !bytes.Equal(got, append(append([]byte(nil), mine...), mine...)) {
				t.Errorf("connection %d: %d bytes came back of %d", i, len(got), 2*len(mine))
			}
		})
	}
	all.Wait()
}

func TestForwardReverseTakesMultipathAndPlain(t *testing.T) {
	far, _ := service(t, "forward", "-reverse", "-listen", "127.0.0.1:0", "-to", reverser(t))
	transport := &mptcp.Transport{}
	defer transport.Close()
	for mode, want := range map[mptcp.Mode]extapi.Carrier{mptcp.ModeStream: extapi.CarrierStream, mptcp.ModeTCP: extapi.CarrierTCP} {
		d := &mptcp.Dialer{Config: mptcp.Config{Mode: mode}, Transport: transport}
		c, err := d.DialMultipath(t.Context(), "tcp", far)
		require.NoError(t, err)
		require.Equal(t, want, c.Info().Carrier)
		require.Equal(t, "hellohello", string(converse(t, c, []byte("hello"))))
		c.Close()
	}
}

func TestForwardPassesFailureOn(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := gone.Addr().String()
	gone.Close()
	near, _ := service(t, "forward", "-listen", "127.0.0.1:0", "-to", addr, "-peer")
	c, err := net.Dial("tcp", near)
	if err == nil { // the reset may also be quicker than Dial
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, err = c.Read(make([]byte, 1))
	}
	require.Error(t, err)
	require.False(t, errors.Is(err, io.EOF), "a reset, not an end")
}

func TestForwardEndsConnectionsAfterTheGrace(t *testing.T) {
	near, _ := service(t, "forward", "-listen", "127.0.0.1:0", "-to", reverser(t), "-mode", "tcp", "-grace", "100ms")
	c, err := net.Dial("tcp", near)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() }) // after the command: it must not wait for this connection
}

func TestPerfJSON(t *testing.T) {
	addr, out := service(t, "perf", "-s", "-addr", "127.0.0.1:0")
	for _, direction := range [][]string{nil, {"-R"}, {"-bidir"}} {
		args := append([]string{"perf", "-c", addr, "-n", "8MiB", "-P", "2", "-json"}, direction...)
		r := invoke(t, args...)
		require.Equal(t, exitOK, r.code, r.stderr)
		var p perfResult
		require.NoError(t, json.Unmarshal([]byte(r.stdout), &p))
		require.Equal(t, "stream", p.Carrier)
		require.Empty(t, p.Error)
		require.Equal(t, 2, p.Connections)
		if p.Direction != "down" {
			require.Equal(t, int64(8<<20), p.End.Up)
			require.Positive(t, p.End.UpRate)
		}
		if p.Direction != "up" {
			require.Equal(t, int64(8<<20), p.End.Down)
			require.Positive(t, p.End.DownRate)
		}
		require.NotEmpty(t, p.End.Paths)
	}
	require.Contains(t, out.String(), "over stream")
}

func TestPerfIntervals(t *testing.T) {
	addr, _ := service(t, "perf", "-s", "-addr", "127.0.0.1:0")
	r := invoke(t, "perf", "-c", addr, "-t", "1", "-i", "600ms", "-mode", "tcp", "-json")
	require.Equal(t, exitOK, r.code, r.stderr)
	var p perfResult
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &p))
	require.Equal(t, "tcp", p.Carrier)
	require.GreaterOrEqual(t, len(p.Intervals), 2)
	var sum int64
	for _, s := range p.Intervals {
		sum += s.Up
	}
	require.LessOrEqual(t, sum, p.End.Up)
	require.Positive(t, sum)
	require.Less(t, p.End.To-p.Intervals[len(p.Intervals)-1].To, 0.35, "less than half an interval is left out")
	r = invoke(t, "perf", "-c", addr, "-t", "300ms", "-i", "100ms", "-R")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stdout, "in all")
}

func TestPerfServerIsBounded(t *testing.T) {
	addr, _ := service(t, "perf", "-s", "-addr", "127.0.0.1:0", "-max", "1")
	first, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	require.NoError(t, writeLine(first, perfRequest{Version: perfVersion, Direction: "up", Millis: 60000}))
	_, err = first.Read(make([]byte, 1))
	require.NoError(t, err)
	r := invoke(t, "perf", "-c", addr, "-n", "1K")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "busy")
	first.Close()
}

func TestPerfRequestValid(t *testing.T) {
	good := perfRequest{Version: perfVersion, Direction: "up", Millis: 1000}
	require.NoError(t, good.valid())
	for _, spoil := range []func(*perfRequest){
		func(r *perfRequest) { r.Version++ },
		func(r *perfRequest) { r.Direction = "sideways" },
		func(r *perfRequest) { r.Millis = 0 },
		func(r *perfRequest) { r.Millis = perfMaxTime.Milliseconds() + 1 },
		func(r *perfRequest) { r.Bytes = -1 },
	} {
		r := good
		spoil(&r)
		require.Error(t, r.valid())
	}
}

func TestPerfNeedsAPerfServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 mail.example ESMTP\r\n"))
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	r := invoke(t, "perf", "-c", ln.Addr().String(), "-mode", "tcp", "-n", "1K")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "is not mptcp perf")
}

func TestPlainSeconds(t *testing.T) {
	in := []string{"-t", "10", "-i=0.5", "-n", "5", "--t=3", "-t", "2m", "-i", "-1"}
	require.Equal(t, []string{"-t", "10s", "-i=0.5s", "-n", "5", "--t=3s", "-t", "2m", "-i", "-1s"}, plainSeconds(in, "t", "i"))
	require.Equal(t, "10", in[1], "the caller's slice is untouched")
}

func TestSpliceEndsWithItsContext(t *testing.T) {
	f := &forwarder{to: "nowhere", logf: func(string, ...any) {}}
	a, b := net.Pipe()
	c, d := net.Pipe()
	defer a.Close()
	defer d.Close()
	f.dial = func(context.Context) (net.Conn, error) { return c, nil }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		f.handle(ctx, b)
		close(done)
	}()
	cancel()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the connection goes on")
	}
}
