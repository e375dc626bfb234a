package mptcp

import (
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindInterface makes the socket leave through name.
func bindInterface(c syscall.RawConn, network, name string) error {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	return onSocket(c, func(fd uintptr) error {
		if strings.HasSuffix(network, "6") {
			return os.NewSyscallError("setsockopt IPV6_BOUND_IF", unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_BOUND_IF, ifi.Index))
		}
		return os.NewSyscallError("setsockopt IP_BOUND_IF", unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BOUND_IF, ifi.Index))
	})
}

func bindWithoutPort(syscall.RawConn) error { return nil }
