package nettest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
)

// unequal are two links that differ in rate and delay, and who sends over both.
type unequal struct {
	links  [2]onpath.LinkConfig
	weSend bool
}

// lasts is how long bytes take at a rate.
func lasts(bytes, rate int64) time.Duration {
	return time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
}

// play moves some over both links in less than a limit.
func (u unequal) play(t *testing.T, ours string, family int) {
	s, _ := newEmulatedStage(t, ours, u.links[:]...)
	s.captured.stop() // it takes its time
	s.scene(t, fmt.Sprintf("first link %v, we send %v", u.links[0].Delay, u.weSend), func(t *testing.T) {
		alone := max(u.links[0].Rate, u.links[1].Rate)
		j := job{Hold: true, Bytes: 4 * mib, Up: u.weSend == (ours == "c")}
		limit := lasts(j.Bytes, u.links[0].Rate+u.links[1].Rate) * 12 / 10
		if !u.weSend {
			j.Bytes = 6 * mib
			limit = lasts(j.Bytes, alone)
		}
		j.Down = !j.Up
		limit = min(limit, lasts(j.Bytes, alone))
		got := limit
		for range 3 { // a busy machine may take its time now and then
			if got < limit {
				break
			}
			s.settle()
			s.clear()
			s.family = family
			p := s.meet(j)
			c, srv := finish(t, 20*time.Second, p.client, p.server)
			got = max(c.Received.Took, srv.Received.Took)
			t.Logf("%v of at most %v", got, limit)
		}
		require.Less(t, got, limit)
		for _, iface := range []string{"c1", "c2"} {
			require.Greater(t, s.carried("c", iface), uint64(128*kib), iface)
		}
	})
}

// Two links that differ in rate and delay, as in the kernel's own test of simultaneous flows: with both, what we send takes no
// more than 1.2 times as long as it would on one of their rates together. What the kernel sends, which is the scheduler's affair,
// takes less than on the better link alone. For the payload of these rates some 6% is headers.
func TestNamespaceWireUnequalLinks(t *testing.T) {
	fast := onpath.LinkConfig{Rate: 10_000_000 / 8, Delay: time.Millisecond}
	slow := onpath.LinkConfig{Rate: 3_000_000 / 8, Delay: 25 * time.Millisecond}
	first, last := [2]onpath.LinkConfig{fast, slow}, [2]onpath.LinkConfig{slow, fast}
	for _, ours := range []string{"c", "s"} {
		for _, family := range []int{4, 6} {
			t.Run(fmt.Sprintf("ours is %s, IPv%d", ours, family), func(t *testing.T) {
				t.Parallel() // on links of its own, which leave the CPUs mostly idle
				for _, u := range []unequal{{first, true}, {last, true}, {first, false}} {
					u.play(t, ours, family)
				}
			})
		}
	}
}
