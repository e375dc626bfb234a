package tcp

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// narrow puts an element on the way from one end, which may answer with ICMP errors.
func (w *world) narrow(from int, e onpath.Element) {
	l := w.links[from]
	l.corrupt = func(s *packet.Segment) (pass bool) {
		b, err := s.Append(nil, packet.FullChecksum)
		require.NoError(w.t, err)
		e.Process(w.now, b, onpath.Forward, func(p []byte, d onpath.Dir) {
			if d == onpath.Forward {
				pass = true
				return
			}
			x, err := packet.ParseICMP(p)
			require.NoError(w.t, err)
			w.serial++
			heap.Push(&w.queue, &event{at: w.now + 2*l.delay, serial: w.serial, to: from, icmp: &x})
		})
		return pass
	}
}

// What a path takes is found out in the middle of a transfer, with and without a word from the router, for segments that leave
// one by one and for super-segments; when it takes more again, that too.
func TestPathMTUChanges(t *testing.T) {
	const rtt = 20 * time.Millisecond
	for _, mtu := range []int{1492, 1400, 1281, 600} {
		for _, super := range []int{0, 64_000} {
			for _, tell := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d bytes, super %d, ICMP %v", mtu, super, tell), func(t *testing.T) {
					w := newWorld(t, 1)
					a, b := w.ends[0], w.ends[1]
					path := &onpath.MTU{Bytes: 1500, Tell: tell}
					w.narrow(0, path)
					w.links[0].rate, w.links[0].queue = 2e6, 80_000
					w.links[0].delay, w.links[1].delay = rtt/2, rtt/2
					stream := func(n int) (took, gap time.Duration) {
						began, last, have := w.now, w.now, len(b.got)
						a.send = append(a.send, pattern(n, 3)...)
						if a.c == nil {
							w.dial()
							a.c.SetSuper(super)
						} else {
							a.fill(w.now)
							w.flush(0)
						}
						want, got := have+n, have
						require.True(t, w.run(time.Minute, func() bool {
							if len(b.got) > got {
								got, gap, last = len(b.got), max(gap, w.now-last), w.now
							}
							return got == want
						}), "%d of %d", got-have, n)
						return w.now - began, gap
					}
					size := func() int { return a.c.Stats().Perf.CurMSS + 52 }

					_, gap := stream(1_000_000)
					require.Less(t, gap, 3*rtt)
					require.Equal(t, 1500, size())

					path.Bytes = mtu
					before := a.c.Stats().Timeouts
					_, gap = stream(1_000_000)
					if tell {
						require.Less(t, gap, 500*time.Millisecond, "larger packets had arrived: a timeout confirms what the router says (RFC 5927 section 7.2)")
						require.Equal(t, before+1, a.c.Stats().Timeouts)
						require.Equal(t, mtu, size())
					} else {
						require.Less(t, gap, 3*time.Second, "two timeouts")
						stream(4_000_000) // it looks upwards from there
						require.LessOrEqual(t, size(), mtu)
						require.GreaterOrEqual(t, size(), mtu*9/10, "the largest common size that passes")
					}
					took, _ := stream(4_000_000)
					require.Less(t, took.Seconds(), 4e6*float64(mtu)/float64(mtu-92)/2e6*1.25, "probes cost little, and no windows")

					path.Bytes = 1500
					w.run(raiseAfter, func() bool { return false })
					stream(1_000_000)
					require.Equal(t, 1500, size(), "PMTU_RAISE_TIMER (RFC 8899 section 5.1.1)")
					w.finish()
				})
			}
		}
	}
}
