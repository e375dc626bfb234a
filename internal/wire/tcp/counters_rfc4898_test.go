package tcp

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
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
