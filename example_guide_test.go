package mptcp_test

import (
	"context"
	"crypto/x509"
	"errors"
	"expvar"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/httpx"
	"github.com/mptcp-go/mptcp/scheduler"
)

// The snippets of docs/guide.md and README.md are parts of these examples: TestSnippetsCompile compares them.

// A client: only the way to dial differs.
func Example_client() {
	client := &http.Client{Transport: &http.Transport{DialContext: mptcp.Dial}}
	resp, err := client.Get("http://server.internal:8080/")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
}

// Multipath TCP of our own toward any server that speaks it, Linux' kernel among them.
func Example_wire() {
	d := &mptcp.Dialer{Config: mptcp.Config{Mode: mptcp.ModeWire}}
	client := &http.Client{Transport: httpx.NewTransport(d, nil)}
	resp, err := client.Get("http://server.internal:8080/")
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
}

// A server: only the listener differs.
func Example_server() {
	ln, err := mptcp.Listen("tcp", ":8080")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.Serve(ln, http.HandlerFunc(hello)))
}

// A client of a service whose servers are known to speak multipath.
func Example_httpClient() {
	d := &mptcp.Dialer{Config: mptcp.Config{
		Peers:  []string{"api.internal:8443"}, // known to speak it: no question, and no round trip more than TCP
		Logger: slog.Default(),                // events at level Debug
	}}
	client := &http.Client{Transport: httpx.NewTransport(d, nil)}

	resp, err := client.Get("https://api.internal:8443/report")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		log.Fatal(err)
	}
}

// A server that ends in order: requests under way are answered, and every answer reaches its reader.
func Example_httpServer() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	srv := &http.Server{Addr: ":8080", Handler: http.HandlerFunc(hello)}
	if err := httpx.ListenAndServe(ctx, srv, nil); err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := mptcp.DefaultTransport.Shutdown(ctx); err != nil {
		log.Print("not everything was delivered: ", err)
	}
}

// hello asks for the connection that the request came on.
func hello(w http.ResponseWriter, r *http.Request) {
	if c, ok := httpx.FromRequest(r); ok { // false on other listeners
		slog.Info("request", "carrier", c.Info().Carrier, "subflows", len(c.Subflows()))
	}
	fmt.Fprint(w, "hello over all paths")
}

// HTTPS, and with it HTTP/2, needs nothing more.
func Example_tlsServer() {
	ctx := context.Background()
	srv := &http.Server{Addr: ":8443", Handler: http.HandlerFunc(hello)}
	log.Fatal(httpx.ListenAndServeTLS(ctx, srv, nil, "cert.pem", "key.pem"))
}

// HTTP/2 over TLS over multipath, in one process.
func Example_http2() {
	l, err := mptcp.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	srv.Listener.Close()
	srv.Listener, srv.EnableHTTP2 = l, true
	srv.StartTLS()
	defer srv.Close()

	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	d := &mptcp.Dialer{Config: mptcp.Config{Mode: mptcp.ModeStream, RequireMultipath: true}}
	t := httpx.NewTransport(d, nil)
	t.TLSClientConfig.RootCAs = roots
	defer t.CloseIdleConnections()

	resp, err := (&http.Client{Transport: t}).Get(srv.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", resp.Proto, body)
	// Output: HTTP/2.0: hello over all paths
}

// What a path may be used for. The first rule that matches decides.
func Example_pathPolicy() {
	policy := extapi.PathPolicy{Rules: []extapi.PathRule{
		{PathMatch: extapi.PathMatch{Interface: "eth*"}, Role: extapi.RolePrefer},
		{PathMatch: extapi.PathMatch{Kind: extapi.KindCellular}, Role: extapi.RoleBackup, Cost: 10},
		{PathMatch: extapi.PathMatch{Kind: extapi.KindTunnel}, Role: extapi.RoleNever},
	}}
	d := &mptcp.Dialer{Config: mptcp.Config{Paths: policy}}

	for _, c := range []extapi.Candidate{
		{Interface: "eth0", Kind: extapi.KindEthernet}, {Interface: "wwan0", Kind: extapi.KindCellular}, {Interface: "wlan0", Kind: extapi.KindWiFi},
	} {
		role, cost := d.Paths.Evaluate(c)
		fmt.Println(c.Interface, role, cost)
	}
	// Output:
	// eth0 prefer 0
	// wwan0 backup 10
	// wlan0 default 0
}

// Bulk transfers stay on the cable, everything else goes as the Dialer says.
func Example_policyPerRequest() {
	client := &http.Client{Transport: &httpx.PolicyTransport{
		Key: func(r *http.Request) (string, extapi.PathPolicy) {
			if r.Header.Get("X-Bulk") != "" {
				return "bulk", extapi.Only("eth*")
			}
			return "", extapi.PathPolicy{}
		},
	}}
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:8080/backup", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("X-Bulk", "1")
	_, err = client.Do(req)
	fmt.Println(errors.Is(err, mptcp.ErrPolicy)) // loopback is no eth*
	// Output: true
}

// Traffic in proportion to what the paths deliver for their price.
func Example_cost() {
	byPrice := scheduler.NewWeighted(func(p scheduler.Path) int { return int(p.Rate) / (1 + p.Cost) })
	d := &mptcp.Dialer{Config: mptcp.Config{Scheduler: byPrice}}
	fmt.Println(d.Scheduler.Name())
	// Output: weighted
}

// advice says what to do about an error of a dial, a Read or a Write.
func advice(err error) string {
	var reset *mptcp.ResetError
	var path *mptcp.PathError
	switch {
	case errors.Is(err, mptcp.ErrPolicy):
		return "the path policy leaves nothing: look at it, and at Transport.Addrs"
	case errors.Is(err, mptcp.ErrNotMultipath):
		return "the peer speaks plain TCP only: drop RequireMultipath, or take it out of Peers"
	case errors.Is(err, mptcp.ErrNoPath):
		return "every path was down for NoPathTimeout: dial again"
	case errors.As(err, &reset):
		return "one side aborted: " + reset.Reason.String()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "too slow: try again, or wait longer"
	case errors.Is(err, net.ErrClosed):
		return "this side has closed the connection"
	case errors.As(err, &path):
		return "no connection from " + path.Local.String() + " to " + path.Remote.String()
	}
	return "as with any net.Conn"
}

// Errors are those of package net where there is one, and typed where there is more to say.
func Example_errors() {
	plain := httptest.NewServer(http.HandlerFunc(hello)) // knows nothing of multipath
	defer plain.Close()
	d := &mptcp.Dialer{Config: mptcp.Config{Mode: mptcp.ModeStream, RequireMultipath: true}}
	_, err := d.Dial("tcp", plain.Listener.Addr().String())
	fmt.Println(advice(err))
	// Output: the peer speaks plain TCP only: drop RequireMultipath, or take it out of Peers
}

// A server behind a NAT, or in a container with published ports, announces the addresses that its clients can reach.
func Example_behindNAT() {
	lc := &mptcp.ListenConfig{Announce: []netip.AddrPort{
		netip.MustParseAddrPort("198.51.100.7:8443"),
		netip.MustParseAddrPort("203.0.113.7:8443"),
	}}
	srv := &http.Server{Addr: ":8443", Handler: http.HandlerFunc(hello)}
	log.Fatal(httpx.ListenAndServeTLS(context.Background(), srv, lc, "cert.pem", "key.pem"))
}

// Every connection and subflow on a page for operators, on a port of its own, and as a variable.
func Example_debugPage() {
	ops := http.NewServeMux()
	ops.Handle("/debug/mptcp", httpx.Handler(nil))
	ops.Handle("/debug/vars", expvar.Handler())
	expvar.Publish("mptcp", expvar.Func(func() any { return mptcp.DefaultTransport.Conns() }))
	go func() { log.Print(http.ListenAndServe("127.0.0.1:6060", ops)) }()
}

// counter is a Tracer that counts what operators want to know. One serves all connections.
type counter struct{ subflows, lost, reinjected atomic.Int64 }

func (c *counter) Trace(now time.Duration, ev extapi.Event) {
	switch ev := ev.(type) {
	case extapi.SubflowEstablished:
		c.subflows.Add(1)
	case extapi.SubflowClosed:
		if ev.Err != nil {
			c.lost.Add(1)
		}
	case extapi.DataReinjected:
		c.reinjected.Add(int64(ev.Len))
	}
}

func (c *counter) Close() error { return nil }

// Counters for Prometheus or OpenTelemetry come from a Tracer.
func Example_tracer() {
	var total counter
	trace := func(context.Context, extapi.ConnInfo) extapi.Tracer { return &total }

	l, err := (&mptcp.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	d := &mptcp.Dialer{Config: mptcp.Config{Mode: mptcp.ModeStream, RequireMultipath: true, Trace: trace}}
	c, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	c.Close()
	fmt.Println(total.subflows.Load())
	// Output: 1
}

// What happens on a connection, as it happens.
func Example_watch() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := (&mptcp.Dialer{}).DialMultipath(ctx, "tcp", "files.internal:8080")
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for ev := range c.Watch(ctx) {
		switch ev := ev.(type) {
		case extapi.SubflowEstablished:
			log.Printf("path %d: %s -> %s over %s", ev.Info.ID, ev.Info.Local, ev.Info.Remote, ev.Info.Interface)
		case extapi.SubflowClosed:
			log.Printf("path %d ended: %v", ev.Info.ID, ev.Err)
		default: // more events come with new versions
			log.Print(ev.Name())
		}
	}
}

// Both ends share a secret: only who has it can connect, join or be connected to.
func Example_secret() {
	secret := []byte(os.Getenv("MPTCP_SECRET"))
	d := &mptcp.Dialer{Config: mptcp.Config{Secret: secret}}
	lc := &mptcp.ListenConfig{Config: mptcp.Config{Secret: secret}}
	_, _ = d, lc
}

// A protocol in which the server speaks first (SMTP, MySQL, SSH) should not wait for its client's first byte.
func Example_serverSpeaksFirst() {
	lc := &mptcp.ListenConfig{Config: mptcp.Config{ServerSpeaksFirst: true}}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
}

// Limits for a server with many connections, and patience for a link of long delay.
func Example_tuning() {
	t := &mptcp.Transport{MemoryLimit: 256 << 20} // of all its connections together
	defer t.Close()
	lc := &mptcp.ListenConfig{
		Transport: t,
		Config: mptcp.Config{
			RecvBuffer:      1 << 20, // ceiling per connection; it starts smaller
			SendBuffer:      1 << 20,
			IdlePathTimeout: time.Minute, // close extra subflows that carry nothing
			StallTimeout:    2 * time.Second,
			NoPathTimeout:   5 * time.Minute,
		},
	}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
}

// Every packet of ModeWire passes by: here they are only counted.
func Example_capture() {
	var seen atomic.Int64
	t := &mptcp.Transport{Capture: func(at time.Time, sent bool, packet []byte) { seen.Add(1) }}
	defer t.Close()
}

// The last byte has arrived when Flush returns: the peer's DATA_ACK says so, not a proxy's ACK.
func Example_flush() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l, err := mptcp.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(io.Discard, c)
	}()

	d := &mptcp.Dialer{Config: mptcp.Config{Mode: mptcp.ModeStream, RequireMultipath: true}}
	c, err := d.DialMultipath(ctx, "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "the last words")
	fmt.Println(c.Flush(ctx))
	// Output: <nil>
}
