package engine

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// Whatever makes a connection leave Multipath TCP, or a subflow that would have, is counted once, however often the peer
// or the path repeats it.
func TestFallbacksAreCounted(t *testing.T) {
	var (
		none     = extapi.DSSCounters{}
		stripped = extapi.DSSCounters{DssFallback: 1}
		peers    = extapi.DSSCounters{InfiniteMapRx: 1}
		corrupt  = extapi.DSSCounters{DataCsumErr: 1, DSSCorruptionFallback: 1}
		reset    = extapi.DSSCounters{DataCsumErr: 1, DSSCorruptionReset: 1}
		behind   = extapi.DSSCounters{DataCsumErr: 1, DSSCorruptionReset: 1, OFOQueue: 1}
		both     = extapi.DSSCounters{DataCsumErr: 1, DSSCorruptionFallback: 1, InfiniteMapRx: 1}
	)
	fail := func(f *scriptFlow) { option(options.MPFail{DSN: f.s.local()})(f) }
	later := func(d time.Duration) move { return func(f *scriptFlow) { f.s.wait(d) } }
	write := func(f *scriptFlow) { f.s.write("hello") }
	for _, tt := range []struct {
		name   string
		two    bool // there is another subflow
		server bool
		sums   bool // checksums were negotiated
		moves  []move
		want   extapi.DSSCounters
		reason extapi.FallbackReason
	}{
		{"no DATA_ACK ever", false, false, false, []move{bare("x"), bare("y")}, stripped, extapi.FallbackStripped},
		{"no DATA_ACK ever, on one of two", true, false, false, []move{bare("x")}, none, 0},
		{"no option in the third segment", false, true, false, []move{bare("x"), bare("y")}, stripped, extapi.FallbackThirdAck},
		{"no mapping any more", false, false, false, []move{data(0, "x"), payload("y"), later(unmappedWait), payload("z"), later(unmappedWait)}, stripped, extapi.FallbackStripped},
		{"no mapping before the FIN", false, false, false, []move{data(0, "x"), payload("y"), tcpFIN}, stripped, extapi.FallbackStripped},
		{"no DATA_ACK any more", false, false, false, []move{write, func(f *scriptFlow) {
			for range 20 {
				f.s.c.HandleBare(f.s.now, f.id)
				f.s.wait(50 * time.Millisecond)
			}
		}}, stripped, extapi.FallbackStripped},
		{"infinite mapping", false, false, false, []move{infinite(0), payload("x"), infinite(1), payload("y"), infinite(0)}, peers, extapi.FallbackInfiniteMap},
		{"infinite mapping, on one of two", true, false, false, []move{infinite(0), infinite(0)}, peers, 0},
		{"checksum", false, false, true, []move{summed(0, "changed", true), summed(7, "so too", true)}, corrupt, extapi.FallbackChecksum},
		{"checksum, and what answers it", false, false, true, []move{summed(0, "changed", true), fail, infinite(7), payload("x"), infinite(8)}, both, extapi.FallbackChecksum},
		{"checksum, on one of two", true, false, true, []move{summed(0, "changed", true), summed(0, "changed", true)}, reset, 0},
		{"checksum before a hole", false, false, true, []move{summed(10, "beyond", false), summed(0, "changed", true)}, behind, 0},
		{"MP_FAIL", false, false, false, []move{fail, fail, write, infinite(0), infinite(0)}, peers, extapi.FallbackChecksum},
		{"MP_FAIL, on one of two", true, false, false, []move{fail}, none, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var table mib.Table
			s := newScript(t, !tt.server, func(c *Config) { c.Checksum, c.Counters = tt.sums, &table })
			f := s.add(FlowParams{Initial: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
			if !tt.server {
				s.c.HandleEstablished(s.now, f.id)
			}
			if tt.two {
				s.joined("10.0.2.1:5000")
			}
			f.Sends(tt.moves...)
			require.Equal(t, tt.reason, s.c.Info().Fallback)
			require.Equal(t, tt.want, table.Snapshot().DSSCounters)
		})
	}
}
