package nettest

import (
	"fmt"
	"testing"
	"time"
)

// A reader sleeps until the connection's window is shut: what was offered is kept, probes of the shut window do no harm, and
// data flows again when the reader does.
func TestNamespaceWireSlowReader(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run("ours is "+ours, func(t *testing.T) {
			var list []scenario
			for _, j := range []job{{Down: true}, {Up: true}} {
				j.Hold, j.Bytes, j.Nap = true, 3*mib, 700*time.Millisecond
				list = append(list, scenario{fmt.Sprintf("to the client %v", j.Down), func(t *testing.T, s *stage) {
					p := s.meet(j)
					finish(t, 20*time.Second, p.client, p.server)
					s.requireCounted(nil, "MPJoinRejected", "MPRstRx", "MPRstTx") // paths that a shut window makes look stale are tried anew
				}})
			}
			newStage(t, ours, 2).scenes(t, inBothFamilies(list), reset)
		})
	}
}
