package mptcp

import (
	"net"

	"golang.org/x/sys/unix"
)

// isMPTCPSocket says that nc was opened with IPPROTO_MPTCP, whatever it carries now.
func isMPTCPSocket(nc net.Conn) (yes bool) {
	raw, err := rawConn(nc)
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		protocol, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PROTOCOL)
		yes = err == nil && protocol == unix.IPPROTO_MPTCP
	})
	return yes
}
