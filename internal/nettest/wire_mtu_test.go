package nettest

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The MTU of our own interface shrinks while a connection is busy, and grows again: it goes on, in both directions.
func TestNamespaceWireMTUChanges(t *testing.T) {
	for _, family := range []int{4, 6} {
		t.Run(fmt.Sprintf("IPv%d", family), func(t *testing.T) {
			l, _ := wireLab(t, "c", []leg{{mbit: 40, family: family}}, []leg{{family: family}})
			server := l.serve("s", kernelEnd)
			client := l.dial(wireOrder.with(at(serverAddr(family, 1)), job{Down: true, Up: true, For: time.Minute}))
			l.eventually(3*time.Second, "data flows", func() bool { return l.carried("c", "c1") > mib })
			for _, size := range []int{1300, 1500} {
				l.do("r", fmt.Sprintf("ip link set rc1 mtu %d", size))
				l.do("c", fmt.Sprintf("ip link set c1 mtu %d", size))
				before := l.counters("c", "c1")
				l.eventually(5*time.Second, "data flows both ways", func() bool {
					now := l.counters("c", "c1")
					return min(now.Rx.Bytes-before.Rx.Bytes, now.Tx.Bytes-before.Tx.Bytes) > mib
				})
			}
			c, s := pair{client: client, server: server}.stop()
			t.Logf("down %.1f, up %.1f Mbit/s, gaps %v and %v", c.Received.rate(), s.Received.rate(), c.Received.Gap, s.Received.Gap)
			require.Less(t, max(c.Received.Gap, s.Received.Gap), time.Second)
		})
	}
}
