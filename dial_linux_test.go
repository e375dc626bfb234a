package mptcp

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/extapi"
)

func TestControlThatBindsADeviceIsPlain(t *testing.T) {
	l := listen(t, ListenConfig{})
	var bound error
	tr := &Transport{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), "lo") })
	}}
	t.Cleanup(func() { tr.Close() })
	client, _ := connect(t, Dialer{Transport: tr}, l)
	if bound != nil {
		t.Skipf("sockets can't be bound to a device here: %v", bound)
	}
	requireCarrier(t, client, extapi.CarrierTCP, extapi.FallbackBound)
	client, _ = connect(t, Dialer{Transport: tr, Config: Config{Multipath: MultipathOn}}, l)
	requireCarrier(t, client, extapi.CarrierStream, extapi.FallbackNone)
}

// With Config.Congestion nil each subflow has the kernel's own, and says which.
func TestCongestionControlIsTheKernels(t *testing.T) {
	want, err := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	require.NoError(t, err)
	client, _ := connect(t, Dialer{Config: streamOnly}, listen(t, ListenConfig{}))
	got := client.Subflows()[0].Congestion
	if got == "kernel" {
		t.Skip("built without TCP_INFO: it does not tell")
	}
	require.Equal(t, "kernel:"+strings.TrimSpace(string(want)), got)
}

// Config.KeepAlive and the setters reach the sockets of all subflows (RFC 6897 section 4.4.1).
func TestKeepAliveOfEverySubflow(t *testing.T) {
	first, second, _ := twoPaths(t)
	cfg := streamOnly
	cfg.KeepAlive = net.KeepAliveConfig{Enable: true, Idle: 77 * time.Second}
	client, _ := connect(t, Dialer{Config: cfg}, first)
	_, err := client.OpenSubflow(t.Context(), netip.AddrPort{}, addrPort(second.Addr()))
	require.NoError(t, err)
	idle := func() (list []int) {
		for _, nc := range client.b.sockets() {
			raw, err := nc.(syscall.Conn).SyscallConn()
			require.NoError(t, err)
			require.NoError(t, raw.Control(func(fd uintptr) {
				n, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_KEEPIDLE)
				require.NoError(t, err)
				list = append(list, n)
			}))
		}
		return list
	}
	require.Equal(t, []int{77, 77}, idle())
	require.NoError(t, client.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 88 * time.Second}))
	require.Equal(t, []int{88, 88}, idle())
}

func TestKernelPeersAreNotScanned(t *testing.T) {
	requireKernel(t)
	l := listen(t, ListenConfig{})
	client, server := connect(t, Dialer{Config: Config{Mode: ModeKernel}}, l)
	requireCarrier(t, client, extapi.CarrierKernel, extapi.FallbackNone)
	requireCarrier(t, server, extapi.CarrierKernel, extapi.FallbackNone)
	require.True(t, server.Multipath())
	exchange(t, client, server)
}

func TestAutoFallsBackToTheKernel(t *testing.T) {
	requireKernel(t)
	l := listen(t, ListenConfig{Config: Config{Mode: ModeKernel}})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			closeOnNonsense(c)
		}
	}()
	c := dialTo(t, Dialer{}, l.Addr().String())
	requireCarrier(t, c, extapi.CarrierKernel, extapi.FallbackNone)
}
