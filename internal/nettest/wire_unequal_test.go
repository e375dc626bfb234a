package nettest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
)

// Two links that differ in rate and delay, as in the kernel's own test of simultaneous flows: with both, what we send takes no
// more than 1.2 times as long as it would on one of their rates together. What the kernel sends, which is the scheduler's affair,
// takes less than on the better link alone. For the payload of these rates some 6% is headers.
func TestNamespaceWireUnequalLinks(t *testing.T) {
	fast := onpath.LinkConfig{Rate: 10_000_000 / 8, Delay: time.Millisecond}
	slow := onpath.LinkConfig{Rate: 3_000_000 / 8, Delay: 25 * time.Millisecond}
	over := func(bytes, rate int64) time.Duration {
		return time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
	}
	for _, ours := range []string{"c", "s"} {
		t.Run("ours is "+ours, func(t *testing.T) {
			for _, tc := range []struct {
				links  [2]onpath.LinkConfig
				weSend bool
			}{
				{[2]onpath.LinkConfig{fast, slow}, true}, {[2]onpath.LinkConfig{slow, fast}, true}, {[2]onpath.LinkConfig{fast, slow}, false},
			} {
				s, _ := newEmulatedStage(t, ours, tc.links[:]...)
				s.captured.stop() // it takes its time
				s.scene(t, fmt.Sprintf("first link %v, we send %v", tc.links[0].Delay, tc.weSend), func(t *testing.T) {
					j := job{Hold: true, Bytes: 4 * mib, Up: tc.weSend == (ours == "c")}
					limit := over(j.Bytes, fast.Rate+slow.Rate) * 12 / 10
					if !tc.weSend {
						j.Bytes = 6 * mib
						limit = over(j.Bytes, fast.Rate)
					}
					j.Down = !j.Up
					limit = min(limit, over(j.Bytes, fast.Rate))
					got := limit
					for range 3 { // a busy machine may take its time now and then
						if got < limit {
							break
						}
						s.clear()
						p := s.meet(j)
						c, srv := finish(t, 20*time.Second, p.client, p.server)
						got = max(c.Received.Took, srv.Received.Took)
						t.Logf("%v of at most %v", got, limit)
					}
					require.Less(t, got, limit)
				})
			}
		})
	}
}
