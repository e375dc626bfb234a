package httpx

import (
	"net/http"

	"github.com/mptcp-go/mptcp"
)

// NewTransport clones base (nil: http.DefaultTransport) and makes it dial with d (nil: a zero
// mptcp.Dialer). It sets ForceAttemptHTTP2, since net/http turns HTTP/2 off when DialContext is set,
// and leaves TLS and proxies to net/http: a DialTLSContext of base's would go past d, and is dropped.
//
// All requests through the result share one pool of connections, whatever path policy their contexts
// carry: use PolicyTransport where requests differ in their paths.
func NewTransport(d *mptcp.Dialer, base *http.Transport) *http.Transport {
	if d == nil {
		d = &mptcp.Dialer{}
	}
	if base == nil {
		base = defaultTransport()
	}
	t := base.Clone()
	t.DialContext = d.DialContext
	t.DialTLSContext = nil
	t.DialTLS = nil //lint:ignore SA1019 a base may still have it
	t.ForceAttemptHTTP2 = true
	return t
}

// defaultTransport is http.DefaultTransport, or its like where a program has replaced it by another
// kind of RoundTripper.
func defaultTransport() *http.Transport {
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		return t
	}
	return &http.Transport{Proxy: http.ProxyFromEnvironment}
}
