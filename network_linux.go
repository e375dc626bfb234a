package mptcp

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindInterface makes the socket leave through name. Since Linux 5.7 this needs no privilege.
func bindInterface(c syscall.RawConn, _, name string) error {
	return onSocket(c, func(fd uintptr) error {
		return os.NewSyscallError("setsockopt SO_BINDTODEVICE", unix.BindToDevice(int(fd), name))
	})
}

// bindWithoutPort leaves the choice of the port to connect, which knows the whole four-tuple: a port
// chosen by bind is taken for every destination.
func bindWithoutPort(c syscall.RawConn) error {
	return onSocket(c, func(fd uintptr) error {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // a kernel before 4.2 binds as ever
		return nil
	})
}
