package nettest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// webAddr is where the web servers of these tests are, as seen from the client; publicAddr is the same
// beyond what DiscoverPrivate asks.
var (
	webAddr    = serverIP(1)
	publicAddr = netip.MustParseAddr("203.0.113.80")
)

// certificate writes a self-signed certificate for the web servers' addresses.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nettest"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{webAddr.AsSlice(), serverIP6(1).AsSlice(), publicAddr.AsSlice()},
		IsCA:        true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	return cert, key
}

// webLab is a client and a server with one leg each; the server has a public address, too.
func webLab(t *testing.T) *lab {
	l := crossing(t, []leg{{}}, []leg{{}})
	l.do("s", "ip addr add "+publicAddr.String()+"/32 dev lo")
	l.do("r", "ip route add "+publicAddr.String()+"/32 via "+serverIP(1).String())
	return l
}

// curl, which has never heard of this library, asks our listeners.
func TestNamespaceCurl(t *testing.T) {
	need(t, "curl")
	cert, key := certificate(t)
	for _, tc := range []struct {
		name, scheme string
		args         []string
		proto        string
		server       order
	}{
		{"HTTP/1.1", "http", nil, "1.1", order{}},
		{"HTTP/1.1 over TLS", "https", []string{"--http1.1"}, "1.1", order{Cert: cert, Key: key}},
		{"HTTP/2", "https", []string{"--http2"}, "2", order{Cert: cert, Key: key}},
		{"ModeKernel", "http", nil, "1.1", order{Mode: mptcp.ModeKernel}},
		{"ModeTCP", "http", nil, "1.1", order{Mode: mptcp.ModeTCP}},
		{"server speaks first", "http", nil, "1.1", order{SpeaksFirst: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := webLab(t)
			tc.server.Role = "web"
			l.serve("s", tc.server)
			const size = 3*mib + 17
			out := filepath.Join(t.TempDir(), "out")
			args := append([]string{"curl", "-sS", "--fail", "--max-time", "10", "--cacert", cert, "-o", out,
				"-w", "%{http_version} %{num_connects} %{time_total} %header{x-carrier}"}, tc.args...)
			url := fmt.Sprintf("%s://%s/%d", tc.scheme, at(webAddr), size)
			b, err := l.command("c", append(args, url)...).CombinedOutput()
			require.NoError(t, err, "%s", b)
			t.Logf("version, connections, seconds, carrier: %s", b)
			got, err := os.ReadFile(out)
			require.NoError(t, err)
			require.Len(t, got, size)
			require.Equal(t, -1, differs(0, got))
			require.True(t, strings.HasPrefix(string(b), tc.proto+" "), "%s", b)
			require.True(t, strings.HasSuffix(string(b), " tcp"), "%s", b)
		})
	}
}

// curl talks to a server that speaks first, which our listener must not keep waiting for the client.
func TestNamespaceCurlMeetsGreeter(t *testing.T) {
	need(t, "curl")
	for _, first := range []bool{true, false} {
		t.Run(fmt.Sprintf("ServerSpeaksFirst=%v", first), func(t *testing.T) {
			l := webLab(t)
			server := l.serve("s", order{Role: "greeter", SpeaksFirst: first})
			began := time.Now()
			// curl says EHLO, HELP and QUIT.
			out, err := l.command("c", "curl", "-v", "--max-time", "5", "smtp://"+at(webAddr)+"/client.test").CombinedOutput()
			took := time.Since(began)
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), strings.TrimSpace(greeting))
			greeted := server.wait(time.Second, "greeted")
			require.Equal(t, extapi.CarrierTCP, greeted.Info.Carrier)
			server.wait(time.Second, "quit")
			t.Logf("the talk took %v", took)
			require.Less(t, took, 2*time.Second)
		})
	}
}

// nginx runs the Debian package's server with a configuration of our own, under another program if one is given; /file is
// size bytes long.
func (l *lab) nginx(cert, key string, size int, under ...string) (sum string, access string) {
	l.t.Helper()
	dir := l.t.TempDir()
	var body []byte
	for len(body) < size {
		body = append(body, pattern(int64(len(body)))...)
	}
	body = body[:size]
	require.NoError(l.t, os.WriteFile(filepath.Join(dir, "file"), body, 0o600))
	conf := fmt.Sprintf(`daemon off; user root; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
		events { worker_connections 128; }
		http {
			log_format f '$status "$request" $request_completion'; access_log %[1]s/access.log f;
			client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
			root %[1]s;
			ssl_certificate %[2]s; ssl_certificate_key %[3]s;
			server { listen 7080; }
			server { listen 7443 ssl; }
			server { listen 7444 ssl http2; }
		}`, dir, cert, key)
	file := filepath.Join(dir, "nginx.conf")
	require.NoError(l.t, os.WriteFile(file, []byte(conf), 0o600))
	cmd := l.command("s", append(under, "nginx", "-e", filepath.Join(dir, "error.log"), "-c", file)...)
	require.NoError(l.t, cmd.Start())
	l.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	l.eventually(5*time.Second, "nginx listens", func() bool {
		return strings.Count(l.do("s", "ss -Hltn"), ":7") >= 3
	})
	return patternSum(size), filepath.Join(dir, "access.log")
}

// Our client asks nginx, without knowing what it is: the first request is right, and from the second on
// nothing is asked that nginx does not understand.
func TestNamespaceNginx(t *testing.T) {
	need(t, "nginx", "ss")
	cert, key := certificate(t)
	const size = 2*mib + 5
	for _, tc := range []struct {
		name      string
		discovery mptcp.Discovery
		addr      netip.Addr
		scheme    string
		port      int
		proto     string
		asked     int // questions in nginx's record, which has none on a TLS port
	}{
		{"private, HTTP", mptcp.DiscoverPrivate, webAddr, "http", 7080, "HTTP/1.1", 1},
		{"private, TLS", mptcp.DiscoverPrivate, webAddr, "https", 7443, "HTTP/1.1", 0},
		{"private, HTTP/2", mptcp.DiscoverPrivate, webAddr, "https", 7444, "HTTP/2.0", 0},
		{"all, public, HTTP", mptcp.DiscoverAll, publicAddr, "http", 7080, "HTTP/1.1", 1},
		{"all, public, HTTP/2", mptcp.DiscoverAll, publicAddr, "https", 7444, "HTTP/2.0", 0},
		{"private asks nobody in public", mptcp.DiscoverPrivate, publicAddr, "http", 7080, "HTTP/1.1", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := webLab(t)
			sum, access := l.nginx(cert, key, size)
			url := fmt.Sprintf("%s://%v:%d/file", tc.scheme, tc.addr, tc.port)
			client := l.start("c", order{Role: "fetcher", Cert: cert, Discovery: tc.discovery, URLs: []string{url, url, url}})
			client.wait(20*time.Second, "done")
			list := fetched(client)
			require.Len(t, list, 3)
			for i, f := range list {
				t.Logf("request %d: %s in %v, %v (%v)", i+1, f.Proto, f.Took, f.Carrier, f.Fallback)
				require.Equal(t, 200, f.Status)
				require.Equal(t, tc.proto, f.Proto)
				require.EqualValues(t, size, f.Bytes)
				require.Equal(t, sum, f.SHA256)
				require.NotEqual(t, extapi.CarrierStream, f.Carrier)
				require.Less(t, f.Took, 1500*time.Millisecond)
			}
			requireLog(l, access, tc.asked)
		})
	}
}

// requireLog looks at nginx's record, which it writes after its answers: three requests, complete, and no more
// questions than the first dial's, since the verdict is remembered.
func requireLog(l *lab, access string, asked int) {
	l.t.Helper()
	var lines string
	var good int
	l.eventually(2*time.Second, "three requests in nginx's record", func() bool {
		b, err := os.ReadFile(access)
		require.NoError(l.t, err)
		lines = string(b)
		good = strings.Count(lines, `200 "GET /file HTTP/`)
		return good >= 3
	})
	require.Equal(l.t, 3, good, "%s", lines)
	require.Equal(l.t, 3, strings.Count(lines, `" OK`)-asked, "complete: %s", lines)
	require.Equal(l.t, asked, strings.Count(lines, "\n")-good, "%s", lines)
}

// Our dialer meets a server that speaks first: what it says arrives, in full and once.
func TestNamespaceGreeter(t *testing.T) {
	for _, tc := range []struct {
		name           string
		server, client order
		addr           netip.Addr
		carrier        extapi.Carrier
		first          time.Duration // what the first dial may take
	}{
		{"plain server, private", order{Stack: "net", Mode: mptcp.ModeTCP}, order{}, webAddr, extapi.CarrierTCP, time.Second},
		{"plain server, DiscoverAll", order{Stack: "net", Mode: mptcp.ModeTCP}, order{Discovery: mptcp.DiscoverAll}, publicAddr, extapi.CarrierTCP, time.Second},
		{"plain server, public", order{Stack: "net", Mode: mptcp.ModeTCP}, order{}, publicAddr, extapi.CarrierTCP, 250 * time.Millisecond},
		{"our listener, which waits", order{}, order{}, webAddr, extapi.CarrierStream, time.Second},
		{"our listener, which speaks first", order{SpeaksFirst: true}, order{}, webAddr, extapi.CarrierStream, time.Second},
		{"our listener, plain client", order{}, order{Stack: "net", Mode: mptcp.ModeTCP}, webAddr, extapi.CarrierTCP, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := webLab(t)
			tc.server.Role, tc.client.Role = "greeter", "guest"
			server := l.serve("s", tc.server)
			tc.client.Addr, tc.client.URLs = at(tc.addr), []string{"1", "2", "3"}
			client := l.start("c", tc.client)
			client.wait(20*time.Second, "done")
			list := fetched(client)
			require.Len(t, list, 3)
			for i, f := range list {
				t.Logf("dial %d: %v in %v", i+1, f.Carrier, f.Took)
				if tc.server.SpeaksFirst && f.Carrier == extapi.CarrierTCP {
					// Who speaks first waits 10 ms for the preface, and a busy machine may take longer, which is remembered.
					// TestServerSpeaksFirstHoweverFar has virtual time.
					tc.carrier = extapi.CarrierTCP
				}
				require.Equal(t, tc.carrier, f.Carrier)
				require.Less(t, f.Took, tc.first)
			}
			server.wait(time.Second, "quit")
		})
	}
}

// A server that takes what it did not ask for badly, and says nothing: the wait for it is bounded.
func TestNamespaceSilentServer(t *testing.T) {
	l := webLab(t)
	l.serve("s", order{Role: "mute", Stack: "net", Mode: mptcp.ModeTCP})
	client := l.start("c", order{Role: "caller", Addr: at(webAddr), URLs: []string{"1", "2", "3"}})
	client.wait(20*time.Second, "done")
	for i, f := range fetched(client) {
		t.Logf("dial %d: %v in %v", i+1, f.Carrier, f.Took)
		require.Equal(t, extapi.CarrierTCP, f.Carrier)
		if i == 0 {
			require.Less(t, f.Took, 600*time.Millisecond)
		} else {
			require.Less(t, f.Took, 200*time.Millisecond, "the verdict is remembered")
		}
	}
}
