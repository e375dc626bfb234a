package options

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRemoveAddrForms(t *testing.T) {
	full := RemoveAddr{N: 37}
	hex := "1e2840"
	for i := range full.IDs {
		full.IDs[i] = 0xab
		hex += "ab"
	}
	checkExamples(t, []example{
		{"one", "1e044005", RemoveAddr{N: 1, IDs: [37]uint8{5}}, "REMOVE_ADDR ids=[5]"},
		{"id 0", "1e044000", RemoveAddr{N: 1}, "REMOVE_ADDR ids=[0]"},
		{"two", "1e05400708", RemoveAddr{N: 2, IDs: [37]uint8{7, 8}}, "REMOVE_ADDR ids=[7 8]"},
		{"as many as fit", hex, full, full.String()},
	})
}

func TestRemoveAddrLengths(t *testing.T) {
	var good []int
	for n := 4; n <= MaxLen; n++ {
		good = append(good, n)
	}
	checkLengths(t, []byte{Kind, 0, 0x40}, good...)
}

func TestRemoveAddrCountIsBounded(t *testing.T) {
	a := RemoveAddr{N: 255}
	require.Len(t, a.List(), 37)
	require.Equal(t, MaxLen, a.Len())
	require.Len(t, a.Append(nil), MaxLen)
}
