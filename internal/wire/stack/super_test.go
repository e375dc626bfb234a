package stack

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// A window that takes long to leave does so in segments of the path's MTU, whatever the link would split. 10 segments in
// 0.1 ms are 145 MB/s, and a MiB that has left in slow start makes at most 10 MB/s in 0.1 s.
func TestSlowFlowsSendNoSuperSegments(t *testing.T) {
	for rtt, fast := range map[time.Duration]bool{100 * time.Microsecond: true, 100 * time.Millisecond: false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.fabric.delay = rtt / 2
			for _, h := range w.fabric.hosts {
				h.super.Store(64_000)
			}
			c, s := w.dial(w.seed(true))
			var super, all int
			w.fabric.watch(func(s *packet.Segment) bool {
				if n := s.PayloadLen(); s.Src.Addr() == clientAddr {
					all += n
					if s.SegSize > 0 {
						super += n
					}
				}
				return false
			})
			exchange(t, c.d, s.d, 1<<20)
			synctest.Wait()
			require.GreaterOrEqual(t, all, 1<<20)
			if fast {
				require.Positive(t, super)
			} else {
				require.Zero(t, super)
			}
		})
	}
}
