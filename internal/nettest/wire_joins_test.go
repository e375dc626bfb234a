package nettest

import (
	"fmt"
	"net/netip"
	"testing"

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
				s.requireCounted(map[string]int{"MPCapableSYNRX": 1, "MPCapableACKRX": 1, "MPJoinSynRx": paths - 1, "MPJoinAckRx": paths - 1})
				c, _ := p.stop()
				require.Equal(t, extapi.CarrierWire, c.Info.Carrier)
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
				_, ours := p.stop()
				require.Equal(t, extapi.CarrierWire, ours.Info.Carrier)
			})
		}
	}
	s.captured.judge()
}
