package stack

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// What has gone counts on, and nothing counts twice.
func TestCounters(t *testing.T) { synctest.Test(t, testCounters) }

func testCounters(t *testing.T) {
	const size = 1 << 20
	var w *world
	check := func(when string) (client, server extapi.Counters) {
		client, server = w.client.Counters(), w.server.Counters()
		for _, x := range []struct {
			who  string
			tcp  extapi.TCPCounters
			want uint64
		}{{"client", client.TCP, size}, {"server", server.TCP, size + 5}} {
			require.GreaterOrEqual(t, x.tcp.HCThruOctetsReceived, x.want, "%s %s", when, x.who) // more where some went over both paths
		}
		require.EqualValues(t, 1, client.MPTCP.MPCapableSYNTX, when)
		require.EqualValues(t, 1, client.MPTCP.MPCapableSYNACKRX, when)
		require.EqualValues(t, 1, client.MPTCP.MPJoinSynTx, when)
		require.EqualValues(t, 1, client.MPTCP.MPJoinSynAckRx, when)
		require.EqualValues(t, 1, server.MPTCP.MPCapableSYNRX, when)
		require.EqualValues(t, 1, server.MPTCP.MPCapableACKRX, when)
		require.EqualValues(t, 1, server.MPTCP.MPJoinSynRx, when)
		require.EqualValues(t, 1, server.MPTCP.MPJoinAckRx, when)
		require.Zero(t, server.MPTCP.MPJoinSynTx+client.MPTCP.MPJoinSynRx, when)
		require.EqualValues(t, 1, server.Listen.Admitted, when)
		return client, server
	}
	t.Cleanup(func() { // after the world's, which ends TIME-WAIT
		check("buried")
		require.Empty(t, w.client.ports)
		require.Empty(t, w.server.ports)
	})
	w = newDistantWorld(t, secondAddr)
	c, s := w.dial(w.seed(true))
	w.hello(c.d, s.d)
	w.join(c.d)
	exchange(t, c.d, s.d, size)
	before, _ := check("open")
	require.NoError(t, c.d.Close())
	require.NoError(t, s.d.Close())
	<-c.d.Closed()
	<-s.d.Closed()
	require.NoError(t, w.l.Close())
	after, _ := check("closed")
	require.GreaterOrEqual(t, after.TCP.SegsOut, before.TCP.SegsOut)
}
