package ipnet

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// bouncer is a stack with goroutines around it: it answers from its handler and tells of arrivals.
type bouncer struct {
	recorder
	link    link.Link
	arrived chan time.Duration
}

func (b *bouncer) HandleSegment(now time.Duration, s *packet.Segment, _ pool.Ref) {
	b.arrived <- now
	if b.link != nil {
		_, _ = b.link.Send([]packet.Segment{{Src: s.Dst, Dst: s.Src, Flags: packet.ACK}})
	}
}

// Under synctest a live network takes its time to the nanosecond, with stacks that send from their handlers.
func TestLiveUnderSynctest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := NewLive(1)
		a, b := n.Host("a"), n.Host("b")
		near := a.Attach("eth", 0, netip.MustParseAddr("10.0.0.1"))
		far := b.Attach("eth", 0, netip.MustParseAddr("10.0.0.2"))
		hole := &onpath.Blackhole{}
		n.Join(near, far, hole, onpath.NewLink(onpath.LinkConfig{Rate: 1e6, Delay: 20 * time.Millisecond}, nil))
		client, server := &bouncer{arrived: make(chan time.Duration, 10)}, &bouncer{arrived: make(chan time.Duration, 10)}
		la, lb := a.Open(client), b.Open(server)
		server.link = lb
		_, err := lb.Listen(ap("10.0.0.2:80"), server)
		require.NoError(t, err)
		f, err := la.Connect(ap("10.0.0.1:0"), ap("10.0.0.2:80"), 0, client)
		require.NoError(t, err)
		send := func() {
			_, err := la.Send([]packet.Segment{{Src: f.Local(), Dst: f.Remote(), Flags: packet.ACK, Payload: make([]byte, 960)}})
			require.NoError(t, err)
		}
		send()
		require.Equal(t, 21*time.Millisecond, <-server.arrived)
		require.Equal(t, 41*time.Millisecond+40*time.Microsecond, <-client.arrived)
		require.Equal(t, 41*time.Millisecond+40*time.Microsecond, n.Now())
		n.Do(func() { hole.On = true })
		send()
		time.Sleep(time.Second)
		require.Empty(t, server.arrived)
		near.SetAddrs(netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.9"))
		synctest.Wait()
		require.Equal(t, 1, client.changes)
		n.Do(func() { hole.On = false })
		send() // on its way when everything ends
		n.Close()
		time.Sleep(time.Second)
		require.Empty(t, server.arrived)
		_, err = la.Send(nil)
		require.NoError(t, err)
	})
}
