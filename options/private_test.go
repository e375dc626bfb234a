package options

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrivateForms(t *testing.T) {
	checkExamples(t, []example{
		{"empty", "1e04f102", Private{Flags: 1, Type: 2}, "PRIVATE type=2 flags=0x1 len=4"},
		{"three bytes", "1e07ff03 aabbcc", Private{Flags: 15, Type: 3, N: 3, Data: [36]byte{0xaa, 0xbb, 0xcc}}, "PRIVATE type=3 flags=0xf len=7"},
	})
}

func TestPrivateLengths(t *testing.T) {
	var good []int
	for n := 4; n <= MaxLen; n++ {
		good = append(good, n)
	}
	checkLengths(t, []byte{Kind, 0, 0xf0}, good...)
}

func TestPrivateIsBounded(t *testing.T) {
	p := Private{Flags: 0xff, N: 255}
	require.Len(t, p.Payload(), 36)
	b := p.Append(nil)
	require.Len(t, b, MaxLen)
	require.Equal(t, uint8(0xff), b[2])
}
