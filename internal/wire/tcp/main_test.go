package tcp

import (
	"fmt"
	"os"
	"testing"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// TestMain fails when a test has left payload behind that nobody released.
func TestMain(m *testing.M) {
	code := m.Run()
	if n := pool.Outstanding(); n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d chunks were never released\n", n)
		code = 1
	}
	os.Exit(code)
}
