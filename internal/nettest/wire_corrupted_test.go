package nettest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// unseen matches payload that was not sent before: a copy is dropped by TCP, whatever it says.
func unseen() onpath.Match {
	var end uint32
	begun := false
	return func(p []byte, _ onpath.Dir) bool {
		s, err := packet.Parse(p)
		next := s.Seq + uint32(len(s.Payload))
		if err != nil || len(s.Payload) == 0 || begun && int32(next-end) <= 0 {
			return false
		}
		begun, end = true, next
		return true
	}
}

// damaged is a payload that changes on the way, in a direction, with checksums on.
func damaged(path *valve, d onpath.Dir, paths int) scenario {
	return scenario{fmt.Sprintf("%d subflows, %v", paths, d), func(t *testing.T, s *stage) {
		s.sums = true
		j := trickle
		j.Damaged = paths == 1
		var on atomic.Bool
		which := onpath.And(unseen(), func([]byte, onpath.Dir) bool { return on.Load() })
		if paths == 1 {
			which = onpath.And(which, onpath.Nth(1))
		}
		path.set(onpath.Only(d, onpath.Flip(which)))
		s.undo = append(s.undo, func() { path.set(nil) })
		var p pair
		if paths == 1 {
			server, client := s.ends("c1")
			p = s.connect(server, client, s.server(1), j)
			s.carrying("c1")
		} else {
			p = s.meet(j)
			s.our(p).say("backup c2") // everything takes the first path
			s.await("MPPrioRx", 1)
			s.carrying("c1")
		}
		weDetect := (s.ours == "s") == (d == onpath.Forward)
		our := s.our(p)
		if paths == 2 {
			s.closes(p, "c1", func() { on.Store(true) })
			path.set(nil)
			s.flowing(true, "c1", "c2") // our dialer joins again on the first path
			s.flowing(false, "c1", "c2")
			c, srv := p.stop()
			require.Zero(t, c.Received.Wrong+srv.Received.Wrong)
			require.Equal(t, extapi.FallbackNone, our.wait(time.Second, "done").Info.Fallback)
			s.requireFailed(weDetect)
			return
		}
		on.Store(true)
		our.event(5*time.Second, "conn_fell_back", func(r report) bool { return true })
		if weDetect {
			s.await("InfiniteMapTx", 1) // the ACK with our MP_FAIL may have been lost once
		} else {
			s.await("InfiniteMapRx", 1)
		}
		s.carrying("c1")
		c, srv := p.stop()
		require.Equal(t, 1, c.Received.Wrong+srv.Received.Wrong, "what was damaged is delivered")
		require.Equal(t, extapi.CarrierTCP, our.wait(time.Second, "done").Info.Carrier)
		s.requireFailed(weDetect)
	}}
}

// edited is a gateway that changes lengths on the only path, while one end sends: the connection goes on as TCP, and ends.
func edited(path *valve, with string, down bool) scenario {
	return scenario{fmt.Sprintf("edited to %q, down %v", with, down), func(t *testing.T, s *stage) {
		s.sums = true
		// Hold: a Linux that has sent a DATA_FIN before does not take the FIN for the end.
		j := job{Up: !down, Down: down, For: time.Minute, Rate: trickle.Rate, Damaged: true, Hold: true}
		server, client := s.ends("c1")
		p := s.connect(server, client, s.server(1), j)
		s.flowing(down, "c1")
		s.put(path, &onpath.ALG{Old: []byte("MP"), New: []byte(with)})
		s.our(p).event(5*time.Second, "conn_fell_back", func(r report) bool { return true })
		s.flowing(down, "c1")
		p.client.say("stop")
		p.server.say("stop")
		c, srv := p.client.wait(10*time.Second, "done"), p.server.wait(10*time.Second, "done")
		require.Positive(t, c.Received.Wrong+srv.Received.Wrong, "the gateway does its work")
		require.Equal(t, extapi.CarrierTCP, s.our(p).wait(time.Second, "done").Info.Carrier)
	}}
}

// requireFailed checks that MP_FAIL went from who has detected the damage.
func (s *stage) requireFailed(weDetect bool) {
	s.t.Helper()
	got := s.counted()
	if weDetect {
		require.Positive(s.t, got["MPFailRx"], nonzero(got))
		require.Zero(s.t, got["DataCsumErr"], nonzero(got))
	} else {
		require.Positive(s.t, got["DataCsumErr"], nonzero(got))
		require.Positive(s.t, got["MPFailTx"], nonzero(got))
	}
}

// RFC 8684 section 3.7: with checksums, damage ends Multipath TCP on a single subflow, and one of several subflows.
func TestNamespaceWireCorrupted(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run("ours is "+ours, func(t *testing.T) {
			s, paths := newEmulatedStage(t, ours)
			var list []scenario
			for _, n := range []int{1, 2} {
				for _, d := range []onpath.Dir{onpath.Forward, onpath.Back} {
					list = append(list, damaged(paths[0], d, n))
				}
			}
			for _, down := range []bool{false, true} {
				list = append(list, edited(paths[0], "three", down), edited(paths[0], "-", down))
			}
			s.scenes(t, inBothFamilies(list), reset, infinite)
		})
	}
}
