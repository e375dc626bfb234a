package wire

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// fin is a DATA_FIN of the peer's, after n bytes, which acknowledges all that we may have sent up to ack.
func (s *script) fin(n, ack uint64) options.DSS {
	d := s.maps(n, 0, 1)
	d.DataFIN, d.DataAck = true, s.us.key.IDSN()+1+ack
	return d
}

// "when the DATA_FIN is not attached to a TCP segment containing data, the DSS MUST have a subflow sequence number of 0, a
// Data-Level Length of 1, and the data sequence number that corresponds with the DATA_FIN itself. [...] Once a DATA_FIN has been
// acknowledged, all remaining subflows MUST be closed with standard FIN exchanges. Both hosts SHOULD send FINs on all subflows"
// (RFC 8684 section 3.3.3).
func TestCloseOfAConnection(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	s.us.eng.Close(s.w.now)
	s.w.settle()
	f.wants("DATA_FIN alone", "ACK, DSS map 0+1@0 DATA_FIN ack 0")
	f.acks(s.ack(1))
	s.wait(50 * time.Millisecond)
	f.wants("half closed: no FIN")
	g.wants("nowhere")
	g.acks(s.fin(0, 1))
	require.NotEmpty(t, g.out)
	require.Equal(t, "FIN, DSS ack 1", f.tell(f.out[len(f.out)-1]))
	require.Equal(t, "FIN, DSS ack 1", g.tell(g.out[len(g.out)-1]))
	for _, p := range []*peerEnd{f, g} {
		p.out = nil
		p.sends(packet.FIN|packet.ACK, "", s.ack(1))
		p.wants("its last ACK", "ACK, DSS ack 1")
	}
	require.True(t, s.us.eng.Done())
	require.NoError(t, s.us.eng.Err())
}

// A peer whose TCP has acknowledged our FIN may take its time for its own, and ask for our DATA_ACK once more meanwhile.
func TestPeersFINMayTakeItsTime(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	s.us.eng.Close(s.w.now)
	s.w.settle()
	f.acks(s.fin(0, 1))
	require.Equal(t, "FIN, DSS ack 1", f.tell(f.out[len(f.out)-1]))
	f.out = nil
	f.acks(s.ack(1))
	s.wait(10 * time.Second)
	f.wants("no RST")
	f.acks(s.fin(0, 1))
	s.wait(50 * time.Millisecond)
	f.wants("it was lost", "ACK, DSS ack 1")
	f.sends(packet.FIN|packet.ACK, "", s.ack(1))
	f.wants("its last ACK", "ACK, DSS ack 1")
	require.True(t, s.us.eng.Done())
	require.NoError(t, s.us.eng.Err())
}

// What is left of a flow in TIME-WAIT answers by itself, under a lock of its own: it neither asks the connection, which goes on,
// nor tells it anything.
func TestRemainsAnswerAlone(t *testing.T) {
	s := newScript(t, false)
	f := s.open()
	g := s.join()
	require.NoError(t, s.us.eng.CloseFlow(s.w.now, s.us.flows[1].ID()))
	s.w.settle()
	g.wants("no longer wanted", "FIN, DSS ack 0")
	g.sends(packet.FIN|packet.ACK, "", s.ack(0))
	g.wants("the last ACK", "ACK, DSS ack 0")
	require.Len(t, s.us.eng.Subflows(s.w.now), 1)
	require.True(t, s.us.flows[1].Waits())
	left := s.us.flows[1].Remains(s.w.now)

	f.sends(packet.ACK, "hello", s.maps(0, 1, 5))
	require.Equal(t, "hello", s.us.in.String())
	fin := packet.Segment{
		Src: g.peer, Dst: g.us, Seq: g.isn + g.next - 1, Ack: g.iss + g.got, Flags: packet.FIN | packet.ACK, Options: s.maps(5, 0, 1).Append(nil),
	}
	out := packet.Segment{Options: make([]byte, 0, packet.MaxOptions)}
	require.True(t, left.HandleSegment(s.w.now, &fin, &out, new(extapi.TCPCounters)))
	require.Equal(t, "ACK, DSS ack 0", g.tell(out), "it was lost")
	s.us.flows[1].SendFailed(errors.New("no buffer space"))
	require.False(t, s.us.eng.Done())
}

// closing closes a connection that has exchanged something over all its paths: first at one end, and somewhat later at the
// other.
func (w *world) closing(first, second *host, apart time.Duration) {
	w.client.out, w.server.out = pattern(80<<10), pattern(80<<10)
	w.dial()
	w.run(time.Second, nil)
	first.eng.Close(w.now)
	w.after(apart, func() { second.eng.Close(w.now) })
}

// gone says whether both connections have ended and nothing of their subflows is left.
func (w *world) gone() bool { return w.over() && len(w.client.flows)+len(w.server.flows) == 0 }

// ends waits until both connections have ended, at most so long, and until their subflows' TIME-WAITs have.
func (w *world) ends(t *testing.T, limit time.Duration) {
	require.True(t, w.run(w.now+limit, w.over))
	const timeWait = time.Minute
	require.True(t, w.run(w.now+timeWait+5*time.Second, w.gone))
}

// Whichever path dies, and whenever during the close, with a DATA_FIN, a DATA_ACK or a FIN on it: both ends soon know that all
// has arrived. If both die, the close runs out of time.
func TestPathDiesDuringTheClose(t *testing.T) {
	for at := time.Duration(0); at < 80*time.Millisecond; at += 16 * time.Millisecond {
		for _, apart := range []time.Duration{0, 25 * time.Millisecond} {
			for how := range 6 {
				t.Run(fmt.Sprint(at, apart, how), func(t *testing.T) {
					w, a, b := two(t, 50)
					first, second := w.client, w.server
					if how&1 != 0 {
						first, second = second, first
					}
					w.closing(first, second, apart)
					require.Len(t, w.client.flows, 2)
					w.after(at, func() { a.dead, b.dead = how>>1 != 0, how>>1 != 1 })
					if how>>1 == 2 {
						w.ends(t, w.client.cfg.CloseTimeout+time.Second)
						return
					}
					w.ends(t, 3*time.Second)
					require.NoError(t, w.client.eng.Err())
					require.NoError(t, w.server.eng.Err())
				})
			}
		}
	}
}

// Any two packets of the close are lost on the only path.
func TestPacketsOfTheCloseAreLost(t *testing.T) {
	all := func(bool, packet.Segment) bool { return true }
	for i := 1; i <= 8; i++ {
		for j := i; j <= 8; j++ {
			for _, apart := range []time.Duration{0, 25 * time.Millisecond} {
				t.Run(fmt.Sprint(i, j, apart), func(t *testing.T) {
					w, r := one(t, 50)
					w.closing(w.client, w.server, apart)
					r.box = lose(all, i, j)
					w.ends(t, time.Second)
					require.NoError(t, w.client.eng.Err())
					require.NoError(t, w.server.eng.Err())
				})
			}
		}
	}
}
