package rawip

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/wire/link"
)

// shield keeps the kernel silent on a port: see the package's comment.
type shield struct {
	fd   int
	addr netip.AddrPort
	span span // what the filter lets through for it: its port, or the block that others will be taken from
	weak bool // no MD5 signatures in this kernel: a peer that sends with TTL 255 gets an answer
}

// tcpMD5Sig is the length of struct tcp_md5sig: a sockaddr_storage of 128 bytes, flags, prefix length, key
// length, interface index, key.
const tcpMD5Sig = 216

// raiseShield opens a shield at addr, a link-local one on an interface; port 0 takes a free one within the given span,
// if that is not zero. All options are set before it listens, so that there is no moment at which it would answer.
func raiseShield(addr netip.AddrPort, ifIndex int, within span) (s shield, err error) {
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return shield{}, fmt.Errorf("rawip: shield: %w", err)
	}
	s = shield{fd: fd, addr: addr}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err = s.arm(family); err != nil {
		return s, fmt.Errorf("rawip: shield: %w", err)
	}
	block := false
	if addr.Port() == 0 {
		// Linux before 6.3 knows no such range. Each port stands for itself there.
		block = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_LOCAL_PORT_RANGE, int(within.last)<<16|int(within.first)) == nil
	} else {
		// A connection of the kernel's that lingers in TIME-WAIT on this port does not hinder; a listener does.
		// A port that is chosen for us must be free of everything.
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return s, fmt.Errorf("rawip: shield: %w", err)
		}
	}
	if err = unix.Bind(fd, sockaddr(addr, ifIndex)); err == nil {
		err = unix.Listen(fd, 1)
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE) && addr.Port() != 0:
		return s, fmt.Errorf("rawip: %v: %w: %w", addr, link.ErrInUse, err)
	case errors.Is(err, unix.EADDRINUSE):
		return s, fmt.Errorf("rawip: %v: %w: %w", addr, link.ErrNoPort, err)
	case err != nil:
		return s, fmt.Errorf("rawip: port %v: %w", addr, err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return s, fmt.Errorf("rawip: shield: %w", err)
	}
	switch n := name.(type) {
	case *unix.SockaddrInet4:
		s.addr = netip.AddrPortFrom(addr.Addr(), uint16(n.Port))
	case *unix.SockaddrInet6:
		s.addr = netip.AddrPortFrom(addr.Addr(), uint16(n.Port))
	}
	if s.span = (span{s.addr.Port(), s.addr.Port()}); block {
		s.span = blockOf(s.addr.Port())
	}
	return s, nil
}

// arm makes the socket drop everything.
func (s *shield) arm(family int) error {
	var md5 [tcpMD5Sig]byte
	const prefixFlag, keyLen = 1, 16
	binary.NativeEndian.PutUint16(md5[:], uint16(family))
	md5[128] = prefixFlag // with prefix length 0: everybody
	binary.NativeEndian.PutUint16(md5[130:], keyLen)
	rand.Read(md5[136 : 136+keyLen])
	s.weak = unix.SetsockoptString(s.fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG_EXT, string(md5[:])) != nil

	var err error
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
		if err == nil {
			err = unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT, 255)
		}
	} else {
		err = unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_MINTTL, 255)
	}
	if err != nil {
		return err
	}
	// A filter that drops everything would do alone, but newer kernels want CAP_NET_ADMIN for it.
	if attach(s.fd, []bpf.Instruction{bpf.RetConstant{Val: 0}}) == nil {
		s.weak = false
	}
	return nil
}

func (s *shield) close() { unix.Close(s.fd) }

func sockaddr(a netip.AddrPort, ifIndex int) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: uint32(ifIndex)}
}
