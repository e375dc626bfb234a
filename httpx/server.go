package httpx

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

type controlKey struct{}

// ConnContext is an http.Server.ConnContext that lets handlers find the multipath connection which they
// serve: FromContext, FromRequest. Under TLS it looks through the *tls.Conn.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if control, ok := extapi.From(c); ok {
		return context.WithValue(ctx, controlKey{}, control)
	}
	return ctx
}

// FromContext finds the connection that ConnContext put into ctx.
func FromContext(ctx context.Context) (extapi.Control, bool) {
	c, ok := ctx.Value(controlKey{}).(extapi.Control)
	return c, ok
}

// FromRequest finds the connection that r came on; false on listeners and servers without ConnContext.
func FromRequest(r *http.Request) (extapi.Control, bool) { return FromContext(r.Context()) }

// ListenAndServe serves srv on lc (nil: a zero mptcp.ListenConfig) at srv.Addr (empty: ":http"), with
// ConnContext in place, until ctx ends or serving fails. When ctx ends it shuts srv down in order and
// returns nil once every request under way is answered. The last answers may then still be on their way:
// call Transport.Shutdown of the listener's Transport (nil: mptcp.DefaultTransport) before the process exits.
func ListenAndServe(ctx context.Context, srv *http.Server, lc *mptcp.ListenConfig) error {
	return serve(ctx, srv, lc, ":http", srv.Serve)
}

// ListenAndServeTLS is ListenAndServe over TLS, at ":https" when srv.Addr is empty. cert and key are
// files as in http.Server.ServeTLS; they may be empty when srv.TLSConfig has certificates.
func ListenAndServeTLS(ctx context.Context, srv *http.Server, lc *mptcp.ListenConfig, cert, key string) error {
	return serve(ctx, srv, lc, ":https", func(l net.Listener) error { return srv.ServeTLS(l, cert, key) })
}

func serve(ctx context.Context, srv *http.Server, lc *mptcp.ListenConfig, addr string, run func(net.Listener) error) error {
	if lc == nil {
		lc = &mptcp.ListenConfig{}
	}
	if srv.Addr != "" {
		addr = srv.Addr
	}
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer l.Close() // ServeTLS leaves it open when it finds no certificate
	chain(srv)
	done := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		done <- srv.Shutdown(context.WithoutCancel(ctx))
	})
	err = run(l)
	if stop() { // serving ended by itself
		return err
	}
	if errors.Is(err, http.ErrServerClosed) {
		return <-done
	}
	return err
}

// chain puts ConnContext in front of the server's own.
func chain(srv *http.Server) {
	own := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		ctx = ConnContext(ctx, c)
		if own != nil {
			ctx = own(ctx, c)
		}
		return ctx
	}
}
