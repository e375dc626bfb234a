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
