package httpx

import (
	"context"
	"net/http/httptrace"

	"github.com/mptcp-go/mptcp/extapi"
)

// Trace returns a context whose httptrace.ClientTrace reports the multipath state of the connection
// that a request is about to use: call it before http.NewRequestWithContext. got is not called for
// connections of other kinds. A redirect calls it once per request.
func Trace(ctx context.Context, got func(extapi.ConnInfo, []extapi.SubflowInfo)) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			// The transport owns the connection: only snapshots are read.
			if c, ok := extapi.From(i.Conn); ok {
				got(c.Info(), c.Subflows())
			}
		},
	})
}
