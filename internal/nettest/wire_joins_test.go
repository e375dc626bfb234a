package nettest

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// The addresses of both hosts' interfaces by family.
func clientAddr(family, i int) netip.Addr {
	if family == 6 {
		return clientIP6(i)
	}
	return clientIP(i)
}

func serverAddr(family, i int) netip.Addr {
	if family == 6 {
		return serverIP6(i)
	}
	return serverIP(i)
}

// interfaces are the first n of the client.
func interfaces(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("c%d", i+1))
	}
	return list
}

// Our dialer joins the kernel's listener from each of its interfaces.
func TestNamespaceWireDialerJoins(t *testing.T) {
	s := newStage(t, "c", 4)
	for _, paths := range []int{1, 2, 4} {
		for _, family := range []int{4, 6} {
			s.scene(t, fmt.Sprintf("%d paths, IPv%d", paths, family), func(t *testing.T) {
				p := s.connect(kernelEnd, ourDialer(interfaces(paths)...), serverAddr(family, 1), steady)
				s.await("MPJoinAckRx", paths-1)
				s.carrying(interfaces(paths)...)
				ours := p.client.state()
				requireCounters(t, ours)
				if n := ours.Counters.MPTCP.SubflowStale; n == 0 {
					s.requireCounted(map[string]int{"MPCapableSYNRX": 1, "MPCapableACKRX": 1, "MPJoinSynRx": paths - 1, "MPJoinAckRx": paths - 1})
				} else {
					// A retransmission timer has expired, on a machine that is short of CPU: that path was joined anew, and the old
					// subflow reset. TestEachPathIsJoinedOnce has virtual time.
					t.Logf("%d paths were stale", n)
					s.requireCounted(map[string]int{"MPCapableSYNRX": 1, "MPCapableACKRX": 1}, "MPRstRx")
				}
				c, _ := p.stop()
				require.Equal(t, extapi.CarrierWire, c.Info.Carrier)
				require.GreaterOrEqual(t, c.Info.MPTCP.MPJoinSynAckRx, uint64(paths-1))
				s.requireAgreement(p.client)
			})
		}
	}
	s.captured.judge()
}

// The kernel's dialer joins our listener from each of its endpoints.
func TestNamespaceWireListenerJoins(t *testing.T) {
	s := newStage(t, "s", 4)
	for _, paths := range []int{1, 2, 4} {
		for _, family := range []int{4, 6} {
			s.scene(t, fmt.Sprintf("%d paths, IPv%d", paths, family), func(t *testing.T) {
				for i := 2; i <= paths; i++ {
					s.do("c", fmt.Sprintf("ip mptcp endpoint add %v dev c%d subflow", clientAddr(family, i), i))
				}
				p := s.connect(ourListener(), kernelEnd, serverAddr(family, 1), steady)
				s.await("MPJoinSynAckRx", paths-1)
				s.carrying(interfaces(paths)...)
				s.requireCounted(map[string]int{"MPCapableSYNACKRX": 1, "MPJoinSynAckRx": paths - 1})
				requireCounters(t, p.server.state())
				_, ours := p.stop()
				require.Equal(t, extapi.CarrierWire, ours.Info.Carrier)
				require.EqualValues(t, paths-1, ours.Info.MPTCP.MPJoinAckRx)
				s.requireAgreement(p.server)
			})
		}
	}
	s.captured.judge()
}

// requireAgreement compares our counters with the kernel's, whose other end it is: what one has sent the other has
// received, if not at once.
func (s *stage) requireAgreement(ours *program) {
	s.t.Helper()
	differ := ""
	for began := time.Now(); time.Since(began) < 3*time.Second; time.Sleep(50 * time.Millisecond) {
		if differ = s.differ(ours.state().Counters.MPTCP); differ == "" {
			return
		}
	}
	require.Fail(s.t, "our counters and the kernel's differ", differ)
}

// differ says what the kernel has counted otherwise than our end.
func (s *stage) differ(m extapi.MPTCPCounters) string {
	mirrored := map[string]uint64{
		"MPCapableSYNRX": m.MPCapableSYNTX, "MPCapableSYNTX": m.MPCapableSYNRX, "MPCapableACKRX": m.MPCapableSYNACKRX,
		"MPCapableSYNACKRX": m.MPCapableACKRX,
		"MPJoinSynRx":       m.MPJoinSynTx, "MPJoinSynTx": m.MPJoinSynRx, "MPJoinAckRx": m.MPJoinSynAckRx, "MPJoinSynAckRx": m.MPJoinAckRx,
		"MPJoinPortSynRx": m.MPJoinPortSynAckRx, "MPJoinPortSynAckRx": m.MPJoinPortAckRx,
		"AddAddr": m.AddAddrTx, "AddAddrTx": m.AddAddr, "EchoAdd": m.EchoAddTx, "EchoAddTx": m.EchoAdd,
		"RmAddr": m.RmAddr, "MPPrioRx": m.MPPrioTx, "MPPrioTx": m.MPPrioRx, "MPFailRx": m.MPFailTx, "MPFailTx": m.MPFailRx,
	}
	got := s.counted()
	for name, n := range mirrored {
		if uint64(got[name]) != n {
			return fmt.Sprintf("the kernel's %s, %d of ours; the kernel's: %s ours: %s", name, n, nonzero(got), counted(m))
		}
	}
	return ""
}

// requireCounters checks our TCP's counters against what the connection has carried.
func requireCounters(t *testing.T, r report) {
	t.Helper()
	all, flows := r.Counters.TCP, extapi.TCPCounters{}
	require.NotEmpty(t, r.Subflows)
	for _, f := range r.Subflows {
		require.NotNil(t, f.TCP, f)
		require.GreaterOrEqual(t, f.TCP.HCThruOctetsReceived, f.BytesReceived)
		require.GreaterOrEqual(t, f.TCP.OctetsRetrans, f.BytesRetransmitted)
		flows.HCThruOctetsReceived += f.TCP.HCThruOctetsReceived
		flows.SegsOut += f.TCP.SegsOut
	}
	require.GreaterOrEqual(t, all.HCThruOctetsReceived, r.Info.BytesReceived)
	require.GreaterOrEqual(t, all.HCDataOctetsOut, r.Info.BytesSent)
	require.GreaterOrEqual(t, all.HCThruOctetsReceived, flows.HCThruOctetsReceived)
	require.GreaterOrEqual(t, all.SegsOut, flows.SegsOut)
	require.GreaterOrEqual(t, r.Counters.Link.ReceivedBytes, all.HCThruOctetsReceived)
}
