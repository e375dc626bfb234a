//go:build !linux || mptcp_portable

package stream

import (
	"net"

	"github.com/mptcp-go/mptcp/internal/driver"
)

// rawSocket is nil: nothing here can be tried without blocking.
func rawSocket(net.Conn) driver.Raw { return nil }
