package nettest

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// farewells loses the first acknowledgment of each end's FIN, and counts the RSTs of ours before both FINs are acknowledged
// (after that a late copy may well be answered with one) or have had the time for it.
type farewells struct {
	ours        onpath.Dir // of our segments
	mu          sync.Mutex
	fin         [2]bool       // a FIN has passed, by direction
	end         [2]uint32     // behind it
	first       time.Duration // when the first FIN passed
	acked       [2]bool
	lost, reset int
}

// Process implements onpath.Element.
func (f *farewells) Process(now time.Duration, p []byte, d onpath.Dir, emit onpath.Emit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := packet.Parse(p)
	if err != nil {
		emit(p, d)
		return
	}
	if s.Flags.Has(packet.RST) && d == f.ours && f.acked != [2]bool{true, true} && (f.first == 0 || now-f.first < 1500*time.Millisecond) {
		f.reset++
	}
	if other := d.Reverse(); f.fin[other] && s.Ack == f.end[other] && !s.Flags.Has(packet.FIN) {
		f.fin[other] = false
		f.lost++
		return
	}
	if other := d.Reverse(); f.end[other] != 0 && s.Ack == f.end[other] {
		f.acked[other] = true
	}
	if s.Flags.Has(packet.FIN) && f.first == 0 {
		f.first = now
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
					f := &farewells{ours: onpath.Forward}
					if s.ours == "s" {
						f.ours = onpath.Back
					}
					paths[0].set(f)
					s.undo = append(s.undo, func() { paths[0].set(nil) })
					server, client := s.ends("c1")
					p := s.connect(server, client, s.server(1), tc.job)
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
			s.scenes(t, inBothFamilies(list))
		})
	}
}
