package stack

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/pool"
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

// tally is what is not 0 of the counters.
type tally map[string]uint64

func counted(c extapi.MPTCPCounters) tally {
	l := tally{}
	mib.Named(c, func(name string, n uint64) {
		if n > 0 {
			l[name] = n
		}
	})
	return l
}

// without is l without one of its counters.
func (l tally) without(name string) tally {
	delete(l, name)
	return l
}

// What becomes of a join is counted at both ends, of the connection and of its stack.
func TestJoinsAreCounted(t *testing.T) {
	const otherPort = 9090
	began := tally{"MPCurrEstab": 1, "MPCapableSYNTX": 1, "MPCapableSYNACKRX": 1}
	came := tally{"MPCurrEstab": 1, "MPCapableSYNRX": 1, "MPCapableACKRX": 1}
	for _, tt := range []struct {
		name           string
		local          netip.Addr
		port           uint16 // that is joined
		before         func(w *world, client uint16)
		client, server tally
		known          bool // by the server, whose the join is
	}{
		{"the usual ports", secondAddr, serverPort, nil, tally{"MPJoinSynTx": 1, "MPJoinSynAckRx": 1}, tally{"MPJoinSynRx": 1, "MPJoinAckRx": 1}, true},
		{"another port", secondAddr, otherPort, nil, tally{"MPJoinSynTx": 1, "MPJoinSynAckRx": 1, "MPJoinPortSynAckRx": 1},
			tally{"MPJoinSynRx": 1, "MPJoinAckRx": 1, "MPJoinPortSynRx": 1, "MPJoinPortAckRx": 1}, true},
		{"a source port that another connection has there", secondAddr, serverPort, func(w *world, client uint16) {
			h := w.fabric.hosts[0]
			h.mu.Lock()
			defer h.mu.Unlock()
			_, err := h.flow(netip.AddrPortFrom(secondAddr, client), netip.AddrPortFrom(serverAddr, serverPort), nil)
			require.NoError(w.t, err)
		}, tally{"MPJoinSynTx": 1, "MPJoinSynAckRx": 1}, tally{"MPJoinSynRx": 1, "MPJoinAckRx": 1}, true},
		{"an address that is not ours", netip.MustParseAddr("203.0.113.77"), serverPort, nil, tally{"MPJoinSynTxConnectErr": 1}, tally{}, true},
		{"no local port left", secondAddr, serverPort, func(w *world, client uint16) {
			h := w.fabric.hosts[0]
			h.mu.Lock()
			defer h.mu.Unlock()
			_, err := h.flow(netip.AddrPortFrom(secondAddr, client), netip.AddrPortFrom(serverAddr, serverPort), nil)
			require.NoError(w.t, err)
			h.last = h.next
		}, tally{"MPJoinSynTxBindErr": 1}, tally{}, true},
		{"a connection that the server has forgotten", secondAddr, serverPort, func(w *world, _ uint16) {
			w.mu.Lock()
			defer w.mu.Unlock()
			clear(w.byToken)
		}, tally{"MPJoinSynTx": 1, "MPRstRx": 1}, tally{"MPJoinSynRx": 1, "MPJoinNoTokenFound": 1, "MPRstTx": 1}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, secondAddr)
			l, err := w.server.Listen(netip.AddrPortFrom(serverAddr, otherPort), ListenConfig{TCP: ourTCP}, w)
			require.NoError(t, err)
			defer func() { require.NoError(t, l.Close()) }()
			c, s := w.dial(w.seed(true))
			w.hello(c.d, s.d)
			c.d.SetLocalAddrs([]extapi.Candidate{{Local: netip.AddrPortFrom(clientAddr, 0)}, {Local: netip.AddrPortFrom(tt.local, 0)}})
			if tt.before != nil {
				tt.before(w, netip.MustParseAddrPort(c.d.LocalAddr().String()).Port())
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err = c.d.OpenSubflow(ctx, netip.AddrPortFrom(tt.local, 0), netip.AddrPortFrom(serverAddr, tt.port))
			require.Equal(t, tt.client["MPJoinSynAckRx"] == 0, err != nil, err)
			require.Eventually(t, func() bool { return w.server.Counters().MPTCP.MPJoinAckRx == tt.server["MPJoinAckRx"] }, 5*time.Second, time.Millisecond)

			require.Equal(t, both(began, tt.client), counted(w.client.Counters().MPTCP))
			require.Equal(t, both(came, tt.server), counted(w.server.Counters().MPTCP))
			require.Equal(t, both(began, tt.client), counted(*c.d.Info().MPTCP))
			own := both(came, tt.server).without("MPCapableSYNRX") // it was nobody's yet
			if !tt.known {
				own = both(came, nil).without("MPCapableSYNRX")
			}
			require.Equal(t, own, counted(*s.d.Info().MPTCP))
		})
	}
}

func both(a, b tally) tally {
	l := tally{}
	for _, x := range []tally{a, b} {
		for name, n := range x {
			l[name] += n
		}
	}
	return l
}

// Joins beyond what a connection takes are answered with a RST, and each is counted.
func TestJoinsThatAreNotWantedAreCounted(t *testing.T) {
	const asked = 40
	w := newWorld(t)
	c, s := w.dial(w.seed(true))
	w.hello(c.d, s.d)
	for i := range asked {
		syn := strangeJoin(i, s.d.Token())
		w.l.HandleSegment(0, &syn, pool.Ref{})
	}
	got := s.d.Info().MPTCP
	ports, _, _ := w.population()
	require.EqualValues(t, asked, got.MPJoinSynRx)
	require.NotZero(t, got.MPJoinRejected)
	require.EqualValues(t, asked, int(got.MPJoinRejected)+ports)
	require.Equal(t, got.MPJoinRejected, w.server.Counters().MPTCP.MPRstTx)
}

// Connections that there are count until they have gone, and what asks for no Multipath TCP says why.
func TestConnectionsAreCounted(t *testing.T) {
	for _, tt := range []struct {
		plain          extapi.FallbackReason
		client, server tally
	}{
		{extapi.FallbackNone, tally{"MPCapableSYNTX": 1, "MPCapableSYNACKRX": 1}, tally{"MPCapableSYNRX": 1, "MPCapableACKRX": 1}},
		{extapi.FallbackDisabled, tally{}, tally{}},
		{extapi.FallbackBlackhole, tally{"MPCapableSYNTXDisabled": 1}, tally{}},
		{extapi.FallbackPeer, tally{"MPFallbackTokenInit": 1}, tally{}},
	} {
		t.Run(tt.plain.String(), func(t *testing.T) {
			w := newWorld(t)
			seed := w.seed(true)
			seed.Plain = tt.plain
			c, s := w.dial(seed)
			there := tally{"MPCurrEstab": 1}
			require.Equal(t, both(tt.client, there), counted(w.client.Counters().MPTCP))
			require.Equal(t, both(tt.server, there), counted(w.server.Counters().MPTCP))
			require.NoError(t, c.d.Close())
			require.NoError(t, s.d.Close())
			<-c.d.Closed()
			<-s.d.Closed()
			gone := func(s *Stack) func() bool { return func() bool { return s.Counters().MPTCP.MPCurrEstab == 0 } }
			require.Eventually(t, gone(w.client), 5*time.Second, time.Millisecond)
			require.Eventually(t, gone(w.server), 5*time.Second, time.Millisecond)
			require.Equal(t, tt.client, counted(w.client.Counters().MPTCP), "but that, nothing falls")
		})
	}
}

// A listener that has no token left says so, once for each connection.
func TestListenerWithoutATokenIsCounted(t *testing.T) {
	w := newWorld(t)
	w.plain = extapi.FallbackPeer
	w.dial(w.seed(true))
	require.Equal(t, tally{"MPCurrEstab": 1, "MPCapableSYNRX": 1, "MPFallbackTokenInit": 1}, counted(w.server.Counters().MPTCP))
	require.Equal(t, tally{"MPCurrEstab": 1, "MPCapableSYNTX": 1, "MPCapableFallbackSYNACK": 1}, counted(w.client.Counters().MPTCP))
}
