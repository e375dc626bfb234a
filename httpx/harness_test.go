package httpx

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/internal/pool"
)

func TestMain(m *testing.M) {
	code := m.Run()
	mptcp.DefaultTransport.Close()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if n := pool.Outstanding(); n != 0 && code == 0 {
		fmt.Fprintln(os.Stderr, n, "pooled buffers were never released")
		code = 1
	}
	os.Exit(code)
}

// newOwn returns a mptcp.Transport that ends with the test.
func newOwn(t testing.TB) *mptcp.Transport {
	own := &mptcp.Transport{}
	t.Cleanup(func() { require.NoError(t, own.Close()) })
	return own
}

// newDialer returns a dialer with a Transport of its own that asks everybody for the stream carrier.
func newDialer(t testing.TB) *mptcp.Dialer {
	return &mptcp.Dialer{Config: mptcp.Config{Mode: mptcp.ModeStream}, Transport: newOwn(t)}
}

// client makes a client of rt whose idle connections end with the test.
func client(t testing.TB, rt http.RoundTripper) *http.Client {
	c := &http.Client{Transport: rt, Timeout: 10 * time.Second}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// unstarted is a server of h on a multipath listener with a Transport of its own.
func unstarted(t testing.TB, h http.Handler) *httptest.Server {
	lc := mptcp.ListenConfig{Transport: newOwn(t)}
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(h)
	require.NoError(t, s.Listener.Close())
	s.Listener = l
	s.Config.ConnContext = ConnContext
	t.Cleanup(s.Close)
	return s
}

func server(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := unstarted(t, h)
	s.Start()
	return s
}

// trusting is how a client trusts s.
func trusting(s *httptest.Server) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{RootCAs: roots}
}

// get does r and returns the answer's body.
func get(t testing.TB, c *http.Client, r *http.Request) string {
	t.Helper()
	resp, err := c.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, string(body))
	return string(body)
}

func request(t testing.TB, url string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	return r
}

// listenTCP is a listener that knows nothing of multipath.
func listenTCP(t testing.TB) net.Listener {
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l
}
