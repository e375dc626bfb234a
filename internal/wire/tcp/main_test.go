package tcp

import (
	"testing"

	"github.com/mptcp-go/mptcp/internal/leaks"
)

// TestMain fails when a test has left payload behind that nobody released.
func TestMain(m *testing.M) { leaks.Main(m) }
