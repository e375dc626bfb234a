package stream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
)

const ms = time.Millisecond

func TestEchoMeasuresTheRoundTrip(t *testing.T) {
	a, ra := established(t, FlowConfig{})
	b, _ := established(t, FlowConfig{})
	require.EqualValues(t, -1, a.Stats(0).SRTT)
	send(a, 0, 1, payload(10, 0))
	require.NoError(t, b.Feed(15*ms, drain(a, 0, 0)))
	require.NoError(t, a.Feed(30*ms, drain(b, 15*ms, 0)))
	require.Equal(t, []string{"progress"}, ra.events)
	require.Equal(t, 30*ms, a.Stats(0).SRTT)
	require.Equal(t, 30*ms, a.Stats(0).MinRTT)
	require.Equal(t, 30*ms, a.Stats(0).LastProgress)

	a.SetStats(engine.FlowStats{SRTT: 2 * ms, RTTVar: ms, MinRTT: ms, Unsent: 5})
	require.Equal(t, 30*ms, a.Stats(0).SRTT, "TCP_INFO's ends at a proxy")
	a.SetStats(engine.FlowStats{SRTT: 50 * ms, RTTVar: ms, MinRTT: 40 * ms, Unsent: 5})
	require.Equal(t, 50*ms, a.Stats(0).SRTT)
	send(a, 30*ms, 11, payload(10, 0))
	require.EqualValues(t, 15, a.Stats(0).Unsent, "the kernel's and ours")
}

func TestEchoesAreRare(t *testing.T) {
	a, r := established(t, FlowConfig{})
	b, _ := established(t, FlowConfig{})
	for i := range 1000 {
		now := time.Duration(i) * ms
		send(a, now, uint32(i+1), []byte("x"))
		require.NoError(t, b.Feed(now, drain(a, now, 0)))
		require.NoError(t, a.Feed(now, drain(b, now, 0)))
	}
	require.Len(t, r.events, 10)
}

func TestProbe(t *testing.T) {
	a, r := established(t, FlowConfig{})
	b, _ := established(t, FlowConfig{})
	for range 10 {
		a.Probe(0)
	}
	out := drain(a, 0, 0)
	require.Len(t, out, echoLen, "one at a time")
	a.Probe(ms)
	require.Zero(t, a.Pending())
	require.NoError(t, b.Feed(0, out))
	require.NoError(t, a.Feed(5*ms, drain(b, 0, 0)))
	require.Equal(t, []string{"progress"}, r.events)
	require.NoError(t, a.Feed(5*ms, appendEcho(nil, TypeEchoReply, 1)), "a reply to nothing")
	require.Len(t, r.events, 1)
	require.Zero(t, a.Pending())
}

// The peer's reply can overtake the writer on its way back from the system call.
func TestReplyBeforeWrote(t *testing.T) {
	a, r := established(t, FlowConfig{EstimateStats: true})
	b, _ := established(t, FlowConfig{})
	send(a, 0, 1, payload(50_000, 0))
	var wire []byte
	for _, s := range a.Gather(nil) {
		wire = append(wire, s...)
	}
	a.Wrote(0, 1000)
	require.NoError(t, b.Feed(ms, wire[:1000]))
	require.NoError(t, a.Feed(2*ms, drain(b, ms, 0)))
	require.Equal(t, []string{"progress"}, r.events)

	a.Probe(2 * ms)
	var rest []byte
	for _, s := range a.Gather(nil) {
		rest = append(rest, s...)
	}
	require.NoError(t, b.Feed(3*ms, rest))
	require.NoError(t, a.Feed(4*ms, drain(b, 3*ms, 0)))
	require.EqualValues(t, 0, a.Stats(0).InFlight, "never negative")
	a.Wrote(4*ms, len(rest))
	out := drain(a, 4*ms, 0)
	require.NoError(t, b.Feed(5*ms, out))
	require.NoError(t, a.Feed(6*ms, drain(b, 5*ms, 0)))
	require.Zero(t, a.Stats(0).InFlight)
	require.Zero(t, a.est.n, "no reply is lost")
}

// Without TCP_INFO, an echo says what has arrived, whatever DATA_ACK says.
func TestEstimateStats(t *testing.T) {
	const rtt, rate = 20 * ms, 1_000_000 // bytes per second
	a, _ := established(t, FlowConfig{EstimateStats: true})
	b, _ := established(t, FlowConfig{})
	type burst struct {
		at time.Duration
		b  []byte
	}
	var there, back []burst
	var free time.Duration // when the link is idle again
	ssn := uint32(1)
	for now := time.Duration(0); now < 2*time.Second; now += ms {
		for len(there) > 0 && there[0].at <= now {
			require.NoError(t, b.Feed(now, there[0].b))
			there = there[1:]
		}
		if out := drain(b, now, 0); len(out) > 0 {
			back = append(back, burst{now + rtt/2, out})
		}
		for len(back) > 0 && back[0].at <= now {
			require.NoError(t, a.Feed(now, back[0].b))
			back = back[1:]
		}
		if out := drain(a, now, 0); len(out) > 0 {
			there = append(there, burst{max(free, now) + rtt/2, out})
		}
		for n := min(a.Room(), 1400); n >= 1400; n = min(a.Room(), 1400) {
			send(a, now, ssn, payload(n, 0))
			ssn += uint32(n)
			out := drain(a, now, 0)
			free = max(free, now) + time.Duration(len(out))*time.Second/rate
			there = append(there, burst{free + rtt/2, out})
		}
	}
	s := a.Stats(0)
	require.InEpsilon(t, rate, s.DeliveryRate, 0.25)
	require.GreaterOrEqual(t, s.MinRTT, rtt)
	require.Less(t, s.InFlight, int64(400_000), "the path is not flooded")
	require.Greater(t, s.Acked, int64(1_500_000))
}

// A reply that lay unread in the socket says that the path works, not how long it is.
func TestRepliesThatWaitedAreNoMeasure(t *testing.T) {
	a, r := established(t, FlowConfig{})
	b, _ := established(t, FlowConfig{})
	a.SetStats(engine.FlowStats{SRTT: ms})
	send(a, 0, 1, payload(10, 0))
	require.NoError(t, b.Feed(ms, drain(a, 0, 0)))
	a.Resumed(20 * ms)
	require.NoError(t, a.Feed(20*ms, drain(b, ms, 0)))
	require.Equal(t, []string{"progress"}, r.events)
	require.Equal(t, ms, a.Stats(20*ms).SRTT)

	send(a, 200*ms, 11, payload(10, 0))
	require.NoError(t, b.Feed(206*ms, drain(a, 200*ms, 0)))
	require.NoError(t, a.Feed(212*ms, drain(b, 206*ms, 0)))
	require.Equal(t, 12*ms, a.Stats(212*ms).SRTT)
}
