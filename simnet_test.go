package mptcp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/simnet"
	"github.com/mptcp-go/mptcp/internal/stream"
)

// simHost is a simulated host as a Network.
type simHost struct{ *simnet.Host }

func (h simHost) Dial(ctx context.Context, spec DialSpec) (net.Conn, error) {
	return h.Host.DialVia(ctx, spec.Interface, spec.Local, spec.Remote)
}

func (h simHost) Listen(_ context.Context, spec ListenSpec) (net.Listener, error) {
	if !spec.Local.Addr().IsValid() {
		spec.Local = netip.AddrPortFrom(netip.IPv4Unspecified(), spec.Local.Port())
	}
	return h.Host.Listen(spec.Local)
}

func (h simHost) Addrs() ([]extapi.Candidate, error) { return h.Host.Addrs(), nil }

func (h simHost) WatchAddrs(ctx context.Context) (<-chan struct{}, error) {
	return h.Host.WatchAddrs(ctx), nil
}

func (h simHost) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// world is a client with two interfaces, a server, and both their Transports.
type world struct {
	net            *simnet.Net
	eth, wlan      *simnet.Interface
	client, server *Transport
	listener       *Listener
}

const serverAddr = "10.0.9.9:8080"

// inWorld runs f in virtual time. link is what each of the client's interfaces is like.
func inWorld(t *testing.T, link simnet.LinkConfig, lc ListenConfig, f func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		ip := netip.MustParseAddr
		w := &world{net: simnet.NewNet(1, simnet.PipeConfig{})}
		c, s := w.net.Host("client"), w.net.Host("server")
		w.eth = c.AddInterface("eth0", extapi.KindEthernet, link, link, ip("10.0.0.1"))
		w.wlan = c.AddInterface("wlan0", extapi.KindWiFi, link, link, ip("10.0.1.1"))
		s.AddInterface("eth0", extapi.KindEthernet, simnet.LinkConfig{}, simnet.LinkConfig{}, ip("10.0.9.9"))
		w.client, w.server = &Transport{Network: simHost{c}}, &Transport{Network: simHost{s}}
		lc.Transport = w.server
		var err error
		w.listener, err = lc.Listen(t.Context(), "tcp", ":8080")
		require.NoError(t, err)
		f(t, w)
		require.NoError(t, w.client.Close())
		require.NoError(t, w.server.Close())
		synctest.Wait()
		w.net.Close()
	})
}

func (w *world) dial(t *testing.T, cfg Config) *Conn {
	t.Helper()
	c, err := (&Dialer{Transport: w.client, Config: cfg}).DialMultipath(t.Context(), "tcp", serverAddr)
	require.NoError(t, err)
	return c
}

// pattern is n bytes and their hash.
func pattern(n int) ([]byte, [32]byte) {
	b := bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), n/36+1)[:n]
	return b, sha256.Sum256(b)
}

// serveHashes answers every connection with the hash of what it sent.
func (w *world) serveHashes() {
	for {
		c, err := w.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			h := sha256.New()
			if _, err := io.Copy(h, c); err == nil {
				c.Write(h.Sum(nil))
			}
		}()
	}
}

// upload sends data and returns how long it took until the server had all of it.
func upload(t *testing.T, c *Conn, data []byte, want [32]byte) time.Duration {
	t.Helper()
	begin := time.Now()
	_, err := c.Write(data)
	require.NoError(t, err)
	require.NoError(t, c.CloseWrite())
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, want[:], got)
	return time.Since(begin)
}

var fiftyMbit = simnet.LinkConfig{Rate: 50e6 / 8, Delay: 10 * time.Millisecond}

func TestTwoInterfacesShareTheLoad(t *testing.T) {
	data, sum := pattern(32 << 20)
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		go w.serveHashes()
		c := w.dial(t, Config{Mode: ModeStream})
		upload(t, c, data, sum)
		flows := c.Subflows()
		require.Len(t, flows, 2)
		for _, s := range flows {
			require.Greater(t, s.BytesSent, uint64(len(data)/5), s.Interface)
		}
		require.NoError(t, c.Close())
	})
}

func TestSilentDeathOfThePathOfTheFirstSubflow(t *testing.T) {
	data, sum := pattern(16 << 20)
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		go w.serveHashes()
		c := w.dial(t, Config{Mode: ModeStream})
		time.AfterFunc(500*time.Millisecond, func() { w.eth.Blackhole(true) })
		took := upload(t, c, data, sum)
		require.Less(t, took, 6*time.Second)
		require.Equal(t, "10.0.0.1", c.LocalAddr().(*net.TCPAddr).IP.String(), "for life")
		w.eth.Blackhole(false)
		require.NoError(t, c.Close())
	})
}

func TestAddressComesAndGoes(t *testing.T) {
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		go w.serveHashes()
		gone := netip.MustParseAddr("10.0.1.1")
		w.wlan.RemoveAddr(gone)
		c := w.dial(t, Config{Mode: ModeStream})
		time.Sleep(3 * time.Second)
		require.Len(t, c.Subflows(), 1)
		w.wlan.AddAddr(gone)
		time.Sleep(3 * time.Second)
		require.Len(t, c.Subflows(), 2)
		w.wlan.RemoveAddr(gone)
		time.Sleep(3 * time.Second)
		require.Len(t, c.Subflows(), 1)
		data, sum := pattern(1 << 20)
		upload(t, c, data, sum)
		require.NoError(t, c.Close())
	})
}

func TestShortRequestsCostNoSecondSubflow(t *testing.T) {
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		go w.serveHashes()
		c := w.dial(t, Config{Peers: []string{"10.0.9.9"}})
		data, sum := pattern(100)
		begin := time.Now()
		upload(t, c, data, sum)
		require.Less(t, time.Since(begin), 45*time.Millisecond, "a round trip after the TCP handshake")
		require.Len(t, c.Subflows(), 1)
		require.NoError(t, c.Close())
	})
}

func TestDiscoveryInVirtualTime(t *testing.T) {
	inWorld(t, simnet.LinkConfig{Delay: 100 * time.Millisecond}, ListenConfig{}, func(t *testing.T, w *world) {
		go w.serveHashes()
		begin := time.Now()
		c := w.dial(t, Config{})
		require.Equal(t, extapi.CarrierStream, c.Info().Carrier)
		require.InDelta(t, 0.4, time.Since(begin).Seconds(), 0.02, "TCP's handshake and one round trip")
		require.NoError(t, c.Close())
	})
	inWorld(t, simnet.LinkConfig{Delay: 100 * time.Millisecond}, ListenConfig{Config: Config{Mode: ModeTCP}}, func(t *testing.T, w *world) {
		go w.serveHashes()
		begin := time.Now()
		c := w.dial(t, Config{})
		require.Equal(t, extapi.CarrierTCP, c.Info().Carrier)
		require.InDelta(t, 0.6, time.Since(begin).Seconds(), 0.03, "TCP's handshake and max(2 RTT, 250 ms)")
		require.NoError(t, c.Close())
		begin = time.Now()
		c = w.dial(t, Config{})
		require.InDelta(t, 0.2, time.Since(begin).Seconds(), 0.02, "remembered")
		require.NoError(t, c.Close())
	})
}

// A server that speaks first waits 10 ms for a preface, which is enough however far a client of ours is. Another one is greeted
// then, and so is one of ours that is slow.
func TestServerSpeaksFirstHoweverFar(t *testing.T) {
	for _, delay := range []time.Duration{0, 10 * time.Millisecond, 300 * time.Millisecond} {
		inWorld(t, simnet.LinkConfig{Delay: delay}, ListenConfig{Config: Config{ServerSpeaksFirst: true}}, func(t *testing.T, w *world) {
			go func() {
				for {
					c, err := w.listener.Accept()
					if err != nil {
						return
					}
					io.WriteString(c, "hello")
					c.Close()
				}
			}()
			heard := func(c net.Conn) {
				t.Helper()
				b, err := io.ReadAll(c)
				require.NoError(t, err)
				require.Equal(t, "hello", string(b))
				require.NoError(t, c.Close())
			}
			for range 3 {
				c := w.dial(t, Config{})
				require.Equal(t, extapi.CarrierStream, c.Info().Carrier)
				heard(c)
			}
			stranger := w.stranger(t)
			began := time.Now()
			heard(stranger)
			require.Equal(t, 10*time.Millisecond, time.Since(began), "its own way takes no time")
			late := w.stranger(t)
			time.Sleep(11 * time.Millisecond)
			late.Write(stream.Preface{Version: 1, Nonce: 1}.Append(nil))
			heard(late)
		})
	}
}

func TestHTTPInVirtualTime(t *testing.T) {
	body, _ := pattern(4 << 20)
	inWorld(t, fiftyMbit, ListenConfig{}, func(t *testing.T, w *world) {
		srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { rw.Write(body) })}
		go srv.Serve(w.listener)
		tr := &http.Transport{DialContext: (&Dialer{Transport: w.client}).DialContext}
		for range 2 {
			resp, err := (&http.Client{Transport: tr}).Get("http://" + serverAddr)
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			require.True(t, bytes.Equal(body, got))
		}
		tr.CloseIdleConnections()
		require.NoError(t, srv.Close())
	})
}
