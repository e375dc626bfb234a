package nettest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// farewells loses the first acknowledgment of each end's FIN, and counts RSTs.
type farewells struct {
	mu          sync.Mutex
	fin         [2]bool   // a FIN has passed, by direction
	end         [2]uint32 // behind it
	lost, reset int
}

// Process implements onpath.Element.
func (f *farewells) Process(_ time.Duration, p []byte, d onpath.Dir, emit onpath.Emit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := packet.Parse(p)
	if err != nil {
		emit(p, d)
		return
	}
	if s.Flags.Has(packet.RST) {
		f.reset++
	}
	if other := d.Reverse(); f.fin[other] && s.Ack == f.end[other] && !s.Flags.Has(packet.FIN) {
		f.fin[other] = false
		f.lost++
		return
	}
	if s.Flags.Has(packet.FIN) && f.end[d] == 0 {
		f.fin[d], f.end[d] = true, s.Seq+uint32(len(s.Payload))+1
	}
	emit(p, d)
}

// Both ends close, at once or one after the other, and the acknowledgments of their FINs get lost: no end hangs, and none resets
// what has ended in order.
func TestNamespaceWireLastAckLost(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run("ours is "+ours, func(t *testing.T) {
			s, paths := newEmulatedStage(t, ours)
			var list []scenario
			for _, tc := range []struct {
				name string
				job  job
			}{
				{"both at once", trickle}, {"DATA_FINs on data", short},
				{"the server is last", job{Down: true, Bytes: 64 * kib}}, {"the client is last", job{Up: true, Bytes: 64 * kib}},
			} {
				list = append(list, scenario{tc.name, func(t *testing.T, s *stage) {
					f := &farewells{}
					paths[0].set(f)
					s.undo = append(s.undo, func() { paths[0].set(nil) })
					server, client := s.ends("c1")
					p := s.connect(server, client, serverIP(1), tc.job)
					if tc.job.For > 0 {
						s.carrying("c1")
						p.stop()
					} else {
						finish(t, 10*time.Second, p.client, p.server)
					}
					s.eventually(5*time.Second, "the kernel's connection ends", func() bool { return s.counted()["MPCurrEstab"] == 0 })
					s.our(p).event(5*time.Second, "conn_closed", func(report) bool { return true })
					f.mu.Lock()
					defer f.mu.Unlock()
					require.Positive(t, f.lost, "nothing was lost")
					require.Zero(t, f.reset, "RSTs")
					s.requireCounted(nil)
				}})
			}
			s.scenes(t, list)
		})
	}
}
