package nettest

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/httpx"
)

// fetch is the outcome of one HTTP request, or of one talk with a greeter.
type fetch struct {
	URL      string
	Status   int
	Proto    string
	Bytes    int64
	SHA256   string
	Took     time.Duration
	Carrier  extapi.Carrier
	Fallback extapi.FallbackReason
}

// web serves /N, N bytes of the pattern, over HTTP or, with a certificate, over HTTPS.
func (a *actor) web() error {
	l, err := a.announce()
	if err != nil {
		return err
	}
	srv := &http.Server{
		ConnContext: httpx.ConnContext,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var n int64
			if _, err := fmt.Sscanf(r.URL.Path, "/%d", &n); err != nil {
				http.NotFound(w, r)
				return
			}
			c, ok := httpx.FromRequest(r)
			if !ok {
				http.Error(w, "no connection in the context", http.StatusInternalServerError)
				return
			}
			w.Header().Set("X-Carrier", c.Info().Carrier.String())
			w.Header().Set("Content-Length", fmt.Sprint(n))
			for at := int64(0); at < n; {
				b := pattern(at)
				k, err := w.Write(b[:min(int64(len(b)), n-at)])
				if err != nil {
					return // the client is gone
				}
				at += int64(k)
			}
		}),
	}
	if a.Cert != "" {
		return srv.ServeTLS(l, a.Cert, a.Key)
	}
	return srv.Serve(l)
}

// fetcher gets its URLs one after the other, each over a connection of its own.
func (a *actor) fetcher() error {
	base := &http.Transport{DisableKeepAlives: true}
	if a.Cert != "" {
		pem, err := os.ReadFile(a.Cert)
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		base.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	a.say(report{Kind: "connected"})
	for _, url := range a.URLs {
		f, err := a.get(base, url)
		if err != nil {
			return err
		}
		a.say(report{Kind: "fetched", Fetch: f})
	}
	a.say(report{Kind: "done"})
	return nil
}

// get asks over a fresh connection; what discovery has learnt is the process's.
func (a *actor) get(base *http.Transport, url string) (fetch, error) {
	f := fetch{URL: url}
	t := httpx.NewTransport(&mptcp.Dialer{Config: a.config()}, base)
	defer t.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	ctx = httpx.Trace(ctx, func(i extapi.ConnInfo, _ []extapi.SubflowInfo) { f.Carrier, f.Fallback = i.Carrier, i.Fallback })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return f, err
	}
	began := time.Now()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return f, err
	}
	defer resp.Body.Close()
	sum := sha256.New()
	f.Bytes, err = io.Copy(sum, resp.Body)
	f.Took = time.Since(began)
	f.Status, f.Proto, f.SHA256 = resp.StatusCode, resp.Proto, hex.EncodeToString(sum.Sum(nil))
	return f, err
}

// greeting is what a server that speaks first says, in the manner of SMTP.
const greeting = "220 greeter.test ESMTP ready\r\n"

// greeter greets, then agrees with every line until QUIT.
func (a *actor) greeter() error {
	return a.accept(func(nc net.Conn) {
		a.enter(nc)
		go a.greet(nc)
	})
}

func (a *actor) greet(nc net.Conn) {
	defer nc.Close()
	io.WriteString(nc, greeting)
	a.say(describe(report{Kind: "greeted"}, nc))
	for in := bufio.NewReader(nc); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if line == "QUIT\r\n" {
			io.WriteString(nc, "221 bye\r\n")
			a.say(report{Kind: "quit"})
			return
		}
		io.WriteString(nc, "250 fine\r\n")
	}
}

// guest talks to a greeter as often as it has URLs, which only count here.
func (a *actor) guest() error {
	a.say(report{Kind: "connected"})
	for range a.URLs {
		f, err := a.talk()
		if err != nil {
			return err
		}
		a.say(report{Kind: "fetched", Fetch: f})
	}
	a.say(report{Kind: "done"})
	return nil
}

func (a *actor) talk() (fetch, error) {
	f := fetch{URL: a.Addr}
	began := time.Now()
	nc, err := a.open(a.Addr)
	if err != nil {
		return f, err
	}
	defer nc.Close()
	a.enter(nc)
	nc.SetDeadline(began.Add(8 * time.Second))
	in := bufio.NewReader(nc)
	for _, step := range [][2]string{{"", greeting}, {"QUIT\r\n", "221 bye\r\n"}} {
		if _, err := io.WriteString(nc, step[0]); err != nil {
			return f, err
		}
		got, err := in.ReadString('\n')
		if err != nil || got != step[1] {
			return f, fmt.Errorf("after %q: %q, %w", step[0], got, err)
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		return f, fmt.Errorf("no end of file: %w", err)
	}
	f.Took = time.Since(began)
	i := describe(report{}, nc).Info
	f.Carrier, f.Fallback = i.Carrier, i.Fallback
	return f, nil
}

// mute accepts, reads and says nothing.
func (a *actor) mute() error {
	return a.accept(func(nc net.Conn) { go io.Copy(io.Discard, nc) })
}

// caller dials as often as it has URLs, which only count here.
func (a *actor) caller() error {
	for range a.URLs {
		began := time.Now()
		nc, err := a.open(a.Addr)
		if err != nil {
			return err
		}
		f := fetch{URL: a.Addr, Took: time.Since(began)}
		i := describe(report{}, nc).Info
		f.Carrier, f.Fallback = i.Carrier, i.Fallback
		nc.Close()
		a.say(report{Kind: "fetched", Fetch: f})
	}
	a.say(report{Kind: "done"})
	return nil
}
