package nettest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// patternPeriod is prime, so that no displacement by a round number of bytes goes unnoticed.
const patternPeriod = 1<<20 - 3

// noise is what every sender sends, over and over; the part at its end lets a chunk begin anywhere.
var noise = func() []byte {
	b := make([]byte, patternPeriod, patternPeriod+chunk)
	rand.NewChaCha8([32]byte{'m', 'p', 't', 'c', 'p'}).Read(b)
	return append(b, b[:chunk]...)
}()

const chunk = 64 * kib

// pattern returns the next bytes from an offset in the stream on.
func pattern(offset int64) []byte {
	i := offset % patternPeriod
	return noise[i : i+chunk]
}

// patternSum is the SHA-256 of the stream's first n bytes.
func patternSum(n int) string {
	h := sha256.New()
	for i := 0; i < n; i += chunk {
		h.Write(pattern(int64(i))[:min(chunk, n-i)])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// differs returns where b is not what belongs at the offset, -1: nowhere.
func differs(offset int64, b []byte) int {
	for i := 0; i < len(b); i += chunk {
		part := b[i:min(i+chunk, len(b))]
		want := pattern(offset + int64(i))[:len(part)]
		if !bytes.Equal(part, want) {
			for k := range part {
				if part[k] != want[k] {
					return i + k
				}
			}
		}
	}
	return -1
}

func TestPatternTellsWhatIsWrong(t *testing.T) {
	var b []byte
	for len(b) < 3*patternPeriod {
		b = append(b, pattern(int64(len(b)))...)
	}
	require.Equal(t, -1, differs(0, b))
	require.Equal(t, -1, differs(12345, b[12345:]))
	require.GreaterOrEqual(t, differs(0, b[chunk:]), 0, "displaced")
	b[2*mib]++
	require.Equal(t, 2*mib, differs(0, b))
	require.Equal(t, 2*mib-99, differs(99, b[99:]))
}
