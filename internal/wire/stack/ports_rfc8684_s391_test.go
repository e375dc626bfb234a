package stack

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// "the destination port of a SYN containing an MP_JOIN option SHOULD be the same as the remote port of the first subflow in the
// connection. The local port for such SYNs SHOULD also be the same as the port for the first subflow" (RFC 8684 section 3.9.1).
func TestJoinsKeepBothPorts(t *testing.T) {
	w := newWorld(t, secondAddr)
	c, s := w.dial(w.seed(true))
	_, err := c.d.Write([]byte("hello"))
	require.NoError(t, err)
	_, err = io.ReadFull(s.d, make([]byte, 5))
	require.NoError(t, err)
	require.Eventually(t, c.d.Established, 5*time.Second, time.Millisecond)
	var mu sync.Mutex
	var syns [][2]netip.AddrPort
	w.fabric.watch(func(s *packet.Segment) bool {
		mu.Lock()
		defer mu.Unlock()
		if s.Flags&(packet.SYN|packet.ACK) == packet.SYN {
			syns = append(syns, [2]netip.AddrPort{s.Src, s.Dst})
		}
		return false
	})
	c.d.SetLocalAddrs([]extapi.Candidate{
		{Local: netip.AddrPortFrom(clientAddr, 0), Interface: "f0", IfIndex: 1}, {Local: netip.AddrPortFrom(secondAddr, 0), Interface: "f1", IfIndex: 2},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = c.d.OpenSubflow(ctx, netip.AddrPortFrom(secondAddr, 0), netip.AddrPort{})
	require.NoError(t, err)
	w.fabric.watch(nil)
	mu.Lock()
	defer mu.Unlock()
	require.NotEmpty(t, syns)
	first := netip.MustParseAddrPort(c.d.LocalAddr().String())
	require.Equal(t, [2]netip.AddrPort{netip.AddrPortFrom(secondAddr, first.Port()), netip.AddrPortFrom(serverAddr, serverPort)}, syns[0])
}
