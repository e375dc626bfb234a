package httpx_test

import (
	"context"
	"net"
	"net/http"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/httpx"
)

// The public names that programs compile against.

var (
	_ func(*mptcp.Dialer, *http.Transport) *http.Transport                               = httpx.NewTransport
	_ func(context.Context, *http.Server, *mptcp.ListenConfig) error                     = httpx.ListenAndServe
	_ func(context.Context, *http.Server, *mptcp.ListenConfig, string, string) error     = httpx.ListenAndServeTLS
	_ func(context.Context, net.Conn) context.Context                                    = httpx.ConnContext
	_ func(context.Context) (extapi.Control, bool)                                       = httpx.FromContext
	_ func(*http.Request) (extapi.Control, bool)                                         = httpx.FromRequest
	_ func(context.Context, func(extapi.ConnInfo, []extapi.SubflowInfo)) context.Context = httpx.Trace
	_ func(*mptcp.Transport) http.Handler                                                = httpx.Handler
	_ func(*httpx.PolicyTransport, *http.Request) (*http.Response, error)                = (*httpx.PolicyTransport).RoundTrip
	_ func(*httpx.PolicyTransport)                                                       = (*httpx.PolicyTransport).CloseIdleConnections

	_ http.RoundTripper = (*httpx.PolicyTransport)(nil)

	_ = httpx.PolicyTransport{
		Dialer: (*mptcp.Dialer)(nil), Base: (*http.Transport)(nil),
		Key: (func(*http.Request) (key string, p extapi.PathPolicy))(nil),
	}
	_ = http.Server{ConnContext: httpx.ConnContext}
)
