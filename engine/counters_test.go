package engine

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// tally is what is not 0 of a connection's counters.
type tally map[string]uint64

func counted(counters *mib.Tally) tally {
	l := tally{}
	mib.Named(*counters.Snapshot(), func(name string, n uint64) {
		if n > 0 {
			l[name] = n
		}
	})
	return l
}

// Whatever makes a connection leave Multipath TCP, or a subflow that would have, is counted once, however often the peer
// or the path repeats it.
func TestFallbacksAreCounted(t *testing.T) {
	var (
		none     = tally{}
		unheard  = tally{"MPCapableDataFallback": 1}
		stripped = tally{"DssFallback": 1}
		failed   = tally{"FallbackFailed": 1}
		peers    = tally{"InfiniteMapRx": 1}
		refused  = tally{"InfiniteMapRx": 1, "FallbackFailed": 1}
		corrupt  = tally{"DataCsumErr": 1, "DSSCorruptionFallback": 1}
		reset    = tally{"DataCsumErr": 1, "DSSCorruptionReset": 1}
		behind   = tally{"DataCsumErr": 1, "DSSCorruptionReset": 1, "OFOQueue": 1}
		both     = tally{"DataCsumErr": 1, "DSSCorruptionFallback": 1, "InfiniteMapRx": 1}
	)
	fail := func(f *scriptFlow) { option(options.MPFail{DSN: f.s.local()})(f) }
	later := func(d time.Duration) move { return func(f *scriptFlow) { f.s.wait(d) } }
	write := func(f *scriptFlow) { f.s.write("hello") }
	silence := func(f *scriptFlow) {
		for range 20 {
			f.s.c.HandleBare(f.s.now, f.id)
			alive(f)
			f.s.wait(50 * time.Millisecond)
		}
	}
	for _, tt := range []struct {
		name   string
		two    bool // there is another subflow
		server bool
		sums   bool // checksums were negotiated
		moves  []move
		want   tally
		reason extapi.FallbackReason
	}{
		{"no DATA_ACK ever", false, false, false, []move{bare("x"), bare("y")}, unheard, extapi.FallbackStripped},
		{"no DATA_ACK ever, on one of two", true, false, false, []move{bare("x")}, failed, 0},
		{"no option in the third segment", false, true, false, []move{bare("x"), bare("y")}, unheard, extapi.FallbackThirdAck},
		{"no mapping any more", false, false, false, []move{data(0, "x"), payload("y"), later(unmappedWait), payload("z"), later(unmappedWait)}, stripped, extapi.FallbackStripped},
		{"no mapping before the FIN", false, false, false, []move{data(0, "x"), payload("y"), tcpFIN}, stripped, extapi.FallbackStripped},
		{"no mapping any more, on one of two", true, false, false, []move{data(0, "x"), payload("y"), later(unmappedWait)}, failed, 0},
		{"nothing after the handshake", false, false, false, []move{write, silence}, unheard, extapi.FallbackStripped},
		{"no DATA_ACK any more", false, false, false, []move{ack(0), later(time.Second), write, silence}, stripped, extapi.FallbackStripped},
		{"infinite mapping", false, false, false, []move{infinite(0), payload("x"), infinite(1), payload("y"), infinite(0)}, peers, extapi.FallbackInfiniteMap},
		{"infinite mapping, on one of two", true, false, false, []move{infinite(0), infinite(0)}, refused, 0},
		{"checksum", false, false, true, []move{summed(0, "changed", true), summed(7, "so too", true)}, corrupt, extapi.FallbackChecksum},
		{"checksum, and what answers it", false, false, true, []move{summed(0, "changed", true), fail, infinite(7), payload("x"), infinite(8)}, both, extapi.FallbackChecksum},
		{"checksum, on one of two", true, false, true, []move{summed(0, "changed", true), summed(0, "changed", true)}, reset, 0},
		{"checksum before a hole", false, false, true, []move{summed(10, "beyond", false), summed(0, "changed", true)}, behind, 0},
		{"MP_FAIL", false, false, false, []move{fail, fail, write, infinite(0), infinite(0)}, peers, extapi.FallbackChecksum},
		{"MP_FAIL, on one of two", true, false, false, []move{fail}, none, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var counters mib.Tally
			s := newScript(t, !tt.server, func(c *Config) { c.Checksum, c.Counters = tt.sums, &counters })
			f := s.add(FlowParams{Initial: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
			if !tt.server {
				s.c.HandleEstablished(s.now, f.id)
			}
			if tt.two {
				s.joined("10.0.2.1:5000")
			}
			f.Sends(tt.moves...)
			require.Equal(t, tt.reason, s.c.Info().Fallback)
			require.Equal(t, tt.want, counted(&counters))
		})
	}
}

// Every other event of the engine's has its counter, which counts nothing else.
func TestEventsAreCounted(t *testing.T) {
	wrong := options.AddAddr{AddrID: 5, Addr: netip.MustParseAddr("10.0.9.9"), HMAC: 1}
	withPort := func(f *scriptFlow) {
		o := options.AddAddr{AddrID: 5, Addr: netip.MustParseAddr("10.0.9.9"), HasPort: true, Port: 80}
		o.HMAC = f.s.c.keys.AddAddrHMAC(false, o)
		option(o)(f)
	}
	at := func(ssn uint32) move {
		return func(f *scriptFlow) {
			says(options.DSS{HasMap: true, DSN64: true, DSN: f.s.remote(), SSN: ssn, DataLen: 5})(f)
		}
	}
	for _, tt := range []struct {
		name string
		do   func(s *script, f, g *scriptFlow) // g is the second subflow
		want tally
	}{
		{"data in order", func(s *script, f, g *scriptFlow) { f.Sends(data(0, "a")); g.Sends(data(1, "b")) }, tally{}},
		{"data that waits", func(s *script, f, g *scriptFlow) { f.Sends(data(1, "b"), data(2, "c")); g.Sends(data(0, "a")) }, tally{"OFOQueue": 2}},
		{"data that comes again", func(s *script, f, g *scriptFlow) { f.Sends(data(0, "ab")); g.Sends(data(1, "bc"), data(0, "a")) }, tally{"DuplicateData": 2}},
		{"data beyond the window", func(s *script, f, g *scriptFlow) { f.Sends(data(1<<21, "x")) }, tally{"NoDSSInWindow": 1}},
		{"a contradiction", func(s *script, f, g *scriptFlow) { g.Sends(mapping(0, 10), mapping(5, 10)) }, tally{"DSSNotMatching": 1}},
		{"a subflow sequence number before the first", func(s *script, f, g *scriptFlow) { g.Sends(at(0)) }, tally{"DSSNoMatchTCP": 1}},
		{"one far ahead", func(s *script, f, g *scriptFlow) { g.Sends(at(1<<30 + 2)) }, tally{"DSSNoMatchTCP": 1}},
		{"the farthest", func(s *script, f, g *scriptFlow) { g.Sends(at(1<<30 + 1)) }, tally{}},
		{"reinjection", func(s *script, f, g *scriptFlow) { g.room = 0; s.write("x"); g.room = 1; f.ends(errTest) }, tally{"MPTCPRetrans": 1}},
		{"a path that falls silent and comes back", func(s *script, f, g *scriptFlow) {
			g.room = 0
			f.stats.Acked, f.stats.InFlight = 0, 10
			s.write(strings.Repeat("x", 10))
			acked(f, 1)
			untilStale(s, f)
			f.stats.InFlight = 0
			acked(f, 9)
		}, tally{"SubflowStale": 1, "SubflowRecover": 1}},
		{"a closed window", func(s *script, f, g *scriptFlow) {
			s.write("x")
			f.Sends(ack(1), window(0))
			s.c.peer.edge = s.c.snd.nxt // as if the peer had never opened it farther
			s.write("y")
			s.wait(persistMin)
		}, tally{"WinProbe": 1}},
		{"MP_PRIO", func(s *script, f, g *scriptFlow) {
			f.Sends(option(options.MPPrio{Backup: true}), option(options.MPPrio{Backup: true}))
		}, tally{"MPPrioRx": 2}},
		{"MP_FASTCLOSE", func(s *script, f, g *scriptFlow) {
			f.Sends(option(options.Fastclose{ReceiverKey: uint64(s.c.keys.Local) + 1}), option(options.Fastclose{ReceiverKey: uint64(s.c.keys.Local)}))
		}, tally{"MPFastcloseRx": 1}},
		{"ADD_ADDR", func(s *script, f, g *scriptFlow) { f.Sends(adds(5, "10.0.9.9"), option(wrong), withPort) }, tally{"AddAddr": 2, "PortAdd": 1}},
		{"too many of them", func(s *script, f, g *scriptFlow) {
			for i := range 65 {
				f.Sends(adds(5+uint8(i%2), "10.0.9.9"))
			}
		}, tally{"AddAddr": 65, "AddAddrDrop": 1}},
		{"the echo of ours", func(s *script, f, g *scriptFlow) {
			s.c.SetAnnounce(s.now, []netip.AddrPort{labAddr("10.0.7.7:4000")}, false)
			f.Sends(option(options.AddAddr{Echo: true, AddrID: 1, Addr: netip.MustParseAddr("10.0.7.7")}))
		}, tally{"EchoAdd": 1}},
		{"REMOVE_ADDR", func(s *script, f, g *scriptFlow) { f.Sends(adds(5, "10.0.9.9"), removes(5, 6)) }, tally{"AddAddr": 1, "RmAddr": 1, "RmAddrDrop": 1}},
		{"an address of ours that has gone", func(s *script, f, g *scriptFlow) {
			s.c.SetLocalAddrs(s.now, []extapi.Candidate{{Local: labAddr("10.0.1.1:0")}, {Local: labAddr("10.0.3.1:0")}})
			s.add(FlowParams{Local: labAddr("10.0.3.1:4000"), Remote: labAddr("10.0.1.2:80"), LocalID: 3})
			s.c.SetLocalAddrs(s.now, []extapi.Candidate{{Local: labAddr("10.0.1.1:0")}})
		}, tally{"RmSubflow": 1}},
		{"one that we take back", func(s *script, f, g *scriptFlow) {
			s.add(FlowParams{Local: labAddr("10.0.3.1:4000"), Remote: labAddr("10.0.1.2:80"), LocalID: 3})
			require.NoError(t, s.c.RemoveLocalAddr(s.now, labAddr("10.0.3.1:0")))
		}, tally{"RmSubflow": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var counters mib.Tally
			s, f, g := double(t, false, func(c *Config) { c.Counters = &counters })
			f.Sends(ack(0))
			tt.do(s, f, g)
			require.Equal(t, tt.want, counted(&counters))
		})
	}
}
