package mptcp

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// eachOfOurs runs f for each carrier whose connections are our own: in mode, through listeners that listen makes.
func eachOfOurs(t *testing.T, f func(t *testing.T, d Dialer, listen func() *Listener)) {
	small := Config{SendBuffer: 64 << 10, RecvBuffer: 64 << 10}
	for name, mode := range map[string]Mode{"stream": ModeStream, "wire": ModeWire} {
		t.Run(name, func(t *testing.T) {
			cfg := small
			cfg.Mode, cfg.RequireMultipath = mode, true
			f(t, Dialer{Config: cfg, Transport: newTransport(t)}, func() *Listener {
				if mode == ModeWire {
					return listenOnWire(t, small)
				}
				return listen(t, ListenConfig{Config: small})
			})
		})
	}
}

// echoes is a server that sends back what it gets, while it gets more.
func echoes(l *Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, _ = io.Copy(c, c)
		}()
	}
}

// patient is a connection that may be slow, but does not stand still: on a busy machine each of the many hand-offs that a small
// window takes waits for a processor.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	_ = p.SetDeadline(time.Now().Add(20 * time.Second))
	return p.Conn.Read(b)
}

// full sends more than all buffers on the way there and back take, and reads only when nothing goes on any more.
func full(t *testing.T, c io.ReadWriter, closeWrite func() error) {
	data, sum := pattern(16 << 20)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = closeWrite()
		}
		sent <- err
	}()
	time.Sleep(500 * time.Millisecond)
	require.Empty(t, sent, "the buffers are full")
	h := sha256.New()
	n, err := io.CopyN(h, c, int64(len(data)))
	require.NoError(t, err, "after %d bytes", n)
	require.Equal(t, sum[:], h.Sum(nil))
	require.NoError(t, <-sent)
}

// A proxy that copies both ways goes on however full all buffers have been: what each copy waits for is what the other
// one's connection brings.
func TestProxyCopiesBothWays(t *testing.T) {
	eachOfOurs(t, func(t *testing.T, d Dialer, listen func() *Listener) {
		server, proxy := listen(), listen()
		go echoes(server)
		go func() {
			in, err := proxy.Accept()
			if err != nil {
				return
			}
			defer in.Close()
			out, err := d.DialMultipath(t.Context(), "tcp", server.Addr().String())
			if err != nil {
				return
			}
			defer out.Close()
			there := make(chan struct{})
			go func() {
				defer close(there)
				_, _ = io.Copy(out, in)
				_ = out.CloseWrite()
			}()
			_, _ = io.Copy(in, out)
			<-there
		}()
		c := dialTo(t, d, proxy.Addr().String())
		full(t, patient{c}, c.CloseWrite)
	})
}

// net/http's proxy copies both ways where a connection changes its protocol.
func TestReverseProxyCopiesBothWays(t *testing.T) {
	const protocol = "echo"
	upgraded := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", protocol)
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.Copy(c, buf)
	})
	eachOfOurs(t, func(t *testing.T, d Dialer, listen func() *Listener) {
		server, proxy := listen(), listen()
		serveHTTP := func(l net.Listener, h http.Handler) {
			s := &http.Server{Handler: h}
			go s.Serve(l)
			t.Cleanup(func() { s.Close() })
		}
		serveHTTP(server, upgraded)
		tr := &http.Transport{DialContext: d.DialContext}
		defer tr.CloseIdleConnections()
		pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: server.Addr().String()})
		pass.Transport = tr
		serveHTTP(proxy, pass)

		c := patient{dialTo(t, d, proxy.Addr().String())}
		_, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: proxy\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
		require.NoError(t, err)
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
		full(t, struct {
			io.Reader
			io.Writer
		}{r, c}, func() error { return nil }) // the proxy would end both ways
	})
}
