package options

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUnknownIsKeptRaw(t *testing.T) {
	cookie := Unknown{N: 6, Raw: [40]byte{34, 6, 1, 2, 3, 4}}
	future := Unknown{N: 5, Raw: [40]byte{30, 5, 0x9a, 1, 2}}
	checkExamples(t, []example{
		{"fast open cookie", "2206 01020304", cookie, "kind 34 len=6"},
		{"subtype without a meaning", "1e059a0102", future, "subtype 0x9 len=5"},
	})
}

func TestUnknownNeedsAWholeOption(t *testing.T) {
	for _, r := range []Raw{nil, {34}, {34, 3}, {34, 2, 0}, {34, 0}} {
		_, err := ParseUnknown(r)
		requireParseError(t, err)
	}
	require.Zero(t, Unknown{}.Len())
	require.Equal(t, MaxLen, Unknown{N: 255}.Len())
}
