package options

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The bytes are those of captures 02, 12 and 40.
func TestMPCapableForms(t *testing.T) {
	const c, s = 0xf203f24def5ba654, 0x711ec960ce6761d7
	checkExamples(t, []example{
		{"SYN", "1e040101", MPCapable{Version: 1, Flags: FlagH}, "MP_CAPABLE v1 flags=0x01 len=4"},
		{"SYN that asks for checksums", "1e040181", MPCapable{Version: 1, Flags: FlagA | FlagH}, "MP_CAPABLE v1 flags=0x81 len=4"},
		{"SYN of a load balancer", "1e040121", MPCapable{Version: 1, Flags: FlagC | FlagH}, "MP_CAPABLE v1 flags=0x21 len=4"},
		{"unassigned flags and versions are kept", "1e040f5e", MPCapable{Version: 15, Flags: 0x5e}, "MP_CAPABLE v15 flags=0x5e len=4"},
		{"SYN/ACK", "1e0c0101 711ec960ce6761d7", MPCapable{Version: 1, Flags: FlagH, HasSender: true, SenderKey: s}, "MP_CAPABLE v1 flags=0x01 len=12"},
		{"SYN of version 0", "1e0c0081 aabbccddeeff0011", MPCapable{Flags: FlagA | FlagH, HasSender: true, SenderKey: 0xaabbccddeeff0011}, "MP_CAPABLE v0 flags=0x81 len=12"},
		{"ACK", "1e140101 f203f24def5ba654 711ec960ce6761d7",
			MPCapable{Version: 1, Flags: FlagH, HasSender: true, SenderKey: c, HasReceiver: true, ReceiverKey: s}, "MP_CAPABLE v1 flags=0x01 len=20"},
		{"ACK with data", "1e160101 f203f24def5ba654 711ec960ce6761d7 0064",
			MPCapable{Version: 1, Flags: FlagH, HasSender: true, SenderKey: c, HasReceiver: true, ReceiverKey: s, HasData: true, DataLen: 100},
			"MP_CAPABLE v1 flags=0x01 len=22 dlen=100"},
		{"ACK with data and checksum", "1e180181 f203f24def5ba654 711ec960ce6761d7 0065 45c1",
			MPCapable{Version: 1, Flags: FlagA | FlagH, HasSender: true, SenderKey: c, HasReceiver: true, ReceiverKey: s, HasData: true, DataLen: 101, HasChecksum: true, Checksum: 0x45c1},
			"MP_CAPABLE v1 flags=0x81 len=24 dlen=101 csum=0x45c1"},
	})
}

func TestMPCapableLengths(t *testing.T) {
	checkLengths(t, []byte{Kind, 0, 0x01, 0x01}, 4, 12, 20, 22, 24)
}

// A log that shows keys gives away the connection.
func TestNoKeyInStrings(t *testing.T) {
	m := MPCapable{HasSender: true, SenderKey: 0x1234567890abcdef, HasReceiver: true, ReceiverKey: 0xfedcba0987654321, HasData: true}
	require.NotContains(t, m.String(), "1234567890abcdef")
	require.NotContains(t, m.String(), "fedcba0987654321")
	require.Equal(t, "MP_FASTCLOSE", Fastclose{ReceiverKey: 0x1234567890abcdef}.String())
}
