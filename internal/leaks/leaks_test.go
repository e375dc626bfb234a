package leaks

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
)

func TestMain(m *testing.M) { Main(m) }

// The check finds what it is for.
func TestCanary(t *testing.T) {
	require.Equal(t, 2, after(2), "tests that have failed stay failed")
	chunk := pool.Get(1)
	require.Equal(t, 1, after(0), "a chunk")
	chunk.Release()

	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		<-stop
		close(done)
	}()
	require.Equal(t, 1, after(0), "a goroutine")
	close(stop)
	<-done
}
