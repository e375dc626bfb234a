package mptcp

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// boundDevice is the interface that the socket is bound to, or "".
func boundDevice(c syscall.RawConn) (name string) {
	_ = c.Control(func(fd uintptr) {
		name, _ = unix.GetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE)
	})
	return name
}

// tcpClosed is TCP_CLOSE of the kernel's tcp_states.h.
const tcpClosed = 7

// unacked is the number of bytes that the peer's TCP has not acknowledged (SIOCOUTQ); an error when the
// connection is gone, since nothing counts as acknowledged then.
func unacked(c syscall.RawConn) (n int, err error) {
	cerr := c.Control(func(fd uintptr) {
		if n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err != nil {
			return
		}
		if info, ierr := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); ierr == nil && info.State == tcpClosed {
			err = unix.ECONNRESET
		}
	})
	if cerr != nil {
		err = cerr
	}
	return n, err
}
