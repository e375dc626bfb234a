package nettest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// ends are who plays the two roles: our end, which uses these interfaces, and the kernel's.
func (s *stage) ends(ifaces ...string) (server, client order) {
	if s.ours == "c" {
		client = ourDialer(ifaces...)
		client.Checksum = s.sums
		return kernelEnd, client
	}
	server = ourListener()
	server.Checksum = s.sums
	return server, kernelEnd
}

// our is the program of ours.
func (s *stage) our(p pair) *program {
	if s.ours == "c" {
		return p.client
	}
	return p.server
}

// other is the kernel's.
func (s *stage) other(p pair) *program {
	if s.ours == "c" {
		return p.server
	}
	return p.client
}

// meet connects over both of the client's interfaces, whichever end is ours.
func (s *stage) meet(j job) pair {
	s.t.Helper()
	joined := "MPJoinAckRx"
	if s.ours == "s" {
		joined = "MPJoinSynAckRx"
	}
	s.second()
	server, client := s.ends("c1", "c2")
	p := s.connect(server, client, s.server(1), j)
	s.await(joined, 1)
	return p
}

// halfClose lets one end stop sending: the other goes on over both subflows.
func halfClose(first string) scenario {
	return scenario{"half-close, first " + first, func(t *testing.T, s *stage) {
		p := s.meet(trickle)
		early, late := p.client, p.server
		if first == "s" {
			early, late = p.server, p.client
		}
		early.say("stop")
		s.flowing(first == "c", "c1", "c2")
		require.Len(t, s.our(p).state().Subflows, 2)
		late.say("stop")
		finish(t, 10*time.Second, p.client, p.server)
	}}
}

// fastClose ends the connection from our end with MP_FASTCLOSE.
func fastClose(how string) scenario {
	return scenario{"our MP_FASTCLOSE: " + how, func(t *testing.T, s *stage) {
		p := s.meet(trickle)
		s.our(p).say(how)
		require.Contains(t, s.other(p).failure(5*time.Second), "connection reset by peer")
		s.our(p).failure(5 * time.Second)
		got := s.counted()
		require.Positive(t, got["MPFastcloseRx"], nonzero(got))
	}}
}

// Ways for a connection of two subflows to end, or for one of them.
func TestNamespaceWireClose(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run(fmt.Sprintf("ours is %s", ours), func(t *testing.T) {
			newStage(t, ours, 2).scenes(t, inBothFamilies([]scenario{
				halfClose("c"), halfClose("s"), fastClose("reset"), fastClose("abort"),
				{"the kernel's MP_FASTCLOSE", func(t *testing.T, s *stage) {
					p := s.meet(trickle)
					s.other(p).say("reset")
					require.Contains(t, s.our(p).failure(5*time.Second), "reset by the peer")
					require.Positive(t, s.counted()["MPFastcloseTx"])
				}},
				{"one subflow is reset on the way", func(t *testing.T, s *stage) {
					p := s.meet(trickle)
					s.closes(p, "c2", func() {
						s.box("iifname rc2 tcp dport 1-65535 reject with tcp reset", "oifname rc2 tcp sport 1-65535 reject with tcp reset")
						s.our(p).say("backup c1") // so that something is sent there
					})
					s.carrying("c1")
					s.unbox()
					p.stop()
				}},
			}), reset)
		})
	}
}

// closes waits until our end reports that a subflow over this interface has closed since a mishap.
func (s *stage) closes(p pair, iface string, mishap func()) {
	s.t.Helper()
	before, _, _ := s.our(p).look()
	mishap()
	s.eventually(5*time.Second, iface+" loses a subflow", func() bool {
		now, _, _ := s.our(p).look()
		return slices.ContainsFunc(now[len(before):], func(r report) bool { return r.Event == "subflow_closed" && over(r.Subflows[0], iface) })
	})
}

// keeps checks that something costs our end no subflow, but one that is stale and whose path was joined anew.
func (s *stage) keeps(p pair, something func()) {
	s.t.Helper()
	ours := s.our(p)
	before := ours.state().Subflows
	require.GreaterOrEqual(s.t, len(before), 2)
	something()
	list, _, _ := ours.look()
	for _, r := range list {
		if r.Event == "subflow_closed" && !r.has("unacceptable performance") {
			id := r.Subflows[0].ID
			require.False(s.t, slices.ContainsFunc(before, func(f extapi.SubflowInfo) bool { return f.ID == id }), "%v", ours)
		}
	}
}

// Both subflows are reset: our dialer joins again, and the kernel has waited.
func TestNamespaceWireAllReset(t *testing.T) {
	newStage(t, "c", 2).scenes(t, inBothFamilies([]scenario{{"joins again", func(t *testing.T, s *stage) {
		p := s.meet(trickle)
		s.box("tcp dport 1-65535 reject with tcp reset", "tcp sport 1-65535 reject with tcp reset")
		p.client.event(5*time.Second, "subflow_closed", func(r report) bool { return true })
		time.Sleep(100 * time.Millisecond)
		s.unbox()
		s.flowing(true, "c1", "c2")
		s.flowing(false, "c1", "c2")
		p.stop()
	}}}), reset)
}
