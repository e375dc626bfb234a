package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/httpx"
)

const serveHelp = `
Serves the files below DIR over HTTP, or HTTPS with -tls-cert and -tls-key, to whoever speaks multipath, to the
kernel's Multipath TCP and to plain TCP, all on one port. Downloads can be resumed (Range). Links that lead out of
DIR are not followed. Ctrl-C lets downloads under way finish for ten seconds.

Examples:
  mptcp serve ~/pub
  mptcp serve -addr :8443 -tls-cert cert.pem -tls-key key.pem ~/pub
  mptcp serve -addr 192.0.2.1:8080 -announce 198.51.100.1 ~/pub     a second address of this host

` + policyHelp

// server is what the flags of serve say.
type server struct {
	connFlags
	addr, cert, key string
	debug           bool
	announce        addrsFlag
}

func runServe(ctx context.Context, e *env) error {
	c := e.flags("serve [flags] DIR", serveHelp)
	var s server
	s.register(c)
	c.StringVar(&s.addr, "addr", ":8080", "`address` to listen on")
	c.StringVar(&s.cert, "tls-cert", "", "certificate `file` (PEM): serve HTTPS")
	c.StringVar(&s.key, "tls-key", "", "its key `file` (PEM)")
	c.BoolVar(&s.debug, "debug", false, "show connections and subflows at /debug/mptcp, to everybody who asks")
	c.Var(&s.announce, "announce", "`addresses` to tell clients of, instead of those found; separated by commas")
	args, err := c.parse(1, 1)
	if err != nil {
		return err
	}
	if (s.cert == "") != (s.key == "") {
		return usagef("-tls-cert and -tls-key go together")
	}
	return s.run(ctx, e, args[0])
}

func (s *server) run(ctx context.Context, e *env, dir string) error {
	cfg, err := s.config(e)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	t := &mptcp.Transport{}
	defer closeTransport(t)
	lc := &mptcp.ListenConfig{Config: cfg, Transport: t, Announce: s.announce}
	ln, err := lc.Listen(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(root.FS()))
	if s.debug {
		mux.Handle("/debug/mptcp", httpx.Handler(t))
	}
	srv := &http.Server{
		Handler:           mux,
		ConnContext:       httpx.ConnContext,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          log.New(e.stderr, "mptcp serve: ", 0),
	}
	scheme := "http"
	serve := func() error { return srv.Serve(ln) }
	if s.cert != "" {
		scheme = "https"
		serve = func() error { return srv.ServeTLS(ln, s.cert, s.key) }
	}
	fmt.Fprintf(e.stdout, "serving %s at %s\n", dir, urlOf(scheme, ln.Addr()))
	e.announceListening(ln.Addr())
	return serveUntil(ctx, srv, serve)
}

// urlOf is how the server is called from this machine.
func urlOf(scheme string, a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return scheme + "://" + a.String()
	}
	host := t.IP.String()
	if t.IP == nil || t.IP.IsUnspecified() {
		host = "localhost"
		if name, err := os.Hostname(); err == nil && name != "" {
			host = name
		}
	}
	return fmt.Sprintf("%s://%s/", scheme, net.JoinHostPort(host, fmt.Sprint(t.Port)))
}

// serveUntil serves until ctx ends, then lets requests under way finish for a while.
func serveUntil(ctx context.Context, srv *http.Server, serve func() error) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		err := srv.Shutdown(grace)
		if errors.Is(err, context.DeadlineExceeded) {
			srv.Close()
			err = nil
		}
		stopped <- err
	})
	err := serve()
	if stop() {
		return err // serving failed by itself
	}
	if errors.Is(err, http.ErrServerClosed) {
		return <-stopped
	}
	return err
}
