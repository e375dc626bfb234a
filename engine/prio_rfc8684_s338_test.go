package engine

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// "this path should be treated as a backup path to use only in the event of failure of other working
// subflows": the peer asks for it, in MP_PRIO or in the B flag of its MP_JOIN.
func TestPeersBackupIsHonoured(t *testing.T) {
	s, f, g := double(t, true)
	f.Sends(option(options.MPPrio{Backup: true}))
	s.write("hello")
	f.Wants("backup")
	g.Wants("regular", "data 0+5")
	require.Equal(t, []string{"conn_established", "subflow_established", "subflow_established", "subflow_priority"}, sorted(s.names()))
	f.Sends(option(options.MPPrio{}))
	g.room = 0
	s.write("hello")
	f.Wants("regular again", "data 5+5")
}

func TestBackupTakesOverWhenNoRegularOneWorks(t *testing.T) {
	s, f, g := double(t, true)
	f.Sends(option(options.MPPrio{Backup: true}))
	s.write("hello")
	g.ends(errTest)
	f.Wants("last resort", "ack 0", "data 0+5")
	h := s.joined("10.0.3.1:5000")
	s.write("more")
	h.Wants("a regular one again", "data 5+4")
}

func TestBackupTakesOverFromStale(t *testing.T) {
	s, f, g := double(t, true)
	f.Sends(option(options.MPPrio{Backup: true}))
	s.write("hello")
	s.wait(130 * time.Millisecond)
	require.Equal(t, extapi.StateStale, s.state(g))
	require.Equal(t, "hello", string(f.data))
}

// "MP_PRIO option [...] can be used to change the "B" flag of the subflow on which it is sent."
func TestOwnBackup(t *testing.T) {
	s, f, g := double(t, true)
	require.NoError(t, s.c.SetBackup(s.now, g.id, true))
	g.Wants("told", "MP_PRIO true")
	require.NoError(t, s.c.SetBackup(s.now, g.id, true))
	g.Wants("once")
	f.room = 0
	s.write("hello")
	g.Wants("a regular one exists, though it has no room")
	require.True(t, s.c.Subflows(s.now)[1].Backup)
	require.NoError(t, s.c.SetBackup(s.now, g.id, false))
	g.Wants("regular again, and used at once", "MP_PRIO false", "data 0+5")
	require.Equal(t, ErrNoSubflow, s.c.SetBackup(s.now, 99, true))
}

// A flood costs no events and no scheduling; what it says last is what counts.
func TestPrioFlood(t *testing.T) {
	s, f, g := double(t, true)
	s.names()
	for i := range 10001 {
		f.Sends(option(options.MPPrio{Backup: i%2 == 0}))
	}
	require.LessOrEqual(t, len(s.names()), maxPrioPerSecond)
	s.write("hello")
	f.Wants("backup in the end")
	g.Wants("regular", "data 0+5")
}

// staleBackup is a client's only subflow, made a backup by the program, that has become stale; j asks for the one that is to take
// its place.
func staleBackup(t *testing.T) (s *script, f *scriptFlow, j JoinRequest) {
	s, f = single(t, true)
	s.c.SetLocalAddrs(s.now, []extapi.Candidate{{Local: labAddr("10.0.1.1:0"), Interface: "eth1"}})
	require.NoError(t, s.c.SetBackup(s.now, f.id, true))
	s.write("hello")
	s.wait(400 * time.Millisecond)
	require.Equal(t, extapi.StateStale, s.state(f))
	require.NotEmpty(t, s.joins)
	return s, f, s.joins[0]
}

// What the program has said of a path holds for the subflow that takes the place of a stale one, from its MP_JOIN on.
func TestOwnBackupOutlivesItsSubflow(t *testing.T) {
	s, f, j := staleBackup(t)
	require.True(t, j.Backup, "the B of MP_JOIN")
	g := s.answer(j)
	require.True(t, f.ended)
	g.Wants("told already", "ack 0", "ack 0", "data 0+5")
	require.True(t, s.c.Subflows(s.now)[0].Backup)

	require.NoError(t, s.c.SetPolicy(s.now, extapi.PathPolicy{}))
	g.Wants("the policy's turn", "MP_PRIO false")
	s.write("more")
	s.wait(400 * time.Millisecond)
	require.False(t, s.joins[len(s.joins)-1].Backup)
	require.NotEqual(t, j.Attempt, s.joins[len(s.joins)-1].Attempt)
}

// The program changes its mind while the join is on its way.
func TestOwnBackupOfAPathThatIsBeingJoined(t *testing.T) {
	s, f, j := staleBackup(t)
	require.NoError(t, s.c.SetBackup(s.now, f.id, false))
	g := s.answer(j)
	g.Wants("taken back", "ack 0", "MP_PRIO false", "ack 0", "data 0+5")
}

// The peer joins again from an address, through a translator that gives it another: its Address ID tells that it is the same.
func TestOwnBackupOutlivesThePeersSubflow(t *testing.T) {
	s, _, g := double(t, false)
	require.NoError(t, s.c.SetBackup(s.now, g.id, true))
	g.ends(errTest)
	again := func(from string, id extapi.AddrID) *scriptFlow {
		return s.add(FlowParams{Accepted: true, Local: labAddr("10.0.1.1:4000"), Remote: labAddr(from), RemoteID: id})
	}
	h := again("10.0.9.9:6000", 1)
	h.Wants("as before", "ack 0", "MP_PRIO true")
	again("10.0.2.1:6000", 2).Wants("another path", "ack 0")

	h.Sends(option(options.RemoveAddr{N: 1, IDs: [37]uint8{1}}))
	h.ends(errTest)
	again("10.0.7.7:6000", 1).Wants("an address that was withdrawn is another one when it comes", "ack 0")
}
