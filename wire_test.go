package mptcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// tryWire dials and listens with ModeWire, to nobody: what matters is why it fails.
func tryWire(t *testing.T, tr *Transport) (dial, listen error) {
	t.Helper()
	cfg := Config{Mode: ModeWire}
	c, dial := (&Dialer{Config: cfg, Transport: tr}).Dial("tcp", "127.0.0.1:1")
	if dial == nil {
		c.Close()
	}
	l, listen := (&ListenConfig{Config: cfg, Transport: tr}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if listen == nil {
		l.Close()
	}
	return dial, listen
}

// A Network of the program's own has connections, not packets.
func TestModeWireNeedsTheSystemsNetwork(t *testing.T) {
	tr := newTransport(t)
	tr.Network = struct{ Network }{&system{}}
	dial, listen := tryWire(t, tr)
	for _, err := range []error{dial, listen, tr.Capabilities().Wire} {
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, "use ModeStream")
		require.NotErrorIs(t, err, ErrNotPermitted)
	}
}

// The operating system decides whether there are raw sockets; what is missing is said in the error.
func TestModeWireSaysWhatItLacks(t *testing.T) {
	tr := newTransport(t)
	wire := tr.Capabilities().Wire
	if wire == nil {
		dial, listen := tryWire(t, tr)
		require.NotErrorIs(t, dial, ErrNotPermitted)
		require.NotErrorIs(t, dial, errors.ErrUnsupported)
		require.NoError(t, listen)
		return
	}
	dial, listen := tryWire(t, tr)
	for _, err := range []error{dial, listen, wire} {
		if runtime.GOOS != "linux" {
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.ErrorContains(t, err, runtime.GOOS)
			continue
		}
		require.ErrorIs(t, err, ErrNotPermitted)
		require.ErrorIs(t, err, os.ErrPermission)
		require.ErrorContains(t, err, "setcap cap_net_raw+ep")
	}
}

// ErrNotPermitted is one of os's errors, whoever reports it, and wraps what says the remedy.
func TestPermissionErrors(t *testing.T) {
	require.ErrorIs(t, ErrNotPermitted, os.ErrPermission)
	cause := &os.SyscallError{Syscall: "socket", Err: os.ErrPermission}
	err := permitted(cause)
	require.ErrorIs(t, err, ErrNotPermitted)
	require.ErrorIs(t, err, os.ErrPermission)
	var inner *os.SyscallError
	require.ErrorAs(t, err, &inner)
	require.Equal(t, err, permitted(err), "once is enough")
	require.Equal(t, net.ErrClosed, permitted(net.ErrClosed))
	require.NoError(t, permitted(nil))
}

// The secret is part of the stream carrier's handshake; RFC 8684's has no room for one.
func TestModeWireHasNoSecret(t *testing.T) {
	d := &Dialer{Config: Config{Mode: ModeWire, Secret: []byte("a secret that both ends know")}, Transport: newTransport(t)}
	_, err := d.Dial("tcp", "127.0.0.1:1")
	require.ErrorIs(t, err, ErrNotMultipath)
	require.ErrorContains(t, err, "Secret")
}

// A Dialer that is bound is plain TCP in every mode (RFC 6897 section 4.2.1), and needs no privilege.
func TestModeWireBoundIsPlainTCP(t *testing.T) {
	tr := newTransport(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	d := &Dialer{Config: Config{Mode: ModeWire}, Transport: tr, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	c, err := d.DialContext(context.Background(), "tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	require.Equal(t, "127.0.0.1", netip.MustParseAddrPort(c.LocalAddr().String()).Addr().String())
}

// A listener with a secret lets in who speaks the stream carrier and knows it. RFC 8684's handshake has no room for a
// secret, so that who comes with it is turned away, like plain TCP.
func TestModeWireListenerWithSecret(t *testing.T) {
	secret := []byte("sesame")
	l := listenOnWire(t, Config{Secret: secret, PrefaceTimeout: 300 * time.Millisecond})
	for name, cfg := range map[string]Config{
		"wire": {Mode: ModeWire}, "tcp": {Mode: ModeTCP}, "stream without": {Mode: ModeStream, RequireMultipath: true, HandshakeTimeout: time.Second},
		"stream with another": {Mode: ModeStream, Secret: []byte("open"), HandshakeTimeout: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			d := Dialer{Config: cfg, Transport: newTransport(t)}
			c, err := d.DialMultipath(t.Context(), "tcp", l.Addr().String())
			if err == nil {
				_, _ = c.Write([]byte("let me in"))
				require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
				_, err = c.Read(make([]byte, 1))
				c.Close()
			}
			require.Error(t, err)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
		})
	}
	client, server := connect(t, Dialer{Config: Config{Mode: ModeStream, Secret: secret}, Transport: newTransport(t)}, l)
	requireCarrier(t, server, extapi.CarrierStream, extapi.FallbackNone)
	exchange(t, client, server)
	require.NoError(t, l.SetDeadline(time.Now().Add(200*time.Millisecond)))
	_, err := l.Accept()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "nobody else got in")
}
