package mptcp

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/wire/stack"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// listenOnWire is listen with ModeWire, where that is permitted.
func listenOnWire(t *testing.T, cfg Config) *Listener {
	t.Helper()
	tr := newTransport(t)
	if err := tr.Capabilities().Wire; err != nil {
		t.Skip(err)
	}
	cfg.Mode = ModeWire
	return listen(t, ListenConfig{Config: cfg, Transport: tr})
}

// keepAliveOf are the settings of each of a connection's subflows of our own TCP.
func keepAliveOf(d *driver.Conn) (list []tcp.KeepAlive) {
	stack.ChangeKeepAlive(d, func(k *tcp.KeepAlive) { list = append(list, *k) })
	return list
}

func TestKeepAliveOfOurOwnTCP(t *testing.T) {
	l := listenOnWire(t, Config{})
	plain := func(c *Conn) *driver.Conn { return c.b.(*plain).nc.(*arrival).Conn }
	multi := func(c *Conn) *driver.Conn { return c.b.(*multi).Conn }
	client, server := connect(t, Dialer{Config: Config{Mode: ModeWire}, Transport: newTransport(t)}, l)
	_, fallen := connect(t, Dialer{Config: Config{Mode: ModeTCP}, Transport: newTransport(t)}, l)
	require.Equal(t, extapi.CarrierWire, server.Info().Carrier)
	require.Equal(t, extapi.CarrierTCP, fallen.Info().Carrier)
	for _, x := range []struct {
		c *Conn
		d *driver.Conn
	}{{client, multi(client)}, {server, multi(server)}, {fallen, plain(fallen)}} {
		is := func(want tcp.KeepAlive) {
			t.Helper()
			require.Equal(t, []tcp.KeepAlive{want}, keepAliveOf(x.d))
		}
		is(tcp.KeepAlive{Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 9})
		require.NoError(t, x.c.SetKeepAlivePeriod(time.Minute))
		is(tcp.KeepAlive{Idle: time.Minute, Interval: 15 * time.Second, Count: 9})
		require.NoError(t, x.c.SetKeepAlive(false))
		is(tcp.KeepAlive{Off: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 9})
		require.NoError(t, x.c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1, Interval: time.Second, Count: 3}))
		is(tcp.KeepAlive{Idle: time.Minute, Interval: time.Second, Count: 3})
	}
}
