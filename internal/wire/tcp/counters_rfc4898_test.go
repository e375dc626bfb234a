package tcp

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Each counter is added to itself, and none is forgotten.
func TestCountersAreAdded(t *testing.T) {
	var c Conn
	var want extapi.TCPCounters
	next := uint64(0)
	for _, group := range []any{&c.stats.TCPPerfCounters, &c.stats.TCPStackCounters, c.event()} {
		v := reflect.ValueOf(group).Elem()
		for i := range v.NumField() {
			next++
			v.Field(i).SetUint(next)
		}
	}
	want.TCPPerfCounters, want.TCPStackCounters, want.TCPEventCounters = c.stats.TCPPerfCounters, c.stats.TCPStackCounters, *c.event()
	require.Equal(t, want, c.Counters())
	sum := want
	c.AddCounters(&sum)
	mib.Sum(&want, want)
	require.Equal(t, want, sum)

	c.stats.events = nil
	require.Zero(t, c.Counters().TCPEventCounters)
}

// tcpEStatsPathDupAcksOut: an ACK that tells nothing new is one, whatever called for it.
func TestDuplicateACKsAreCounted(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	count := func(n int, because string) {
		t.Helper()
		require.EqualValues(t, n, s.c.Stats().DupAcksOut, because)
	}
	count(0, "the third segment of the handshake")
	s.peer("A seq=1 len=500 ack=1")
	count(0, "acknowledges")
	s.peer("A seq=1001 len=500 ack=1")
	s.peer("A seq=1501 len=500 ack=1")
	count(2, "out of order")
	s.peer("A seq=1 len=500 ack=1")
	count(3, "received before")
	s.peer("A seq=501 len=500 ack=1")
	count(3, "fills the hole")
	s.c.Consumed(s.now, 2000)
	s.drain()
	count(3, "a window, if any, is news")
}

// tcpEStatsStackSACKsRcvd counts the options, SACKBlocksRcvd what of them is valid.
func TestSACKsAreCounted(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.send(2920)
	s.peer("A seq=1 ack=1")
	require.Zero(t, s.c.Stats().SACKsRcvd)
	s.peer("A seq=1 ack=1 sack=1461-2921,5000-9000")
	s.peer("A seq=1 ack=2921 sack=1-1461")
	n := s.c.Stats()
	require.EqualValues(t, 2, n.SACKsRcvd)
	require.EqualValues(t, 2, n.SACKBlocksRcvd)
	require.EqualValues(t, 1, n.DSACKDups)
}

// tcpEStatsPerfCongSignals counts each reason to reduce the congestion window: fast retransmits, ECN and timeouts.
func TestCongestionSignalsAreCounted(t *testing.T) {
	for _, c := range []struct {
		name   string
		happen func(s *script)
		fast   uint64
		timed  uint64
	}{
		{"a fast retransmit", func(s *script) { s.peer("A seq=1 ack=1 sack=1001-4001") }, 1, 0},
		{"a mark", func(s *script) { s.peer("AE seq=1 ack=1001"); s.peer("AE seq=1 ack=2001") }, 0, 0},
		{"a timeout", func(s *script) {
			for s.c.Stats().Timeouts == 0 {
				s.after(10 * time.Millisecond)
			}
		}, 0, 1},
	} {
		s := ecnDialed(t)
		s.send(4000)
		s.after(10 * time.Millisecond)
		require.Zero(t, s.c.Stats().CongSignals, c.name)
		c.happen(s)
		n := s.c.Stats()
		require.EqualValues(t, []uint64{1, c.fast, c.timed}, []uint64{n.CongSignals, n.FastRetran, n.Timeouts}, c.name)
	}
}

// tally is what is not 0 of some counters.
type tally map[string]uint64

// counted is what has happened since before, but for segments and bytes, of which there are always some.
func (s *script) counted(before extapi.TCPCounters) tally {
	l := tally{}
	now := s.c.Counters()
	now.TCPPerfCounters = extapi.TCPPerfCounters{
		Timeouts: now.Timeouts, CongSignals: now.CongSignals, ZeroRwinSent: now.ZeroRwinSent, ZeroRwinRcvd: now.ZeroRwinRcvd,
	}
	mib.Named(now, func(name string, n uint64) { l[name] = n })
	mib.Named(before, func(name string, n uint64) {
		if _, ok := l[name]; ok {
			l[name] -= min(n, l[name])
		}
	})
	for name, n := range l {
		if n == 0 {
			delete(l, name)
		}
	}
	return l
}

// Connections that have been opened: as usual, with timestamps, with a closed window, by one that soon gives up.
func plain(t *testing.T) *script  { return dialed(t, "mss=1460 sackok") }
func timed(t *testing.T) *script  { return dialed(t, "mss=1460 sackok ts=1000,0", withTimestamps) }
func closed(t *testing.T) *script { return dialed(t, "mss=1000 win=0") }
func weary(t *testing.T) *script {
	return dialed(t, "mss=1460", func(c *Config) { c.Retries = 1 })
}

// Each event moves its counter, and no other.
func TestEventsAreCounted(t *testing.T) {
	icmp := func(trouble packet.Trouble, seq, mtu int) func(s *script) {
		return func(s *script) { s.send(1460); s.icmp(trouble, mtu, seq) }
	}
	for _, tt := range []struct {
		name string
		with func(t *testing.T) *script
		do   func(s *script)
		want tally
	}{
		{"nothing strange", plain, func(s *script) { s.send(100); s.peer("A seq=1 len=100 ack=101"); s.after(time.Second) }, tally{}},
		{"both sides open", func(t *testing.T) *script { return newScript(t).dial() }, func(s *script) { s.peer("S seq=0 mss=1460") }, tally{"SimultaneousOpens": 1}},
		{"and one asks again", func(t *testing.T) *script { return newScript(t).dial() }, func(s *script) { s.peer("S seq=0 mss=1460"); s.peer("S seq=0 mss=1460") },
			tally{"SimultaneousOpens": 1, "DupSYNs": 1}},
		{"a SYN too late", plain, func(s *script) { s.peer("S seq=1") }, tally{"InSYNs": 1, "ChallengeAcks": 1}},
		{"a RST", plain, func(s *script) { s.peer("R seq=1") }, tally{"InRSTs": 1}},
		{"a forged one", plain, func(s *script) { s.peer("R seq=500") }, tally{"ChallengeAcks": 1}},
		{"one from nowhere", plain, func(s *script) { s.peer("R seq=-9") }, tally{}},
		{"an ACK of the future", plain, func(s *script) { s.peer("A seq=1 ack=502") }, tally{"InAckErrs": 1, "ChallengeAcks": 1}},
		{"one of the distant past", plain, func(s *script) { s.peer("A seq=1 ack=-100000") }, tally{"InAckErrs": 1, "ChallengeAcks": 1}},
		{"no timestamp", timed, func(s *script) { s.peer("A seq=1 len=1 ack=1") }, tally{"InNoTS": 1}},
		{"an old timestamp", timed, func(s *script) { s.peer("A seq=1 len=1 ack=1 ts=999,10") }, tally{"PAWSDrops": 1, "DupAcksOut": 1}},
		{"data twice", plain, func(s *script) { s.peer("A seq=1 len=9 ack=1"); s.peer("A seq=1 len=9 ack=1") },
			tally{"DupSegsIn": 1, "DupAcksOut": 1, "DSACKsSent": 1, "SACKBlocksSent": 1}},
		{"data out of order", plain, func(s *script) { s.peer("A seq=10 len=9 ack=1") }, tally{"OutOfOrderSegs": 1, "DupAcksOut": 1, "SACKBlocksSent": 1}},
		{"data beyond the window", plain, func(s *script) { s.peer("A seq=60000 len=9000 ack=1") },
			tally{"BeyondWindow": 1, "OutOfOrderSegs": 1, "DupAcksOut": 1, "SACKBlocksSent": 1}},
		{"data far beyond it", plain, func(s *script) { s.peer("A seq=100000 len=10 ack=1") }, tally{"BeyondWindow": 1, "DupAcksOut": 1}},
		{"data from before the beginning", plain, func(s *script) { s.peer("A seq=-100 len=10 ack=1") }, tally{"DupAcksOut": 1}},
		{"a probe of the tail", plain, func(s *script) { s.send(3000); s.after(100 * time.Millisecond) }, tally{"LossProbes": 1}},
		{"a closed window", closed, func(s *script) { s.send(1); s.after(300 * time.Millisecond) }, tally{"WindowProbes": 1}},
		{"a window that closes", plain, func(s *script) { s.peer("A seq=1 ack=1 win=0") }, tally{"ZeroRwinRcvd": 1}},
		{"ours", plain, func(s *script) {
			s.keep = true
			for i := range 45 {
				s.peer(segmentLine(1+1460*i, 1460))
			}
			s.after(time.Second)
		}, tally{"ZeroRwinSent": 1, "BeyondWindow": 1}},
		{"an extension's", func(t *testing.T) *script {
			x := &asked{window: 5000}
			s := dialed(t, "mss=1460", func(c *Config) { c.Extension = x })
			x.window = 0
			return s
		}, func(s *script) { s.peer("A seq=1 len=1000 ack=1") }, tally{"ZeroRwinSent": 1}},
		{"a keep-alive", plain, func(s *script) { s.c.KeepAlive(s.now); s.drain() }, tally{"KeepAlives": 1}},
		{"ICMP of something else", plain, icmp(packet.TroubleTransient, 90000, 0), tally{"ICMPIgnored": 1}},
		{"no way there", plain, icmp(packet.TroubleTransient, 1, 0), tally{"SoftErrors": 1}},
		{"a router that takes less", plain, icmp(packet.TroubleTooBig, 1, 1000), tally{"MTUReductions": 1}},
		{"one that lies", plain, icmp(packet.TroubleTooBig, 90000, 1000), tally{"ICMPIgnored": 1}},
		{"the same ACK again", plain, func(s *script) { s.send(2920); s.peer("A seq=1 ack=1") }, tally{"DupAcksIn": 1}},
		{"a mark", ecnDialed, func(s *script) { s.peer("A seq=1 len=10 ack=1 tos=3"); s.after(time.Second) }, tally{"CERcvd": 1, "ECESent": 1}},
		{"a mark of ours", ecnDialed, func(s *script) { s.send(1000); s.peer("AE seq=1 ack=1001") }, tally{"ECNsignals": 1, "CongSignals": 1}},
		{"a timeout", weary, func(s *script) { s.send(1); s.after(300 * time.Millisecond) }, tally{"Timeouts": 1, "CongSignals": 1}},
		{"a dead peer", weary, func(s *script) { s.send(1); s.after(time.Minute) }, tally{"Timeouts": 2, "CongSignals": 2, "AbruptTimeouts": 1}},
		{"a retransmission for nothing", timed, func(s *script) {
			s.send(100)
			for s.c.Stats().Timeouts == 0 {
				s.after(10 * time.Millisecond)
			}
			s.peer("A seq=1 ack=101 ts=1001,10") // it answers the first
		}, tally{"LossProbes": 1, "Timeouts": 1, "CongSignals": 1, "SpuriousFrDetected": 1}},
		{"a super-segment", func(t *testing.T) *script {
			s := plain(t)
			s.c.SetSuper(20_000)
			return s
		}, func(s *script) { s.send(4380) }, tally{"Supers": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.with(t)
			before := s.c.Counters()
			tt.do(s)
			require.Equal(t, tt.want, s.counted(before))
		})
	}
}

// A peer that leaves a hole before each byte: what there is no room for is dropped, and counted.
func TestReassemblyDropsAreCounted(t *testing.T) {
	const n = 5000
	s := dialed(t, "mss=1460 sackok")
	for i := range n {
		s.peer(segmentLine(3+2*i, 1))
	}
	got := s.c.Counters()
	require.EqualValues(t, n, got.OutOfOrderSegs)
	require.NotZero(t, got.ReassemblyDrops)
	require.EqualValues(t, n-len(s.c.rcv.q.islands), got.ReassemblyDrops)
}

// Segments and bytes, both ways.
func TestTrafficIsCounted(t *testing.T) {
	s := dialed(t, "mss=1000 sackok")
	begun := s.c.Counters()
	require.EqualValues(t, []uint64{2, 1}, []uint64{begun.SegsOut, begun.SegsIn}, "of the handshake")
	s.send(2500)
	s.peer("A seq=1 len=100 ack=1001")
	s.peer("A seq=101 len=50 ack=2501")
	s.peer("A seq=101 len=50 ack=2501")
	s.after(time.Second)
	n := s.c.Counters()
	require.EqualValues(t, []uint64{3, 2500}, []uint64{n.DataSegsOut, n.HCDataOctetsOut})
	require.EqualValues(t, []uint64{3, 3, 200}, []uint64{n.SegsIn - begun.SegsIn, n.DataSegsIn, n.HCDataOctetsIn})
	require.EqualValues(t, []uint64{2500, 150}, []uint64{n.HCThruOctetsAcked, n.HCThruOctetsReceived}, "each byte once")
	require.EqualValues(t, uint64(len(s.outs)), n.SegsOut-begun.SegsOut)
	require.Zero(t, n.SegsRetrans+n.OctetsRetrans)
	s.send(700)
	s.after(100 * time.Millisecond)
	n = s.c.Counters()
	require.EqualValues(t, []uint64{1, 700, 3900}, []uint64{n.SegsRetrans, n.OctetsRetrans, n.HCDataOctetsOut}, "sent again, and counted again")
	s.peer("A seq=151 ack=3201")
	require.EqualValues(t, 3200, s.c.Counters().HCThruOctetsAcked)
}
