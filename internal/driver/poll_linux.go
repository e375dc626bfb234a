//go:build linux && !mptcp_portable

package driver

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/engine"
)

// pollSet waits for several sockets at once: an epoll descriptor that is itself registered with the
// runtime's poller. One goroutine waits without a thread, and a deadline interrupts it.
type pollSet struct {
	file *os.File
	conn syscall.RawConn
	try  func(fd uintptr) bool
	once func(fd uintptr)
	n    int // events that have not been taken yet
	ev   [8]unix.EpollEvent
}

func newPollSet() (*pollSet, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	s := &pollSet{file: os.NewFile(uintptr(fd), "epoll")}
	if s.conn, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, err
	}
	s.try, s.once = s.fill, func(fd uintptr) { s.fill(fd) }
	return s, nil
}

// add makes the set wait for f too.
func (s *pollSet) add(f *flow) error {
	return s.control(f, unix.EPOLL_CTL_ADD)
}

// remove does the opposite. The flow may be closed: then it has left the set already.
func (s *pollSet) remove(f *flow) { _ = s.control(f, unix.EPOLL_CTL_DEL) }

func (s *pollSet) control(f *flow, op int) error {
	var err error
	ctl := func(set uintptr) {
		err = f.raw.Control(func(fd uintptr) {
			ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(f.id)}
			err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(int(set), op, int(fd), &ev))
		})
	}
	if e := s.conn.Control(ctl); e != nil {
		return e
	}
	return err
}

// wait looks for sockets with something to read, and waits for one unless wait is false. An
// interruption leaves nothing found.
func (s *pollSet) wait(wait bool) {
	s.n = 0
	if !wait {
		_ = s.conn.Control(s.once)
		return
	}
	_ = s.conn.Read(s.try)
}

func (s *pollSet) fill(fd uintptr) bool {
	n, err := unix.EpollWait(int(fd), s.ev[:], 0)
	s.n = max(0, n)
	return err != nil && err != unix.EINTR || n > 0
}

// id is the subflow of event i.
func (s *pollSet) id(i int) engine.PathID { return engine.PathID(s.ev[i].Fd) }

// take removes event i from what was found.
func (s *pollSet) take(i int) {
	s.n--
	s.ev[i] = s.ev[s.n]
}

func (s *pollSet) close() { _ = s.file.Close() }
