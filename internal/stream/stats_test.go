package stream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
)

// A proxy acknowledges what it still holds: then the echoes are believed, and TCP_INFO is not. A reply that
// came in time and lay unread tells of no proxy.
func TestLateRepliesTellOfAProxy(t *testing.T) {
	const wait = 40 * ms
	for unread, rtt := range map[bool]time.Duration{true: ms, false: wait} {
		a, _ := established(t, FlowConfig{})
		b, _ := established(t, FlowConfig{})
		ssn := uint32(1)
		for now := time.Duration(0); now < 2*time.Second; now += 200 * ms {
			send(a, now, ssn, payload(10, 0))
			ssn += 10
			sent := drain(a, now, 0)
			a.SetStats(engine.FlowStats{SRTT: ms, Acked: 1 << 20}) // the proxy has it all
			a.Stats(now + 2*ms)                                    // looks at it
			require.NoError(t, b.Feed(now+wait/2, sent))
			if unread {
				a.Resumed(now + wait)
			}
			require.NoError(t, a.Feed(now+wait, drain(b, now+wait/2, 0)))
		}
		require.Equal(t, !unread, a.est.early)
		require.Equal(t, rtt, a.Stats(2*time.Second).SRTT)
	}
}

// A reply that the peer's TCP had to send again comes late, and tells no more than that: the path is as long
// as TCP says, for all that is waited for on it.
func TestOneLateReplyIsNoLongPath(t *testing.T) {
	a, _ := established(t, FlowConfig{})
	b, _ := established(t, FlowConfig{})
	a.SetStats(engine.FlowStats{SRTT: 30 * ms, RTTVar: ms, MinRTT: 20 * ms})
	ssn := uint32(1)
	for i, reply := range []time.Duration{21 * ms, 400 * ms} {
		now := time.Duration(i) * 200 * ms
		send(a, now, ssn, payload(10, 0))
		ssn += 10
		require.NoError(t, b.Feed(now+10*ms, drain(a, now, 0)))
		require.NoError(t, a.Feed(now+reply, drain(b, now+10*ms, 0)))
	}
	require.Equal(t, 30*ms, a.Stats(time.Second).SRTT)
	require.Equal(t, ms, a.Stats(time.Second).RTTVar)
}
