package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func withKeepAlive(c *Config) {
	c.KeepAlive = KeepAlive{Idle: 10 * time.Second, Interval: 2 * time.Second, Count: 3}
}

func TestKeepAlive(t *testing.T) {
	s := dialed(t, "mss=1460", withKeepAlive)
	s.after(5 * time.Second)
	s.peer("A seq=1 len=1 ack=1")
	s.outs = nil
	s.after(10*time.Second - time.Millisecond)
	s.quiet("10 s of silence have not passed")
	s.after(time.Millisecond)
	s.want("A seq=0 len=0 ack=2", "section 3.8.4: SEG.SEQ = SND.NXT-1")
	s.peer("A seq=2 ack=1")
	s.after(10*time.Second - time.Millisecond)
	s.quiet("the peer lives")
	s.after(time.Millisecond)
	for range 3 {
		s.want("A seq=0 len=0", "a probe")
		s.after(2 * time.Second)
	}
	s.want("RA seq=1", "three probes without an answer")
	s.happened("closed tcp: timed out")
}

// What SO_KEEPALIVE and its companions do to a socket, on a living connection.
func TestKeepAliveIsChanged(t *testing.T) {
	s := dialed(t, "mss=1460", withKeepAlive)
	s.outs = nil
	set := func(k KeepAlive) {
		s.c.ChangeKeepAlive(s.now, func(have *KeepAlive) { *have = k })
		s.drain()
	}
	set(KeepAlive{Off: true, Idle: time.Second})
	s.after(time.Hour)
	s.quiet("it is off")
	set(KeepAlive{Idle: 2 * time.Hour})
	s.after(time.Hour - time.Millisecond)
	s.quiet("2 h of silence have not passed")
	s.after(time.Millisecond)
	s.want("A seq=0 len=0", "a probe")
	s.after(75 * time.Second)
	s.want("A seq=0 len=0", "another, after the default interval")
	set(KeepAlive{Idle: time.Second, Interval: time.Second, Count: 1})
	s.after(time.Second)
	s.want("A seq=0 len=0", "the silence has lasted for long enough")
	s.want("RA seq=1", "which was the only try")
}

func TestKeepAliveLeavesDataToRetransmission(t *testing.T) {
	s := dialed(t, "mss=1460", withKeepAlive, func(c *Config) { c.Retries = 100 })
	s.send(10)
	s.after(time.Minute)
	require.Zero(t, s.c.Stats().KeepAlives)
	require.Equal(t, Established, s.c.State())
}

// "Such a segment generally contains SEG.SEQ = SND.NXT-1" (section 3.8.4), where "no sent data is outstanding": what is a keep-alive
// tells the peer so. Any older number has to be answered as well.
func TestAProbeOnDemand(t *testing.T) {
	s := dialed(t, "mss=1460 ws=3", func(c *Config) { c.NoDelay = false })
	probe := func(want, why string) {
		s.outs = nil
		s.c.KeepAlive(s.now)
		s.drain()
		s.want(want, why)
	}
	probe("A seq=0 len=0", "nothing has been sent")
	s.send(2000)
	probe("A seq=-1 len=0", "something is in flight, and the rest waits for Nagle's algorithm")
	s.peer("A seq=1 ack=1461")
	probe("A seq=1459 len=0", "the rest is in flight")
	s.peer("A seq=1 ack=2001")
	probe("A seq=2000 len=0", "nothing is")
	s.close()
	probe("A seq=1999 len=0", "the FIN is")
}

func TestUserTimeout(t *testing.T) {
	s := dialed(t, "mss=1460", func(c *Config) { c.UserTimeout = 20 * time.Second })
	s.after(time.Hour)
	require.Equal(t, Established, s.c.State(), "nothing waits for an acknowledgment")
	s.send(100)
	s.after(15 * time.Second)
	s.peer("A seq=1 ack=51")
	s.after(19 * time.Second)
	require.Equal(t, Established, s.c.State(), "something was acknowledged")
	s.after(time.Second)
	require.Equal(t, Closed, s.c.State(), "RFC 5482: data is not acknowledged for 20 s")
	require.Contains(t, s.events, "closed tcp: timed out")
}

func TestRetransmissionsEnd(t *testing.T) {
	s := dialed(t, "mss=1460", func(c *Config) { c.Retries = 5 })
	s.send(100)
	s.after(10 * time.Minute)
	require.Equal(t, Closed, s.c.State())
	require.Equal(t, []string{"stuck 1", "stuck 2", "stuck 3", "stuck 4", "stuck 5", "closed tcp: timed out"}, s.events)
	s.want("A seq=1 len=100", "the original")
	for s.outs[0].Flags.Has(0x10) && len(s.outs) > 1 {
		s.want("A seq=1 len=100", "a retransmission")
	}
	s.want("RA seq=101", "in case that only the other direction is dead")
}

func TestDefaultRetriesLastLongEnough(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.send(100)
	s.after(100 * time.Second)
	require.Equal(t, Established, s.c.State(), "section 3.8.3: R2 corresponds to at least 100 s")
}

// The unanswered FIN is retransmitted and given up like data.
func TestAFINThatNobodyAnswers(t *testing.T) {
	s := dialed(t, "mss=1460", func(c *Config) { c.Retries = 3 })
	s.close()
	s.after(10 * time.Minute)
	require.Equal(t, Closed, s.c.State())
}

// The peer answers a probe and drops it, for its sequence number is old (section 3.10.7.4): what it would acknowledge is to be
// acknowledged still, at once or when the delay is over.
func TestAProbeAcknowledgesNothing(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.outs = nil
	s.c.KeepAlive(s.now)
	s.peer("A seq=1 len=1000 ack=1")
	s.want("A seq=0 len=0", "the probe")
	s.want("A seq=1 len=0 ack=1001", "the ACK that is owed")

	next := 1001
	for s.c.ack.quick > 0 {
		s.peer(fmt.Sprintf("A seq=%d len=1000 ack=1", next))
		next += 1000
	}
	s.outs = nil
	s.peer(fmt.Sprintf("A seq=%d len=1000 ack=1", next))
	s.c.KeepAlive(s.now)
	s.drain()
	s.want("A seq=0 len=0", "the probe")
	s.quiet("the ACK waits for company")
	s.after(delayedAck)
	s.want(fmt.Sprintf("A seq=1 len=0 ack=%d", next+1000), "which has not come")
}

// Nor does it open the window: an ACK follows that does.
func TestAProbeOpensNoWindow(t *testing.T) {
	s := dialed(t, "mss=1460")
	s.keep = true
	for _, from := range []int{1, 1001, 2001} {
		s.peer(fmt.Sprintf("A seq=%d len=1000 ack=1", from))
	}
	s.outs = nil
	s.c.KeepAlive(s.now)
	s.drain()
	s.want("A seq=0 len=0", "the probe")
	s.quiet("nothing is new")
	s.c.Consumed(s.now, 3000)
	s.drain()
	s.quiet("too little for an update of its own")
	s.c.KeepAlive(s.now)
	s.drain()
	s.want("A seq=0 len=0 win=65535", "the probe")
	s.want("A seq=1 len=0 win=65535", "the window")
	s.quiet("once")
}

// What was acknowledged leaves again, an octet of it, and the peer answers that at once. That it reports a duplicate is no news.
func TestTheNewestOctetIsRepeated(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	require.False(t, s.c.Repeat(s.now), "nothing was acknowledged")
	s.send(3000)
	s.outs = nil
	s.peer("A seq=1 ack=1461")
	require.True(t, s.c.Repeat(s.now))
	s.drain()
	s.want("A seq=1460 len=1", "what precedes SND.UNA, while the rest is under way")
	before := s.c.Stats()
	s.peer("A seq=1 ack=1461 sack=1460-1461")
	s.quiet("nothing is lost")
	require.Equal(t, before.FastRetran, s.c.Stats().FastRetran)
	s.peer("A seq=1 ack=3001")
	require.True(t, s.c.Repeat(s.now))
	s.drain()
	s.want("A seq=3000 len=1", "the last one")
	s.quiet("once")
	require.EqualValues(t, 2, s.c.Stats().OctetsRetrans)
	s.close()
	s.want("FA seq=3001", "the FIN")
	require.True(t, s.c.Repeat(s.now))
	s.peer("A seq=1 ack=3002")
	s.quiet("a FIN is no octet")
	require.False(t, s.c.Repeat(s.now), "nor later")
}

// That the octet came twice says nothing of a retransmission before it.
func TestTheRepeatedOctetWasNotRetransmittedInVain(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.send(1)
	s.after(300 * time.Millisecond)
	s.outs = nil
	s.send(10)
	s.peer("A seq=1 ack=2")
	require.True(t, s.c.Repeat(s.now))
	s.drain()
	s.peer("A seq=1 ack=2 sack=1-2")
	st := s.c.Stats()
	require.EqualValues(t, 1, st.Timeouts)
	require.EqualValues(t, 1, st.DSACKDups)
	require.Zero(t, st.SpuriousFrDetected)
}

// The other side of it: whose octet comes again, who answers at once.
func TestARepeatedOctetIsAnswered(t *testing.T) {
	s := dialed(t, "mss=1460 sackok")
	s.peer("A seq=1 len=1000 ack=1")
	s.after(delayedAck)
	s.outs = nil
	for range 20 {
		s.peer("A seq=1000 len=1 ack=1")
		s.want("A seq=1 len=0 ack=1001", "at once, each time")
		s.quiet("once")
	}
}
