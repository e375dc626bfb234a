package nettest

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/options"
)

// lose drops the client's segments with MP_CAPABLE that have these numbers: 1 is the third ACK, 2 its first data.
func (s *stage) lose(path *valve, numbers ...int) {
	var lost atomic.Int32
	path.set(onpath.Drop(onpath.And(onpath.Going(onpath.Forward), onpath.NoSYN, onpath.Carries(onpath.OfSubtype(options.SubMPCapable)),
		onpath.Nth(numbers...), func([]byte, onpath.Dir) bool { lost.Add(1); return true })))
	s.undo = append(s.undo, func() {
		path.set(nil)
		require.EqualValues(s.t, len(numbers), lost.Load(), "nothing was lost")
	})
}

// bothMultipath checks that neither end has fallen back.
func (s *stage) bothMultipath(ours, theirs report) {
	s.t.Helper()
	require.Equal(s.t, extapi.FallbackNone.String(), ours.Info.Fallback.String())
	require.Equal(s.t, extapi.CarrierWire, ours.Info.Carrier)
	require.Equal(s.t, extapi.CarrierKernel, theirs.Info.Carrier)
	name := "MPCapableACKRX"
	if s.ours == "s" {
		name = "MPCapableSYNACKRX"
	}
	s.requireCounted(map[string]int{name: 1})
}

// outcome sorts the reports of both ends.
func (s *stage) outcome(client, server report) (ours, theirs report) {
	if s.ours == "c" {
		return client, server
	}
	return server, client
}

// The third ACK is lost, which alone tells the server the client's key, and perhaps the first data, which would tell it too.
func TestNamespaceWireThirdAckLost(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run("ours is "+ours, func(t *testing.T) {
			s, paths := newEmulatedStage(t, ours)
			s.scenes(t, inBothFamilies([]scenario{
				{"the client's data is next", func(t *testing.T, s *stage) {
					s.lose(paths[0], 1)
					server, client := s.ends("c1")
					p := s.connect(server, client, s.server(1), short)
					s.bothMultipath(s.outcome(finish(t, 10*time.Second, p.client, p.server)))
				}},
				{"the server speaks first", func(t *testing.T, s *stage) {
					s.lose(paths[0], 1)
					server, client := s.ends("c1")
					server.Role, client.Role, client.Addr, client.URLs = "greeter", "guest", at(s.server(1)), []string{"once"}
					p := pair{server: s.serve("s", server)}
					p.client = s.start("c", client)
					p.client.wait(10*time.Second, "done")
					met := report{Info: extapi.ConnInfo{Carrier: fetched(p.client)[0].Carrier}}
					s.bothMultipath(s.outcome(met, p.server.wait(time.Second, "greeted")))
				}},
				{"the client's first data is lost too, and not what follows", func(t *testing.T, s *stage) {
					s.lose(paths[0], 1, 2)
					server, client := s.ends("c1")
					p := s.connect(server, client, s.server(1), short)
					our, their := s.outcome(finish(t, 10*time.Second, p.client, p.server))
					if s.ours == "c" && our.Info.Carrier == extapi.CarrierTCP {
						require.Equal(t, 1, s.counted()["MPCapableFallbackACK"], nonzero(s.counted())) // the kernel's listener does not wait
						return
					}
					s.bothMultipath(our, their)
				}},
			}), infinite)
		})
	}
}
