package stream

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
)

// A join whose reason has gone (here: the address that it was to leave from) is given up, not left to time out.
func TestUnwantedJoinIsGivenUp(t *testing.T) {
	w := tcpWorld(t)
	w.clientP.Engine.JoinDelay, w.clientP.Engine.JoinBytes = time.Millisecond, 1
	began, gone := make(chan netip.AddrPort, 10), make(chan struct{}, 10)
	w.clientP.Open = func(ctx context.Context, r engine.JoinRequest) (net.Conn, error) {
		began <- r.Path.Local
		<-ctx.Done()
		gone <- struct{}{}
		return nil, ctx.Err()
	}
	a, b := w.connect(t, false)
	second := netip.MustParseAddrPort("127.0.0.2:0")
	a.SetLocalAddrs([]extapi.Candidate{{Local: second, Kind: extapi.KindLoopback}})
	soon := time.After(2 * time.Second)
	select {
	case local := <-began:
		require.Equal(t, second, local)
	case <-soon:
		require.Fail(t, "no join")
	}
	require.Empty(t, gone)
	a.SetLocalAddrs(nil)
	select {
	case <-gone:
	case <-soon:
		require.Fail(t, "the join goes on")
	}
	finish(t, a, b)
}
