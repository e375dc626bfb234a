package httpx

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

func proto(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }

// What base says of connections is kept, how it makes them is not, and base stays as it was.
func TestNewTransportClonesBase(t *testing.T) {
	s := server(t, proto)
	past := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("dialled past mptcp") }
	base := &http.Transport{MaxIdleConnsPerHost: 7, DialContext: past, DialTLSContext: past}
	d := newDialer(t)
	tr := NewTransport(d, base)
	require.NotSame(t, base, tr)
	require.Equal(t, 7, tr.MaxIdleConnsPerHost)
	require.False(t, base.ForceAttemptHTTP2)
	_, err := base.DialContext(t.Context(), "", "")
	require.Error(t, err)

	require.Equal(t, "HTTP/1.1", get(t, client(t, tr), request(t, s.URL)))
	conns := d.Transport.Conns()
	require.Len(t, conns, 1)
	require.Equal(t, extapi.CarrierStream, conns[0].Carrier)
}

func TestHTTP2OverTLS(t *testing.T) {
	s := unstarted(t, http.HandlerFunc(proto))
	s.EnableHTTP2 = true
	s.StartTLS()
	past := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("dialled past mptcp") }
	base := &http.Transport{TLSClientConfig: trusting(s), DialTLSContext: past}
	for name, through := range map[string]func(*mptcp.Dialer) http.RoundTripper{
		"NewTransport":    func(d *mptcp.Dialer) http.RoundTripper { return NewTransport(d, base) },
		"PolicyTransport": func(d *mptcp.Dialer) http.RoundTripper { return &PolicyTransport{Dialer: d, Base: base} },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDialer(t)
			require.Equal(t, "HTTP/2.0", get(t, client(t, through(d)), request(t, s.URL)))
			require.Len(t, d.Transport.Conns(), 1)
			require.Equal(t, extapi.CarrierStream, d.Transport.Conns()[0].Carrier)
		})
	}
}

// A nil dialer is a zero one: with DefaultTransport, in ModeAuto.
func TestNewTransportDefaults(t *testing.T) {
	s := server(t, proto)
	tr := NewTransport(nil, nil)
	require.NotNil(t, tr.Proxy, "http.DefaultTransport's")
	require.NotSame(t, http.DefaultTransport, tr)
	before := len(mptcp.DefaultTransport.Conns())
	require.Equal(t, "HTTP/1.1", get(t, client(t, tr), request(t, s.URL)))
	require.Len(t, mptcp.DefaultTransport.Conns(), before+1)
}

type wrapped struct{ http.RoundTripper }

// Programs that wrap http.DefaultTransport (for traces, say) leave no *http.Transport to clone.
func TestNewTransportBesideAReplacedDefault(t *testing.T) {
	std := http.DefaultTransport
	http.DefaultTransport = wrapped{std}
	defer func() { http.DefaultTransport = std }()
	s := server(t, proto)
	tr := NewTransport(newDialer(t), nil)
	require.NotNil(t, tr.Proxy)
	require.Equal(t, "HTTP/1.1", get(t, client(t, tr), request(t, s.URL)))
}
