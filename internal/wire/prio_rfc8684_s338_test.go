package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// "a subflow where the receiver has indicated that B=1 SHOULD NOT be used to send data unless there are no
// usable subflows where B=0" (RFC 8684 section 3.3.8): the peer asks, on the subflow that it speaks of.
func TestPrioOfThePeer(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	f.acks(s.ack(0), options.MPPrio{Backup: true})
	s.write(100)
	f.wants("nothing on the backup")
	g.wants("the other is a regular one", "DATA 1+100, DSS map 0+100@1 ack 0")
	g.acks(s.ack(100))
	f.acks(s.ack(100), options.MPPrio{})
	g.acks(s.ack(100), options.MPPrio{Backup: true})
	s.write(100)
	g.wants("it is the backup now")
	f.wants("regular again", "DATA 1+100, DSS map 100+100@1 ack 0")
	f.acks(s.ack(200))
	f.resets()
	s.write(100)
	g.wants("the last resort", "ACK, DSS ack 0", "DATA 101+100, DSS map 200+100@101 ack 0")
}

// "the backup flag is a request from a data receiver to a data sender only": ours leaves at once, on an ACK of
// the subflow that it is for.
func TestOwnPrio(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	id := engine.PathID(2)
	require.NoError(t, s.us.eng.SetBackup(s.w.now, id, true))
	s.wait(time.Millisecond)
	f.wants("not its business")
	g.wants("asked", "ACK, DSS ack 0, MP_PRIO true")
	require.NoError(t, s.us.eng.SetBackup(s.w.now, id, true))
	s.wait(time.Minute)
	g.wants("once")
	require.NoError(t, s.us.eng.SetBackup(s.w.now, id, false))
	s.wait(time.Millisecond)
	g.wants("and back", "ACK, DSS ack 0, MP_PRIO false")
}
