package nettest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// quiet checks that nothing but acknowledgments and the like leaves an interface of the client while another one carries data.
func (s *stage) quiet(iface, busy string) {
	s.t.Helper()
	time.Sleep(100 * time.Millisecond) // for what is on its way
	before := s.counters("c", iface)
	s.carrying(busy)
	now := s.counters("c", iface)
	require.Less(s.t, max(now.Rx.Bytes-before.Rx.Bytes, now.Tx.Bytes-before.Tx.Bytes), uint64(16*kib), "%s carries data", iface)
}

// prioritised waits until our end reports that the kernel has changed a subflow's priority, and that the one over this interface is
// what it asked for.
func (s *stage) prioritised(ours *program, iface string, backup bool) {
	s.t.Helper()
	ours.tells("subflow_priority", fmt.Sprint("backup=", backup), "by_peer=true")
	require.Equal(s.t, backup, s.subflow(ours, iface).Backup)
}

// standingBy is a dialer of ours whose second path is a backup from its SYN on.
func standingBy() order {
	o := ourDialer("c1", "c2")
	o.Paths.Rules = append(policyOf(extapi.Backup("c2")).Rules, o.Paths.Rules...)
	return o
}

// MP_PRIO and the B of MP_JOIN between our dialer and the kernel's listener.
func TestNamespaceWireDialerBackup(t *testing.T) {
	newStage(t, "c", 2).scenes(t, inBothFamilies([]scenario{
		{"a backup from its SYN on takes over", func(t *testing.T, s *stage) {
			p := s.connect(kernelEnd, standingBy(), s.server(1), trickle)
			s.await("MPJoinAckRx", 1)
			s.requireCounted(map[string]int{"MPJoinSynRx": 1, "MPJoinSynBackupRx": 1})
			s.quiet("c2", "c1")
			s.cut("rc1")
			s.undo = append(s.undo, s.healAll)
			s.carrying("c2")
			s.healAll()
			c, srv := p.stop()
			require.Less(t, max(c.Received.Gap, srv.Received.Gap), 2*time.Second)
		}},
		{"our MP_PRIO, there and back", func(t *testing.T, s *stage) {
			p := s.connect(kernelEnd, ourDialer("c1", "c2"), s.server(1), trickle)
			s.await("MPJoinAckRx", 1)
			p.client.say("backup c1")
			s.await("MPPrioRx", 1)
			s.quiet("c1", "c2")
			p.client.say("backup c2")
			p.client.say("regular c1")
			s.await("MPPrioRx", 3)
			s.quiet("c2", "c1")
			s.requireCounted(map[string]int{"MPPrioRx": 3})
			p.stop()
		}},
		{"the kernel's MP_PRIO, there and back", func(t *testing.T, s *stage) {
			s.endpoint(5, s.server(2), "signal")
			p := s.connect(kernelEnd, ourDialer("c1"), s.server(1), trickle)
			s.await("MPJoinAckRx", 1)
			s.do("s", "ip mptcp endpoint change id 5 backup")
			s.prioritised(p.client, "s2", true)
			s.carrying("s1")
			s.do("s", "ip mptcp endpoint change id 5 nobackup")
			s.prioritised(p.client, "s2", false)
			s.requireCounted(map[string]int{"MPPrioTx": 2})
			p.stop()
		}},
		{"the kernel's address is a backup from the join on", func(t *testing.T, s *stage) {
			s.endpoint(5, s.server(2), "signal backup")
			p := s.connect(kernelEnd, ourDialer("c1"), s.server(1), trickle)
			s.await("MPJoinAckRx", 1)
			joined := s.subflow(p.client, "s2")
			require.True(t, joined.Backup, "%v", joined)
			s.carrying("s1")
			require.Equal(t, joined.BytesSent, s.subflow(p.client, "s2").BytesSent)
			p.stop()
		}},
	}))
}

// The same between the kernel's dialer and our listener.
func TestNamespaceWireListenerBackup(t *testing.T) {
	newStage(t, "s", 2).scenes(t, inBothFamilies([]scenario{
		{"a backup from its SYN on takes over", func(t *testing.T, s *stage) {
			s.endpoint(7, s.client(2), "dev c2 subflow backup")
			p := s.connect(ourListener(), kernelEnd, s.server(1), trickle)
			s.await("MPJoinSynAckRx", 1)
			require.True(t, s.subflow(p.server, "c2").Backup)
			s.quiet("c2", "c1")
			s.cut("rc1")
			s.undo = append(s.undo, s.healAll)
			s.carrying("c2")
			s.healAll()
			c, srv := p.stop()
			require.Less(t, max(c.Received.Gap, srv.Received.Gap), 5*time.Second)
		}},
		{"our MP_PRIO, there and back", func(t *testing.T, s *stage) {
			s.endpoint(7, s.client(2), "dev c2 subflow")
			p := s.connect(ourListener(), kernelEnd, s.server(1), trickle)
			s.await("MPJoinSynAckRx", 1)
			p.server.say("backup c1")
			s.await("MPPrioRx", 1)
			s.quiet("c1", "c2")
			p.server.say("backup c2")
			p.server.say("regular c1")
			s.await("MPPrioRx", 3)
			s.quiet("c2", "c1")
			s.requireCounted(map[string]int{"MPPrioRx": 3})
			p.stop()
		}},
		{"the kernel's MP_PRIO, there and back", func(t *testing.T, s *stage) {
			s.endpoint(7, s.client(2), "dev c2 subflow")
			p := s.connect(ourListener(), kernelEnd, s.server(1), trickle)
			s.await("MPJoinSynAckRx", 1)
			s.do("c", "ip mptcp endpoint change id 7 backup")
			s.prioritised(p.server, "c2", true)
			s.quiet("c2", "c1")
			s.do("c", "ip mptcp endpoint change id 7 nobackup")
			s.prioritised(p.server, "c2", false)
			s.requireCounted(map[string]int{"MPPrioTx": 2})
			p.stop()
		}},
	}))
}
