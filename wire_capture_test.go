package mptcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// What is captured are whole packets with right checksums, of the size that the wire sees.
func TestCaptureOfSegments(t *testing.T) {
	epoch := time.Unix(1700000000, 5)
	type shot struct {
		at   time.Time
		sent bool
		packet.Segment
	}
	var got []shot
	see := capturing(epoch, func(at time.Time, sent bool, b []byte) {
		s, err := packet.Parse(append([]byte(nil), b...))
		require.NoError(t, err)
		got = append(got, shot{at, sent, s})
	})
	s := packet.Segment{
		Src: netip.MustParseAddrPort("10.0.0.1:1000"), Dst: netip.MustParseAddrPort("10.0.0.2:80"), Seq: 1<<32 - 2, Ack: 9,
		Flags: packet.ACK | packet.PSH, Window: 77, TTL: 3, Options: []byte{1, 1, 1, 1}, Payload: []byte("abcde"), SegSize: 3,
	}
	s.AddPiece([]byte("fgh"))
	require.True(t, see(time.Second, true, &s))
	s.SegSize = 0
	require.True(t, see(2*time.Second, false, &s))
	s.Dst = netip.MustParseAddrPort("[fd00::1]:80")
	require.True(t, see(0, true, &s), "what cannot be a packet is not shown, and passes")

	require.Len(t, got, 4)
	for i, want := range []struct {
		seq     uint32
		payload string
		flags   packet.Flags
	}{{1<<32 - 2, "abc", packet.ACK}, {1, "def", packet.ACK}, {4, "gh", packet.ACK | packet.PSH}, {1<<32 - 2, "abcdefgh", packet.ACK | packet.PSH}} {
		require.Equal(t, want.seq, got[i].Seq)
		require.Equal(t, want.payload, string(got[i].Payload))
		require.Equal(t, want.flags, got[i].Flags)
		require.Equal(t, uint8(3), got[i].TTL)
		require.Equal(t, i < 3, got[i].sent)
	}
	require.Equal(t, epoch.Add(time.Second), got[0].at)
	require.Equal(t, epoch.Add(2*time.Second), got[3].at)
}
