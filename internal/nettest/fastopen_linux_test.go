package nettest

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	fastOpening = func(_, _ string, c syscall.RawConn) (err error) {
		set := func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1) }
		control := c.Control(set)
		return errors.Join(control, err)
	}
}
