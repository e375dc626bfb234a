package options

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unhex reads hex with spaces for the eye.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

// example is an encoding, what it means, and how it reads in a log.
type example struct {
	name string
	hex  string
	want Option
	text string
}

// checkExamples decodes and encodes each example, and shows that encoding appends.
func checkExamples(t *testing.T, examples []example) {
	t.Helper()
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			b := unhex(t, e.hex)
			r, rest, err := Next(b)
			require.NoError(t, err)
			require.Empty(t, rest)
			require.Equal(t, b, r.Bytes())
			got, err := Decode(r)
			require.NoError(t, err)
			require.Equal(t, e.want, got)
			require.Equal(t, len(b), e.want.Len())
			require.Equal(t, append([]byte("before"), b...), e.want.Append([]byte("before")))
			require.Equal(t, e.text, e.want.String())
		})
	}
}

// checkLengths fills every length that an option can have behind the same first bytes and wants all
// but the good ones refused.
func checkLengths(t *testing.T, first []byte, good ...int) {
	t.Helper()
	for n := len(first); n <= MaxLen; n++ {
		b := make([]byte, n)
		copy(b, first)
		b[1] = uint8(n)
		o, err := Decode(b)
		if slices.Contains(good, n) {
			require.NoError(t, err, "length %d", n)
			require.Equal(t, n, o.Len())
			continue
		}
		require.Nil(t, o)
		requireParseError(t, err)
	}
}

func requireParseError(t testing.TB, err error) *ParseError {
	t.Helper()
	var p *ParseError
	require.ErrorAs(t, err, &p)
	require.NotEmpty(t, p.Problem)
	require.NotEmpty(t, p.Error())
	return p
}
