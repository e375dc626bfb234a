package mptcp

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// A program changes two lines: whose DialContext its client uses, and whose Listen its server.
func TestHTTP(t *testing.T) {
	body := bytes.Repeat([]byte("multipath "), 100_000)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("X-Sent", fmt.Sprint(len(sent)))
		w.Header().Set("X-Proto", r.Proto)
		w.Write(body)
	})
	for _, c := range []struct {
		name  string
		tls   bool
		h2    bool
		proto string
	}{
		{"plain", false, false, "HTTP/1.1"}, {"TLS", true, false, "HTTP/1.1"}, {"HTTP2", true, true, "HTTP/2.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachCarrier(t, func(t *testing.T, i int, l *Listener) {
				srv := httptest.NewUnstartedServer(handler)
				require.NoError(t, srv.Listener.Close())
				srv.Listener, srv.EnableHTTP2 = l, c.h2
				if c.tls {
					srv.StartTLS()
				} else {
					srv.Start()
				}
				defer srv.Close()
				d := &Dialer{Config: carriers[i].dial, Transport: newTransport(t)}
				tr := &http.Transport{DialContext: d.DialContext, ForceAttemptHTTP2: c.h2}
				defer tr.CloseIdleConnections()
				if c.tls {
					pool := x509.NewCertPool()
					pool.AddCert(srv.Certificate())
					tr.TLSClientConfig = &tls.Config{RootCAs: pool}
				}
				requests(t, &http.Client{Transport: tr}, srv.URL, body, c.proto)
				for _, info := range d.Transport.Conns() {
					require.Equal(t, carriers[i].carrier, info.Carrier)
				}
			})
		})
	}
}

// requests sends a few requests at once and checks the answers.
func requests(t *testing.T, client *http.Client, url string, body []byte, proto string) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				resp, err := client.Post(url, "text/plain", bytes.NewReader(body[:50_000]))
				if !ok(t, err) {
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if !ok(t, err) {
					return
				}
				if !bytes.Equal(body, got) || resp.Header.Get("X-Sent") != "50000" || resp.Header.Get("X-Proto") != proto {
					t.Errorf("got %d bytes, %v", len(got), resp.Header)
				}
			}
		})
	}
	wg.Wait()
}

func ok(t *testing.T, err error) bool {
	if err != nil {
		t.Error(err)
	}
	return err == nil
}

// A server that was never told of multipath, and a client whose default is to find out.
func TestHTTPAgainstStrangers(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	defer srv.Close()
	d := &Dialer{Transport: newTransport(t)}
	tr := &http.Transport{DialContext: d.DialContext}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get(srv.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))

	l := listen(t, ListenConfig{})
	ours := &http.Server{Handler: srv.Config.Handler}
	go ours.Serve(l)
	defer ours.Close()
	plain := &http.Transport{}
	defer plain.CloseIdleConnections()
	resp, err = (&http.Client{Transport: plain}).Get("http://" + l.Addr().String())
	require.NoError(t, err)
	defer resp.Body.Close()
	got, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
}

// HTTP's hijacked and TLS-wrapped connections still lead to Control.
func TestControlBehindTLS(t *testing.T) {
	l := listen(t, ListenConfig{})
	client, _ := connect(t, Dialer{Config: streamOnly}, l)
	ctl, found := extapi.From(tls.Client(client, &tls.Config{InsecureSkipVerify: true}))
	require.True(t, found)
	require.Equal(t, extapi.CarrierStream, ctl.Info().Carrier)
}
