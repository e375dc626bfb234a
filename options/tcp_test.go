package options

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTCPOptionForms(t *testing.T) {
	checkExamples(t, []example{
		{"EOL", "00", EOL{}, "EOL"},
		{"NOP", "01", NOP{}, "NOP"},
		{"MSS", "020405b4", MSS{Size: 1460}, "MSS 1460"},
		{"window scale", "030307", WindowScale{Shift: 7}, "WSCALE 7"},
		{"SACK permitted", "0402", SACKPermitted{}, "SACK_PERMITTED"},
		{"SACK, one block", "050a 00000001 00000002", SACK{N: 1, Blocks: [4]SACKBlock{{1, 2}}}, "SACK 1-2"},
		{"SACK, four blocks", "0522 00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008",
			SACK{N: 4, Blocks: [4]SACKBlock{{1, 2}, {3, 4}, {5, 6}, {7, 8}}}, "SACK 1-2 3-4 5-6 7-8"},
		{"timestamps", "080a 01020304 05060708", Timestamps{Value: 0x01020304, Echo: 0x05060708}, "TS val=16909060 ecr=84281096"},
	})
}

func TestTCPOptionLengths(t *testing.T) {
	checkLengths(t, []byte{KindMSS, 0}, 4)
	checkLengths(t, []byte{KindWindowScale, 0}, 3)
	checkLengths(t, []byte{KindSACKPermitted, 0}, 2)
	checkLengths(t, []byte{KindSACK, 0}, 10, 18, 26, 34)
	checkLengths(t, []byte{KindTimestamps, 0}, 10)
}

func TestTypedTCPParsersWantTheirKind(t *testing.T) {
	_, err := ParseMSS(Raw{KindWindowScale, 4, 0, 0})
	requireParseError(t, err)
	_, err = ParseWindowScale(nil)
	requireParseError(t, err)
	_, err = ParseSACK(nil)
	requireParseError(t, err)
	_, err = ParseTimestamps(Raw{KindTimestamps, 9, 0, 0, 0, 0, 0, 0, 0, 0})
	requireParseError(t, err)
	require.Equal(t, 34, SACK{N: 255}.Len())
}
