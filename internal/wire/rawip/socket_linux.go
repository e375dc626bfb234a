package rawip

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Socket buffers in bytes, as far as the host's limits allow (net.core.rmem_max, wmem_max). The default loses
// packets at a window of a megabyte already, since a small segment counts with its whole buffer.
const (
	receiveBuffer = 8 << 20
	sendBuffer    = 4 << 20
)

// ErrPermission tells what to do about a missing privilege; it is what Available and Open return then, and
// it wraps os.ErrPermission.
var ErrPermission = fmt.Errorf("rawip: raw sockets need CAP_NET_RAW: run \"setcap cap_net_raw+ep PROGRAM\" once as root, "+
	"or run it in a container whose capabilities have it (Docker's default ones do), or try it under \"unshare -Ur -n\": %w", os.ErrPermission)

// rawSocket is a raw socket in the runtime's poller.
type rawSocket struct {
	file *os.File
	conn syscall.RawConn
	v6   bool

	sends bool        // nothing else: it is not in the poller
	full  atomic.Bool // somebody waits for room in its buffer

	mu     sync.Mutex
	room   *os.File // what he waits on, where the socket itself is not in the poller
	closed bool
}

// Available is nil where a link can be opened, and else says why it can't, and the remedy.
func Available() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return socketError(err)
	}
	return unix.Close(fd)
}

func socketError(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return ErrPermission
	}
	return fmt.Errorf("rawip: raw socket: %w", err)
}

// openRaw opens the raw socket of a family for segments. Its filter lets nothing through yet.
func openRaw(v6 bool) (*rawSocket, error) {
	options := []option{
		{unix.SOL_IP, unix.IP_HDRINCL, 1},
		// What MTU fits is for our TCP to find out: neither may the kernel fragment, nor may somebody's ICMP
		// error, which the kernel can't check against our connections, make it refuse packets.
		{unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_INTERFACE},
	}
	if v6 {
		options = []option{
			{unix.SOL_IPV6, unix.IPV6_HDRINCL, 1},
			{unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_INTERFACE},
			// A raw IPv6 socket hands out no IP header: what was in it comes beside the segment.
			{unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1},
			{unix.SOL_IPV6, unix.IPV6_RECVHOPLIMIT, 1},
			{unix.SOL_IPV6, unix.IPV6_RECVTCLASS, 1},
		}
	}
	return openSocket(v6, unix.IPPROTO_TCP, options)
}

type option struct{ level, name, value int }

func openSocket(v6 bool, proto int, options []option) (*rawSocket, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return nil, socketError(err)
	}
	if err := setUp(fd, proto, options); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return pollable(fd, v6)
}

func setUp(fd, proto int, options []option) error {
	if proto == unix.IPPROTO_TCP {
		if err := attach(fd, []bpf.Instruction{bpf.RetConstant{Val: 0}}); err != nil {
			return fmt.Errorf("rawip: filter: %w", err)
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("rawip: socket option %d/%d: %w", o.level, o.name, err)
		}
	}
	enlarge(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer)
	enlarge(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer)
	return nil
}

// enlarge asks for a larger buffer: beyond the host's limit where that is permitted (CAP_NET_ADMIN), else up
// to it. A smaller buffer works, too, so that nothing is an error.
func enlarge(fd, force, plain, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
	}
}

// pollable hands a non-blocking socket to the runtime's poller.
func pollable(fd int, v6 bool) (*rawSocket, error) {
	f := os.NewFile(uintptr(fd), "rawip")
	c, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("rawip: poller: %w", err)
	}
	return &rawSocket{file: f, conn: c, v6: v6}, nil
}

// sending wraps a socket that only sends, and that blocks unless a call says otherwise: it stays out of the poller.
// In there each packet that the kernel has done with would wake the poller, to say that there is room.
func sending(fd int, v6 bool) (*rawSocket, error) {
	f := os.NewFile(uintptr(fd), "rawip")
	c, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("rawip: socket: %w", err)
	}
	return &rawSocket{file: f, conn: c, v6: v6, sends: true}, nil
}

// waitForRoom waits until there is room in the socket's buffer, or the socket is closed.
func (s *rawSocket) waitForRoom() {
	if !s.sends {
		_ = s.conn.Write(hasRoom)
		return
	}
	c, err := s.lend()
	if err == nil {
		_ = c.Write(hasRoom)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room != nil {
		s.room.Close()
		s.room = nil
	}
}

// lend puts a duplicate of the socket into the poller, for the time that somebody waits.
func (s *rawSocket) lend() (c syscall.RawConn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, os.ErrClosed
	}
	fd := -1
	if e := s.conn.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); e != nil {
		return nil, e
	}
	if err == nil {
		err = unix.SetNonblock(fd, true) // both are one to the kernel; every call says that it does not wait
	}
	if err != nil {
		return nil, err
	}
	s.room = os.NewFile(uintptr(fd), "rawip")
	return s.room.SyscallConn()
}

// setFilter replaces the filter.
func (s *rawSocket) setFilter(prog []bpf.Instruction) error {
	var err error
	if e := s.conn.Control(func(fd uintptr) { err = attach(int(fd), prog) }); e != nil {
		return e
	}
	return err
}

func (s *rawSocket) close() {
	s.mu.Lock()
	s.closed = true
	if s.room != nil {
		s.room.Close()
		s.room = nil
	}
	s.mu.Unlock()
	s.file.Close()
}
