package rawip

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const most = 60000

// prove brings a flow to where super-segments flow.
func prove(t require.TestingT, s *super, seq uint32) {
	require.Equal(t, probeSize, s.allowed(most))
	s.sent(seq, 5000)
	require.True(t, s.acked(seq+5000))
	require.Equal(t, most, s.allowed(most))
}

// One probe is on its way; when the peer has acknowledged all of it, the rest follows.
func TestSuperProbe(t *testing.T) {
	var s super
	require.Equal(t, probeSize, s.allowed(most))
	require.Equal(t, 100, s.allowed(100))
	s.sent(1000, 5000)
	require.Zero(t, s.allowed(most))
	require.False(t, s.acked(5999))
	require.Zero(t, s.allowed(most), "all but one byte")
	s.sent(6000, 2000) // of the same batch
	require.False(t, s.acked(7999))
	require.Zero(t, s.allowed(most))
	require.True(t, s.acked(8000))
	require.Equal(t, most, s.allowed(most))
	require.False(t, s.acked(9000), "once")
}

// A probe of which a part was lost proves nothing, even if all of it is acknowledged in the end: what was sent
// again has gone the other way.
func TestSuperLostProbe(t *testing.T) {
	var s super
	for i := range maxFailures {
		require.Equal(t, probeSize, s.allowed(most))
		s.sent(1000, 5000)
		require.False(t, s.lost(999, false), "before it")
		require.False(t, s.lost(6000, false), "behind it")
		require.Zero(t, s.allowed(most))
		require.Equal(t, i == maxFailures-1, s.lost(5999, false))
		require.False(t, s.acked(6000))
	}
	require.Zero(t, s.allowed(most))
	s.sent(1, 2)
	require.False(t, s.acked(100000))
	require.False(t, s.lost(1, true))
	require.Zero(t, s.allowed(most), "for good")
}

// The timer counts against a probe wherever it fires.
func TestSuperProbeTimeout(t *testing.T) {
	var s super
	s.sent(1000, 5000)
	require.False(t, s.lost(20, true))
	require.Equal(t, probeSize, s.allowed(most))
}

// What has worked is left after two timeouts in a row, and tried again when the path is alive; losses that
// ACKs tell of are the network's.
func TestSuperTimeouts(t *testing.T) {
	var s super
	prove(t, &s, 0xFFFFFF00) // around the end of the sequence space
	for i := range uint32(9) {
		require.False(t, s.lost(0x2000, false))
		require.False(t, s.lost(0x2000, true))
		require.False(t, s.acked(0x2001+i), "progress between the timeouts")
	}
	require.Equal(t, most, s.allowed(most))
	require.False(t, s.lost(0x2009, true))
	require.False(t, s.acked(0x2009), "a duplicate is no progress")
	require.False(t, s.lost(0x2009, true))
	require.Zero(t, s.allowed(most))
	require.False(t, s.lost(0x2009, true), "more of them change nothing")
	require.False(t, s.acked(0x3000))
	prove(t, &s, 0x3000)
}

// A firewall that lets the probe through and then nothing is given up after three times; outages of a path
// that has carried megabytes between them never count together.
func TestSuperFailuresInARow(t *testing.T) {
	outage := func(s *super, seq uint32) (gone bool) {
		s.lost(seq, true)
		gone = s.lost(seq, true)
		s.acked(seq + 1)
		return gone
	}
	var s super
	for i := range maxFailures {
		from := uint32(i) * trusted
		prove(t, &s, from)
		s.acked(from + 5000 + trusted - 3)
		require.Equal(t, i == maxFailures-1, outage(&s, from+5000+trusted-2))
	}
	require.Zero(t, s.allowed(most))

	s = super{}
	for i := range uint32(20) {
		prove(t, &s, i<<24)
		require.False(t, s.acked(i<<24+5000+trusted))
		require.False(t, outage(&s, i<<24+5001+trusted))
	}
}

// Whatever happens in whatever order: nothing beyond a probe before an acknowledged one, never two probes at a
// time, and none after the flow has given up.
func TestSuperInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s super
		proven, gone, out := false, false, false
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			seq := rapid.Uint32Range(0, 40000).Draw(t, "seq")
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				if n := s.allowed(most); n > 0 {
					seq = max(seq, s.una)
					require.False(t, gone || out && !proven)
					require.True(t, proven || n <= probeSize)
					s.sent(seq, n)
					out = true
				}
			case 1:
				if s.acked(seq) {
					require.True(t, out && !proven && !gone)
					proven, out = true, false
				}
			default:
				was := s.state
				if s.lost(seq, rapid.Bool().Draw(t, "timeout")) {
					require.False(t, gone)
					gone = true
				}
				if was != s.state {
					proven, out = false, false
				}
			}
		}
	})
}
