package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/stretchr/testify/require"
)

// Two paths that nobody else uses are both filled by coupled controllers too: "In particular, if using two idle paths, multipath
// throughput will be sum of the two paths' throughput" (RFC 6356 section 1).
func TestCoupledFillsBothPaths(t *testing.T) {
	for _, f := range []congestion.Factory{congestion.LIA, congestion.OLIA, congestion.BALIA} {
		t.Run(f.Name(), func(t *testing.T) {
			path := route{rate: mbit(20), delay: 5 * time.Millisecond, queue: 30 * time.Millisecond}
			w := lanes(t, path, path)
			w.client.group, w.server.group = f.NewGroup(), f.NewGroup()
			got := w.client.flood()
			w.client.source = nil // one direction
			w.server.flood()
			w.dial()
			w.run(2*time.Second, nil)
			before := *got
			w.run(4*time.Second, nil)
			percent := 100 * float64(*got-before) / (2 * float64(mbit(20)) * 2)
			t.Logf("%.0f %%", percent)
			require.Greater(t, percent, 80.0)
		})
	}
}
