package mptcp

import (
	"math/bits"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"
)

// Socket options of ws2ipdef.h: the index of the interface that the socket sends through.
const (
	ipUnicastIf   = 31
	ipv6UnicastIf = 31
)

// bindInterface makes the socket leave through name. IP_UNICAST_IF takes the index in network byte
// order, IPV6_UNICAST_IF in the host's.
func bindInterface(c syscall.RawConn, network, name string) error {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	return onSocket(c, func(fd uintptr) error {
		h := windows.Handle(fd)
		if strings.HasSuffix(network, "6") {
			return os.NewSyscallError("setsockopt IPV6_UNICAST_IF", windows.SetsockoptInt(h, windows.IPPROTO_IPV6, ipv6UnicastIf, ifi.Index))
		}
		index := int(int32(bits.ReverseBytes32(uint32(ifi.Index))))
		return os.NewSyscallError("setsockopt IP_UNICAST_IF", windows.SetsockoptInt(h, windows.IPPROTO_IP, ipUnicastIf, index))
	})
}

func bindWithoutPort(syscall.RawConn) error { return nil }
