package stack

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// Two paced paths that lose a tenth of their packets: what is due on one, every few microseconds at times, does not keep the other from
// sending, and all arrives in the time that timeouts explain.
func TestPacedPathsUnderLoss(t *testing.T) {
	for n := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, secondAddr)
			w.fabric.delay = 24 * time.Millisecond
			s := w.seed(true)
			s.TCP = func() tcp.Config { c := ourTCP; c.Pacing = true; return c }
			s.Congestion = congestion.Cubic
			c, d := w.dial(s)
			w.hello(c.d, d.d)
			w.join(c.d)
			r := rand.New(rand.NewPCG(n, 815))
			w.fabric.watch(func(*packet.Segment) bool { return r.Float64() < 0.1 })
			began := time.Now()
			exchange(t, c.d, d.d, 300<<10)
			require.Less(t, time.Since(began), 15*time.Second)
			w.fabric.watch(func(*packet.Segment) bool { return false })
		})
	}
}
