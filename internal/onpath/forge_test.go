package onpath

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

func TestForgedSegments(t *testing.T) {
	data := made(t, Forward, packet.Segment{Seq: 100, Ack: 500, Flags: packet.ACK | packet.PSH, Window: 77, Payload: []byte("hello"), Options: []byte{30, 4, 0, 0}})
	for _, tc := range []struct {
		e     Element
		d     Dir
		seq   uint32
		flags packet.Flags
	}{
		{Reset(IsData, false, 0), Forward, 105, packet.RST | packet.ACK},
		{Reset(IsData, false, 1<<20), Forward, 105 + 1<<20, packet.RST | packet.ACK},
		{Reset(IsData, true, 0), Back, 500, packet.RST | packet.ACK},
		{Finish(IsData, false), Forward, 105, packet.FIN | packet.ACK},
		{ForgeOption(IsData, true, []byte{30, 4, 0x40, 9}), Back, 500, packet.ACK},
	} {
		out := through(tc.e, []travelling{data})
		require.Len(t, out, 2)
		require.Equal(t, data, out[0])
		s := seg(t, out[1])
		require.Equal(t, tc.d, out[1].d)
		require.Equal(t, tc.seq, s.Seq)
		require.Equal(t, tc.flags, s.Flags)
		require.Empty(t, s.Payload)
		require.True(t, rightSums(out[1].p))
		if tc.d == Back {
			require.Equal(t, far, s.Src)
			require.EqualValues(t, 105, s.Ack)
			continue
		}
		require.Equal(t, near, s.Src)
		require.EqualValues(t, 500, s.Ack)
	}
	pure := made(t, Forward, packet.Segment{Flags: packet.ACK})
	require.Equal(t, []travelling{pure}, through(Reset(IsData, false, 0), []travelling{pure}))
}

// A forged acknowledgment has the timestamps without which it would be dropped, as its sender would have them.
func TestForgedOptionsComeWithTimestamps(t *testing.T) {
	stamp := options.Timestamps{Value: 7, Echo: 9}
	data := made(t, Forward, packet.Segment{Seq: 100, Ack: 500, Flags: packet.ACK, Payload: []byte("hello"), Options: stamp.Append([]byte{1, 1})})
	for against, want := range map[bool]options.Timestamps{false: stamp, true: {Value: 9, Echo: 7}} {
		out := through(ForgeOption(IsData, against, []byte{30, 4, 0x40, 9}), []travelling{data})
		require.Len(t, out, 2)
		require.Equal(t, append(want.Append([]byte{1, 1}), 30, 4, 0x40, 9), seg(t, out[1]).Options)
	}
}

func TestAnswerDoesNotAnswerResets(t *testing.T) {
	rst := made(t, Forward, packet.Segment{Flags: packet.RST})
	require.Empty(t, through(Answer(Any), []travelling{rst}))
}
