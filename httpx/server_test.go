package httpx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// seen answers what the handler finds of its connection.
func seen(w http.ResponseWriter, r *http.Request) {
	c, ok := FromRequest(r)
	if !ok {
		_, _ = io.WriteString(w, "nothing")
		return
	}
	flows := c.Subflows()
	_, _ = io.WriteString(w, c.Info().Carrier.String()+" from "+flows[0].Remote.String()+" for "+r.RemoteAddr)
}

func TestFromRequest(t *testing.T) {
	wanted := func(t *testing.T, got string) {
		var from, who string
		_, err := fmt.Sscanf(got, "stream from %s for %s", &from, &who)
		require.NoError(t, err, got)
		require.Equal(t, who, from, "another connection than the request's")
	}
	for _, c := range []struct {
		name    string
		tls, h2 bool
	}{{"plain", false, false}, {"TLS", true, false}, {"HTTP2", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			s := unstarted(t, http.HandlerFunc(seen))
			s.EnableHTTP2 = c.h2
			base := &http.Transport{}
			if c.tls {
				s.StartTLS()
				base.TLSClientConfig = trusting(s)
			} else {
				s.Start()
			}
			wanted(t, get(t, client(t, NewTransport(newDialer(t), base)), request(t, s.URL)))
		})
	}
	t.Run("TCP listener", func(t *testing.T) {
		s := httptest.NewUnstartedServer(http.HandlerFunc(seen))
		require.NoError(t, s.Listener.Close())
		s.Listener, s.Config.ConnContext = listenTCP(t), ConnContext
		s.Start()
		defer s.Close()
		require.Equal(t, "nothing", get(t, client(t, NewTransport(newDialer(t), nil)), request(t, s.URL)))
	})
	t.Run("no ConnContext", func(t *testing.T) {
		s := unstarted(t, http.HandlerFunc(seen))
		s.Config.ConnContext = nil
		s.Start()
		require.Equal(t, "nothing", get(t, client(t, NewTransport(newDialer(t), nil)), request(t, s.URL)))
	})
	_, ok := FromContext(t.Context())
	require.False(t, ok)
}

// running is a server under ListenAndServe or ListenAndServeTLS.
type running struct {
	addr string
	stop context.CancelFunc
	err  chan error
}

// start runs serve on a server of h until it listens.
func start(t testing.TB, h http.HandlerFunc, serve func(context.Context, *http.Server, *mptcp.ListenConfig) error) *running {
	ctx, stop := context.WithCancel(t.Context())
	u := &running{stop: stop, err: make(chan error, 1)}
	addr := make(chan string, 1)
	srv := &http.Server{Addr: "127.0.0.1:0", Handler: h, BaseContext: func(l net.Listener) context.Context {
		addr <- l.Addr().String()
		return context.Background()
	}}
	lc := &mptcp.ListenConfig{Transport: newOwn(t)}
	go func() { u.err <- serve(ctx, srv, lc) }()
	select {
	case u.addr = <-addr:
	case err := <-u.err:
		stop()
		require.NoError(t, err)
	}
	t.Cleanup(stop)
	return u
}

func (u *running) ended(t testing.TB) error {
	t.Helper()
	select {
	case err := <-u.err:
		return err
	case <-time.After(10 * time.Second):
		require.Fail(t, "it goes on serving")
		return nil
	}
}

// certified is a server certificate for 127.0.0.1, and how a client trusts it.
func certified() (tls.Certificate, *tls.Config) {
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return s.TLS.Certificates[0], trusting(s)
}

// The end of ctx answers what is under way, and takes nothing new.
func TestListenAndServeEndsInOrder(t *testing.T) {
	cert, trust := certified()
	for _, c := range []struct {
		name, scheme string
		serve        func(context.Context, *http.Server, *mptcp.ListenConfig) error
	}{
		{"plain", "http://", ListenAndServe},
		{"TLS", "https://", func(ctx context.Context, srv *http.Server, lc *mptcp.ListenConfig) error {
			srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
			return ListenAndServeTLS(ctx, srv, lc, "", "")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrived, release := make(chan struct{}, 1), make(chan struct{})
			u := start(t, func(w http.ResponseWriter, r *http.Request) {
				arrived <- struct{}{}
				<-release
				seen(w, r)
			}, c.serve)
			tr := NewTransport(newDialer(t), &http.Transport{TLSClientConfig: trust})
			cl := client(t, tr)
			status := make(chan int, 1)
			go func() { status <- statusOf(cl, request(t, c.scheme+u.addr)) }()
			<-arrived
			u.stop()
			require.Eventually(t, func() bool { return refuses(u.addr) }, 5*time.Second, time.Millisecond)
			select {
			case err := <-u.err:
				require.Fail(t, "it returned before the request was answered", "%v", err)
			case <-time.After(50 * time.Millisecond):
			}
			close(release)
			require.NoError(t, u.ended(t))
			require.Equal(t, http.StatusOK, <-status)
		})
	}
}

// refuses says whether nobody listens at addr.
func refuses(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err == nil {
		_ = c.Close()
	}
	return err != nil
}

// Handlers find their connections, and the server's own ConnContext runs after ours.
func TestListenAndServePutsConnContext(t *testing.T) {
	type own struct{}
	u := start(t, func(w http.ResponseWriter, r *http.Request) {
		inside, _ := r.Context().Value(own{}).(bool)
		if _, ok := FromRequest(r); !ok || !inside {
			http.Error(w, "lost", http.StatusInternalServerError)
		}
	}, func(ctx context.Context, srv *http.Server, lc *mptcp.ListenConfig) error {
		srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			_, ok := FromContext(ctx)
			return context.WithValue(ctx, own{}, ok)
		}
		return ListenAndServe(ctx, srv, lc)
	})
	get(t, client(t, NewTransport(newDialer(t), nil)), request(t, "http://"+u.addr))
	u.stop()
	require.NoError(t, u.ended(t))
}

func TestListenAndServeTLSReadsFiles(t *testing.T) {
	cert, trust := certified()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	files := map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
	for name, b := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	u := start(t, proto, func(ctx context.Context, srv *http.Server, lc *mptcp.ListenConfig) error {
		return ListenAndServeTLS(ctx, srv, lc, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	})
	tr := NewTransport(newDialer(t), &http.Transport{TLSClientConfig: trust})
	require.Equal(t, "HTTP/2.0", get(t, client(t, tr), request(t, "https://"+u.addr)))
	u.stop()
	require.NoError(t, u.ended(t))
}

// What fails before or while serving comes back, and the listener is closed in every case.
func TestListenAndServeErrors(t *testing.T) {
	taken := listenTCP(t)
	addr := taken.Addr().String()
	lc := &mptcp.ListenConfig{Transport: newOwn(t)}
	srv := &http.Server{Addr: addr}
	var op *net.OpError
	require.ErrorAs(t, ListenAndServe(t.Context(), srv, lc), &op)
	require.Equal(t, "listen", op.Op)
	require.ErrorAs(t, ListenAndServeTLS(t.Context(), srv, lc, "", ""), &op)
	require.NoError(t, taken.Close())

	require.ErrorIs(t, ListenAndServeTLS(t.Context(), srv, lc, "no such file", "no such file"), os.ErrNotExist)
	require.True(t, refuses(addr), "it is left listening")

	u := start(t, seen, func(ctx context.Context, srv *http.Server, lc *mptcp.ListenConfig) error {
		own := srv.BaseContext
		srv.BaseContext = func(l net.Listener) context.Context {
			_ = l.Close()
			return own(l)
		}
		return ListenAndServe(ctx, srv, lc)
	})
	require.ErrorIs(t, u.ended(t), net.ErrClosed)

	var closing *http.Server
	u = start(t, seen, func(ctx context.Context, srv *http.Server, lc *mptcp.ListenConfig) error {
		closing = srv
		return ListenAndServe(ctx, srv, lc)
	})
	require.NoError(t, closing.Close())
	require.ErrorIs(t, u.ended(t), http.ErrServerClosed, "ctx goes on: somebody else closed it")
}

func TestListenAndServeWithoutConfig(t *testing.T) {
	u := start(t, seen, func(ctx context.Context, srv *http.Server, _ *mptcp.ListenConfig) error {
		return ListenAndServe(ctx, srv, nil)
	})
	require.Contains(t, get(t, client(t, NewTransport(newDialer(t), nil)), request(t, "http://"+u.addr)), extapi.CarrierStream.String())
	u.stop()
	require.NoError(t, u.ended(t))
}
