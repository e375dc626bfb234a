// Package leaks ends test binaries: a buffer that no test gave back, and a goroutine that outlived them, is a failure.
package leaks

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// Main is for a TestMain that has nothing else to do.
func Main(m *testing.M) { os.Exit(after(m.Run())) }

// after turns the success of the tests, whose exit code it takes, into a failure where something leaks.
func after(code int) int {
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil { // it waits for those that are ending, which give back what they hold
		fmt.Println(err)
		return 1
	}
	if n := pool.Outstanding(); n != 0 {
		fmt.Println(n, "chunks were never released")
		return 1
	}
	return 0
}

// Settle waits until the goroutines of earlier tests have given back their buffers, for a test that counts its own: a
// connection is over a moment before its last reader has returned.
func Settle(t testing.TB) {
	require.Eventually(t, func() bool { return pool.Outstanding() == 0 }, 20*time.Second, time.Millisecond, "chunks that nobody gives back")
}
