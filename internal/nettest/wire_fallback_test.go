package nettest

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// What middleboxes take away, as rules of the router.
const (
	fromSYN    = "tcp flags & (syn | ack) == syn reset tcp option mptcp"
	fromSYNACK = "tcp flags & (syn | ack) == (syn | ack) reset tcp option mptcp"
	fromRest   = "tcp flags & syn == 0 reset tcp option mptcp"
	noSYN      = "tcp flags & (syn | ack) == syn tcp option mptcp exists drop"
)

// infinite is what tshark says of the mapping that ends Multipath TCP.
const infinite = "Fallback to infinite mapping"

// short is a job that no middlebox has time to change under way.
var short = job{Down: true, Up: true, Bytes: 256 * kib}

// reasons are our end's counters of what makes connections plain TCP.
func reasons(r report) map[string]uint64 {
	c := r.Counters.MPTCP
	l := map[string]uint64{
		"MPCapableFallbackSYNACK": c.MPCapableFallbackSYNACK, "MPCapableFallbackACK": c.MPCapableFallbackACK, "Blackhole": c.Blackhole,
		"MPCapableDataFallback": c.MPCapableDataFallback, "DssFallback": c.DssFallback, "SimultConnectFallback": c.SimultConnectFallback,
	}
	maps.DeleteFunc(l, func(_ string, n uint64) bool { return n == 0 })
	return l
}

// fallsBack is a connection that becomes plain TCP because of rules that were there from the beginning. Both ends count why, if they
// can tell.
func fallsBack(name, rule string, why extapi.FallbackReason, counter, mine string) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		if rule != "" {
			s.box(rule)
		}
		server, client := s.ends("c1", "c2")
		p := s.connect(server, client, s.server(1), short)
		c, srv := finish(t, 10*time.Second, p.client, p.server)
		ours := c
		if s.ours == "s" {
			ours = srv
		}
		require.Equal(t, extapi.CarrierTCP, ours.Info.Carrier)
		require.Equal(t, why.String(), ours.Info.Fallback.String())
		require.LessOrEqual(t, len(ours.Subflows), 1)
		got := s.counted()
		if counter != "" {
			require.Equal(t, 1, got[counter], "the kernel's %s; all: %s", counter, nonzero(got))
		}
		require.Zero(t, got["MPJoinSynRx"]+got["MPJoinSynTx"], nonzero(got))
		want := map[string]uint64{}
		if mine != "" {
			want[mine] = 1
		}
		require.Equal(t, want, reasons(ours))
	}}
}

// The option is taken off the SYN, off its answer, or off everything behind: both ends go on as plain TCP.
func TestNamespaceWireFallback(t *testing.T) {
	t.Run("our dialer", func(t *testing.T) {
		newStage(t, "c", 2).scenes(t, inBothFamilies([]scenario{
			fallsBack("SYN", fromSYN, extapi.FallbackPeer, "", "MPCapableFallbackSYNACK"),
			fallsBack("SYN/ACK", fromSYNACK, extapi.FallbackPeer, "MPCapableFallbackACK", "MPCapableFallbackSYNACK"),
			fallsBack("third ACK and what follows", fromRest, extapi.FallbackStripped, "MPCapableFallbackACK", "MPCapableDataFallback"),
			fallsBack("SYNs with it get lost", noSYN, extapi.FallbackBlackhole, "", "Blackhole"),
		}), infinite)
	})
	t.Run("our listener", func(t *testing.T) {
		newStage(t, "s", 2).scenes(t, inBothFamilies([]scenario{
			fallsBack("SYN", fromSYN, extapi.FallbackPeer, "MPCapableFallbackSYNACK", ""),
			fallsBack("SYN/ACK", fromSYNACK, extapi.FallbackThirdAck, "MPCapableFallbackSYNACK", "MPCapableFallbackACK"),
			fallsBack("third ACK and what follows", fromRest, extapi.FallbackThirdAck, "MPCapableDataFallback", "MPCapableFallbackACK"),
			{"SYNs with it get lost", func(t *testing.T, s *stage) {
				fallsBack("", noSYN, extapi.FallbackPeer, "MPCapableSYNTXDrop", "").play(t, s)
				s.do("c", "sysctl -qw net.mptcp.blackhole_timeout=3600") // which makes it forget
			}},
		}), infinite)
	})
}

// second makes the kernel's dialer join over the second path; ours does so by itself.
func (s *stage) second() {
	if s.ours == "s" {
		s.endpoint(7, s.client(2), "dev c2 subflow")
	}
}

// joinLost is a join that a middlebox spoils: the connection goes on over its first path. counted are the kernel's counters, as
// a server and as a client.
func joinLost(name, rule string, counted map[string]map[string]int) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		s.box("iifname rc2 "+rule, "iifname rc2 tcp flags & syn == syn counter comment \"joins\"")
		s.second()
		server, client := s.ends("c1", "c2")
		p := s.connect(server, client, s.server(1), trickle)
		s.eventually(5*time.Second, "a join is tried", func() bool { return s.count("joins") > 0 })
		s.carrying("c1")
		got := s.counted()
		for name, n := range counted[s.theirs] {
			require.Equal(t, n, got[name], "the kernel's %s; all: %s", name, nonzero(got))
		}
		list, _, _ := s.our(p).look()
		for _, r := range list {
			require.False(t, r.Event == "subflow_established" && over(r.Subflows[0], "c2"), "%v", r)
		}
		c, srv := p.stop()
		our, _ := s.outcome(c, srv)
		require.Equal(t, extapi.FallbackNone, our.Info.Fallback)
	}}
}

// Joins that middleboxes spoil, or nearly.
func TestNamespaceWireJoinsSpoilt(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run("ours is "+ours, func(t *testing.T) {
			list := []scenario{
				joinLost("the option is taken off the SYN", "tcp flags & (syn | ack) == syn reset tcp option mptcp", map[string]map[string]int{
					"s": {"MPJoinSynRx": 0, "MPJoinAckRx": 0}, "c": {"MPJoinSynTx": 1, "MPJoinSynAckRx": 0},
				}),
				joinLost("the option is taken off the third message", "tcp flags & syn == 0 reset tcp option mptcp", map[string]map[string]int{
					"s": {"MPJoinAckRx": 0}, "c": {"MPJoinSynAckRx": 1},
				}),
				{"the third message is lost twice", func(t *testing.T, s *stage) {
					two := map[int]int{4: 160, 6: 200}[s.family] // bytes of two, and less than of three
					s.box("iifname rc2 tcp flags & (syn | rst | ack) == ack tcp option mptcp subtype 1 counter comment \"thirds\"",
						fmt.Sprintf("iifname rc2 tcp flags & (syn | rst | ack) == ack tcp option mptcp subtype 1 quota until %d bytes drop", two))
					p := s.meet(trickle)
					s.subflows(s.our(p), 2)
					require.GreaterOrEqual(t, s.count("thirds"), 3)
					s.our(p).say("backup c1")
					s.carrying("c2")
					s.requireCounted(map[string]int{map[string]string{"c": "MPJoinAckRx", "s": "MPJoinSynAckRx"}[s.ours]: 1})
					p.stop()
				}},
			}
			if ours == "c" {
				list = append(list, scenario{"the kernel answers SYNs with cookies", func(t *testing.T, s *stage) {
					s.sysctl("net.ipv4.tcp_syncookies", "2", "1")
					p := s.meet(trickle)
					p.client.say("backup c1")
					s.carrying("c2")
					s.requireCounted(map[string]int{"MPCapableACKRX": 1, "MPJoinAckRx": 1})
					p.stop()
				}})
			}
			newStage(t, ours, 2).scenes(t, inBothFamilies(list), reset)
		})
	}
}

// stripped is a path that loses the option under way: alone it goes on as plain TCP, one of two is left.
func stripped(paths int) scenario {
	return scenario{fmt.Sprintf("%d subflows", paths), func(t *testing.T, s *stage) {
		var p pair
		if paths == 1 {
			server, client := s.ends("c1")
			p = s.connect(server, client, s.server(1), trickle)
			s.carrying("c1")
			s.box("tcp flags & rst == 0 reset tcp option mptcp")
			s.our(p).event(5*time.Second, "conn_fell_back", func(r report) bool { return true })
			s.carrying("c1")
			ours, _ := s.outcome(p.stop())
			require.Equal(t, 1, s.counted()["DssFallback"]+s.counted()["MPCapableDataFallback"], nonzero(s.counted()))
			require.Equal(t, map[string]uint64{"DssFallback": 1}, reasons(ours))
			return
		}
		p = s.meet(trickle)
		s.flowing(true, "c1", "c2")
		s.closes(p, "c2", func() {
			s.box("iifname rc2 tcp flags & rst == 0 reset tcp option mptcp", "oifname rc2 tcp flags & rst == 0 reset tcp option mptcp")
			s.our(p).say("backup c1")
		})
		s.carrying("c1")
		c, srv := p.stop()
		require.Equal(t, extapi.FallbackNone, c.Info.Fallback)
		require.Equal(t, extapi.FallbackNone, srv.Info.Fallback)
	}}
}

// The option vanishes while data flows.
func TestNamespaceWireStripped(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run("ours is "+ours, func(t *testing.T) {
			newStage(t, ours, 2).scenes(t, inBothFamilies([]scenario{stripped(1), stripped(2)}), reset, infinite)
		})
	}
}
