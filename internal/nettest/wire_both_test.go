package nettest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// bothWays lets both ends send at once for a while over every path, and returns how much arrived in both directions
// together, in Mbit/s. Where neither end is ours, s.ours is empty.
func (s *stage) bothWays(paths int) (p pair, sent int64, rate float64) {
	s.t.Helper()
	server, client := kernelEnd, ourDialer(interfaces(paths)...)
	if s.ours != "c" {
		client = kernelEnd
		for i := 2; i <= paths; i++ {
			s.do("c", fmt.Sprintf("ip mptcp endpoint add %v dev c%d subflow", clientIP(i), i))
		}
	}
	if s.ours == "s" {
		server = ourListener()
	}
	p = s.connect(server, client, serverIP(1), job{Down: true, Up: true, For: 3 * time.Second})
	c, sv := finish(s.t, 20*time.Second, p.client, p.server)
	down, up := c.Received, sv.Received
	s.t.Logf("down %.1f, up %.1f Mbit/s, longest gaps %v and %v; %s", down.rate(), up.rate(), down.Gap, up.Gap, nonzero(s.counted()))
	if s.ours == "s" {
		return p, sv.Sent.Bytes, down.rate() + up.rate()
	}
	return p, c.Sent.Bytes, down.rate() + up.rate()
}

// Both ends send at once over every path, with the kernel's Multipath TCP at one end, in both roles. The measure is what the
// kernel does with itself on the same paths. A Linux that was given too much behind a hole would stand still.
func TestNamespaceWireBothDirections(t *testing.T) {
	const least = 0.1 // of the kernel's rate: a third of the lowest seen on a busy machine, where most reach 0.7
	for _, paths := range []int{2, 3} {
		t.Run(fmt.Sprintf("%d paths", paths), func(t *testing.T) {
			needKernelMPTCP(t)
			var legs []leg
			for range paths {
				legs = append(legs, leg{mbit: 40})
			}
			s := &stage{lab: crossing(t, legs, []leg{{}})}
			kernel := 0.0
			s.ours, s.theirs = "s", "c"
			for _, ours := range []string{"", "c", "s"} {
				s.do("s", "ip mptcp limits set subflow 4 add_addr_accepted 4")
				s.do("c", "ip mptcp limits set subflow 4 add_addr_accepted 4")
				s.scene(t, "ours is "+ours, func(t *testing.T) {
					before := map[string]uint64{}
					for _, iface := range interfaces(paths) {
						before[iface] = s.carried("c", iface)
					}
					if s.ours = ours; ours == "" {
						_, _, kernel = s.bothWays(paths)
						s.ours, s.theirs = "c", "s"
						return
					}
					p, sent, rate := s.bothWays(paths)
					require.Greater(t, rate, least*kernel, "Mbit/s, of the kernel's %.1f", kernel)
					require.Less(t, s.counted()["DuplicateData"], int(sent/1448/5), "segments that the kernel had already")
					for iface, n := range before {
						require.Greater(t, s.carried("c", iface)-n, uint64(mib), "on %s", iface)
					}
					me := s.our(p)
					require.Equal(t, extapi.CarrierWire, me.wait(0, "done").Info.Carrier)
					list, _, _ := me.look()
					for _, r := range list {
						require.False(t, strings.Contains(r.Detail, "unacceptable performance"), "%v", me)
					}
					s.theirs = "c"
				})
			}
		})
	}
}
