package rawip

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file alone leaves the language: the functions of x/sys allocate with every packet and know no batches.

// mmsghdr is the kernel's struct mmsghdr; the compiler pads it as C does.
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

// recvmmsg fills messages without waiting and returns how many.
func recvmmsg(fd uintptr, m []mmsghdr) (int, error) {
	n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// sendmmsg sends messages without waiting and returns how many have left. The error is that of the first,
// when none has.
func sendmmsg(fd uintptr, m []mmsghdr) (int, error) {
	n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
