package rawip

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const most = 60000

// One probe is on its way; when the peer has acknowledged all of it, the rest follows.
func TestSuperProbe(t *testing.T) {
	var s super
	require.Equal(t, probeSize, s.allowed(most))
	require.Equal(t, 100, s.allowed(100))
	s.sent(1000, 5000)
	require.Zero(t, s.allowed(most))
	require.False(t, s.acked(5999))
	require.Zero(t, s.allowed(most), "all but one byte")
	require.True(t, s.acked(6000))
	require.Equal(t, most, s.allowed(most))
	require.False(t, s.acked(7000), "once")
}

// A probe of which a part was lost proves nothing, even if all of it is acknowledged in the end: what was sent
// again has gone the other way.
func TestSuperLostProbe(t *testing.T) {
	var s super
	for i := range maxProbes {
		require.Equal(t, probeSize, s.allowed(most))
		s.sent(1000, 5000)
		require.False(t, s.lost(999, false), "before it")
		require.False(t, s.lost(6000, false), "behind it")
		require.Zero(t, s.allowed(most))
		require.Equal(t, i == maxProbes-1, s.lost(5999, false))
		require.False(t, s.acked(6000))
	}
	require.Zero(t, s.allowed(most))
	s.sent(1, 2)
	require.False(t, s.acked(100000))
	require.Zero(t, s.allowed(most), "for good")
}

// The timer counts against a probe wherever it fires.
func TestSuperProbeTimeout(t *testing.T) {
	var s super
	s.sent(1000, 5000)
	require.False(t, s.lost(20, true))
	require.Equal(t, probeSize, s.allowed(most))
}

// What has worked is left after two timeouts in a row; losses that ACKs tell of are the network's.
func TestSuperTimeouts(t *testing.T) {
	var s super
	s.sent(0xFFFFFF00, 0x200)
	require.False(t, s.acked(0xFFFFFFFF))
	require.True(t, s.acked(0x100), "around the end of the sequence space")
	for range 9 {
		require.False(t, s.lost(0x100, false))
		require.False(t, s.lost(0x100, true))
		require.False(t, s.acked(0x101), "progress between the timeouts")
	}
	require.Equal(t, most, s.allowed(most))
	require.False(t, s.lost(0x100, true))
	require.True(t, s.lost(0x100, true))
	require.Zero(t, s.allowed(most))
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
					require.False(t, gone || out && !proven)
					require.True(t, proven || n <= probeSize)
					s.sent(seq, n)
					out = true
				}
			case 1:
				if s.acked(seq) {
					require.True(t, out && !proven && !gone)
					proven = true
				}
			default:
				before := s.state
				if s.lost(seq, rapid.Bool().Draw(t, "timeout")) {
					require.False(t, gone)
					gone = true
				}
				if before == superProbing && s.state != superProbing {
					out = false
				}
			}
		}
	})
}
