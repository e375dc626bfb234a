package nettest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// DSS checksums are in use as soon as one end wants them, whichever it is (RFC 8684 section 3.1).
func TestNamespaceWireChecksums(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run(fmt.Sprintf("ours is %s", ours), func(t *testing.T) {
			var list []scenario
			for _, who := range []struct{ we, kernel bool }{{true, false}, {false, true}, {true, true}} {
				list = append(list, scenario{fmt.Sprintf("we %v, the kernel %v", who.we, who.kernel), func(t *testing.T, s *stage) {
					if who.kernel {
						s.sysctl("net.mptcp.checksum_enabled", "1", "0")
					}
					s.sums = who.we
					p := s.meet(trickle)
					s.flowing(true, "c1", "c2")
					our := s.our(p)
					require.True(t, our.state().Info.Checksum)
					our.say("backup c1")
					s.carrying("c2")
					p.stop()
					s.requireCounted(nil)
				}})
			}
			newStage(t, ours, 2).scenes(t, inBothFamilies(list))
		})
	}
}
