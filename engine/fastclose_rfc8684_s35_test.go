package engine

import (
	"testing"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// Option A of section 3.5 on one subflow ("Host A sends an ACK containing the MP_FASTCLOSE option on one
// subflow"), option R on the others.
func TestAbortSendsFastclose(t *testing.T) {
	s, f, g := double(t, true)
	s.write("lost")
	f.clear()
	s.c.Abort(s.now, ResetProhibited)
	f.Wants("on an ACK", "MP_FASTCLOSE", "close")
	g.Wants("on a RST", "MP_FASTCLOSE", "abort 3")
	require.True(t, s.c.Done())
	require.False(t, s.c.Drained(), "nobody may think that it was delivered")
	var r *ResetError
	require.ErrorAs(t, s.c.Err(), &r)
	require.False(t, r.Remote)
	_, err := s.c.Write(s.now, []byte("x"))
	require.ErrorAs(t, err, &r)
	_, err = s.read()
	require.ErrorAs(t, err, &r)
	names := s.names()
	require.Equal(t, "conn_closed", names[len(names)-1])
	_, ok := s.c.Next()
	require.False(t, ok)
}

// Over a carrier that loses nothing there is nothing to repeat.
func TestAbortOnTheStreamCarrier(t *testing.T) {
	s := newScript(t, true)
	f := s.add(FlowParams{Initial: true, Carrier: extapi.CarrierStream, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")})
	f.clear()
	s.c.Abort(s.now, ResetProhibited)
	f.Wants("at once", "MP_FASTCLOSE", "abort 3")
}

func TestFastcloseOfThePeer(t *testing.T) {
	s, f, g := double(t, true)
	f.Sends(data(0, "readable"))
	f.clear()
	f.Sends(option(options.Fastclose{ReceiverKey: uint64(s.c.keys.Local)}))
	f.Wants("answered with RST", "abort 0")
	g.Wants("everywhere", "abort 0")
	require.True(t, s.c.Done())
	got, err := s.read()
	var r *ResetError
	require.ErrorAs(t, err, &r)
	require.True(t, r.Remote)
	require.Equal(t, "readable", got, "what has arrived is not taken away")
}

func TestFastcloseWithTheWrongKey(t *testing.T) {
	s, f := single(t, true)
	for _, k := range []Key{0, s.c.keys.Remote, s.c.keys.Local + 1} {
		f.Sends(option(options.Fastclose{ReceiverKey: uint64(k)}))
	}
	require.False(t, s.c.Done())
	require.Contains(t, s.names(), "protocol_violation")
}

// Close with data that was never read resets, as TCP does, once what we wrote is delivered.
func TestCloseWithUnreadData(t *testing.T) {
	s, f := single(t, true)
	f.Sends(data(0, "never read"))
	f.clear()
	s.write("answer")
	s.c.Close(s.now)
	f.Wants("delivery comes first", "data 0+6", "fin 6")
	f.Sends(ack(7))
	require.Contains(t, f.log, "MP_FASTCLOSE")
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
}

func TestDataAfterClose(t *testing.T) {
	s, f := single(t, true)
	s.c.Close(s.now)
	f.Sends(ack(1))
	f.Wants("half closed for the peer", "fin 0")
	f.Sends(data(0, "nobody reads this"))
	require.Contains(t, f.log, "MP_FASTCLOSE", "and it is told so")
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
}

// After both DATA_FINs there is nothing to lose: no error.
func TestFastcloseAfterTheEnd(t *testing.T) {
	s, f := single(t, true)
	s.c.Close(s.now)
	f.Sends(ack(1), fin(0), option(options.Fastclose{ReceiverKey: uint64(s.c.keys.Local)}))
	require.True(t, s.c.Done())
	require.NoError(t, s.c.Err())
}
