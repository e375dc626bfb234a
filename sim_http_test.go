package mptcp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/simnet"
)

// certificate is a server's own, and what a client trusts. It is valid at the time of synctest bubbles.
func certificate(t *testing.T) (server, client *tls.Config) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(10, 0, 9, 9)},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, &tls.Config{RootCAs: pool}
}

// One of two paths goes dead while a download runs, whatever HTTP runs on: every byte arrives, without a
// stall that a user would notice, also over the path that the connection was made on.
func TestDownloadSurvivesASilentPath(t *testing.T) {
	body, _ := pattern(12 << 20)
	server, client := certificate(t)
	for _, x := range []struct {
		name    string
		tls, h2 bool
	}{{"HTTP/1.1", false, false}, {"HTTP/1.1 over TLS", true, false}, {"HTTP/2.0", true, true}} {
		for _, first := range []bool{true, false} {
			inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
				srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { rw.Write(body) })}
				var serve = func() error { return srv.Serve(w.listener) }
				scheme := "http://"
				if x.tls {
					srv.TLSConfig, scheme = server.Clone(), "https://"
					serve = func() error { return srv.ServeTLS(w.listener, "", "") }
				}
				go serve()
				d := &Dialer{Transport: w.client, Config: Config{Peers: []string{"10.0.9.9"}}}
				tr := &http.Transport{DialContext: d.DialContext, ForceAttemptHTTP2: x.h2}
				if x.tls {
					tr.TLSClientConfig = client.Clone()
				}
				resp, err := (&http.Client{Transport: tr}).Get(scheme + serverAddr)
				require.NoError(t, err)
				if x.h2 {
					require.Equal(t, x.name, resp.Proto)
				}
				dead := w.wlan
				if first {
					dead = w.eth
				}
				time.AfterFunc(700*time.Millisecond, func() { dead.Blackhole(true) })
				got, stall := readAll(t, resp.Body)
				require.True(t, bytes.Equal(body, got), x.name)
				t.Logf("%s, first %t: longest stall %v", x.name, first, stall)
				require.Less(t, stall, 600*time.Millisecond, x.name)
				resp.Body.Close()
				dead.Blackhole(false)
				tr.CloseIdleConnections()
				require.NoError(t, srv.Close())
			})
		}
	}
}

// readAll reads to the end and says how long it waited at most.
func readAll(t *testing.T, r io.Reader) (got []byte, stall time.Duration) {
	buf := make([]byte, 64<<10)
	for {
		begin := time.Now()
		n, err := r.Read(buf)
		stall = max(stall, time.Since(begin))
		got = append(got, buf[:n]...)
		if err == io.EOF {
			return got, stall
		}
		require.NoError(t, err)
	}
}

// Paths come and go all through a download.
func TestAddressChurnDuringADownload(t *testing.T) {
	body, _ := pattern(24 << 20)
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		go func() {
			c, err := w.listener.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			c.Write(body)
		}()
		c := w.dial(t, Config{Mode: ModeStream})
		time.Sleep(100 * time.Millisecond) // both ends have both keys: before that no join can replace the first subflow
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() { // one address at a time is missing
			defer close(done)
			for i := 0; ; i++ {
				x := []*simnet.Interface{w.eth, w.wlan}[i%2]
				a := []string{"10.0.0.1", "10.0.1.1"}[i%2]
				x.RemoveAddr(addrOf(a))
				time.Sleep(200 * time.Millisecond)
				x.AddAddr(addrOf(a))
				select {
				case <-stop:
					return
				case <-time.After(600 * time.Millisecond):
				}
			}
		}()
		got, stall := readAll(t, c)
		close(stop)
		<-done
		t.Logf("longest stall %v", stall)
		require.True(t, bytes.Equal(body, got), "%d bytes", len(got))
		require.Less(t, stall, 2*time.Second)
		require.NoError(t, c.Close())
	})
}

// What net.Conn promises holds over a simulated network too, where nothing gives TCP_INFO or a raw socket. The listener takes
// multipath alone: where nobody runs for long enough it would hand out a join that is late as a plain connection, and Accept
// would not return the other end of what was dialled.
func TestConnIsANetConnOverSimnet(t *testing.T) {
	n := simnet.NewNet(1, simnet.PipeConfig{})
	defer n.Close()
	link := simnet.LinkConfig{Delay: time.Millisecond}
	c, s := n.Host("client"), n.Host("server")
	c.AddInterface("eth0", extapi.KindEthernet, link, link, addrOf("10.0.0.1"))
	c.AddInterface("wlan0", extapi.KindWiFi, link, link, addrOf("10.0.1.1"))
	s.AddInterface("eth0", extapi.KindEthernet, simnet.LinkConfig{}, simnet.LinkConfig{}, addrOf("10.0.9.9"))
	client, server := &Transport{Network: simHost{c}}, &Transport{Network: simHost{s}}
	cfg := Config{Mode: ModeStream, RequireMultipath: true}
	l, err := (&ListenConfig{Transport: server, Config: cfg}).Listen(t.Context(), "tcp", ":8080")
	require.NoError(t, err)
	d := &Dialer{Transport: client, Config: cfg}
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		if c1, err = d.Dial("tcp", serverAddr); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = l.Accept(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
	require.NoError(t, client.Close())
	require.NoError(t, server.Close())
}

func addrOf(s string) netip.Addr { return netip.MustParseAddr(s) }
