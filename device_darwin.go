package mptcp

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// boundDevice is the interface that the socket is bound to, or "".
func boundDevice(c syscall.RawConn) (name string) {
	_ = c.Control(func(fd uintptr) {
		index, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BOUND_IF)
		if err != nil || index == 0 {
			index, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_BOUND_IF)
		}
		if err != nil || index == 0 {
			return
		}
		if ifi, err := net.InterfaceByIndex(index); err == nil {
			name = ifi.Name
		}
	})
	return name
}
