package tcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBucket(t *testing.T) {
	b := NewBucket(100*time.Millisecond, 5)
	taken := func(now time.Duration) (n int) {
		for b.Take(now) {
			n++
		}
		return n
	}
	require.Equal(t, 5, taken(0))
	require.Equal(t, 0, taken(99*time.Millisecond))
	require.Equal(t, 1, taken(100*time.Millisecond), "one more, not all of them")
	require.Equal(t, 2, taken(399*time.Millisecond-time.Nanosecond))
	require.Equal(t, 1, taken(400*time.Millisecond), "what is left of an interval counts for the next token")
	require.Equal(t, 5, taken(1000*time.Hour))
	require.Equal(t, 0, taken(time.Hour), "time that goes back brings none")
}
