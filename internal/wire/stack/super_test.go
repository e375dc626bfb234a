package stack

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Super-segments are for flows that have shown for some time that they are fast: neither those whose window takes long to
// leave, nor those that have little to send, whatever window they have over whatever round-trip time.
func TestSlowFlowsSendNoSuperSegments(t *testing.T) {
	for _, tc := range []struct {
		name  string
		rtt   time.Duration
		pause time.Duration // after each 16 KiB
		fast  bool
	}{
		{"everything at once over 0.1 ms", 100 * time.Microsecond, 0, true},
		{"everything at once over 100 ms", 100 * time.Millisecond, 0, false}, // 1 MiB in slow start: at most 10 MB/s
		{"1.2 MB/s over 0.1 ms", 100 * time.Microsecond, 13 * time.Millisecond, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.fabric.delay = tc.rtt / 2
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
				const size, part = 1 << 20, 16 << 10
				for sent := 0; tc.pause > 0 && sent < size; sent += part {
					_, err := c.d.Write(make([]byte, part))
					require.NoError(t, err)
					_, err = io.ReadFull(s.d, make([]byte, part))
					require.NoError(t, err)
					time.Sleep(tc.pause)
				}
				if tc.pause == 0 {
					exchange(t, c.d, s.d, size)
				}
				synctest.Wait()
				require.GreaterOrEqual(t, all, size)
				require.Equal(t, tc.fast, super > 0, "%d of %d bytes in super-segments", super, all)
			})
		})
	}
}
