// Package leaks ends test binaries: a buffer that no test gave back, and a goroutine that outlived them, is a failure.
package leaks

import (
	"fmt"
	"os"
	"testing"

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
	if n := pool.Outstanding(); n != 0 {
		fmt.Println(n, "chunks were never released")
		return 1
	}
	if err := goleak.Find(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}
