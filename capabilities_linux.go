package mptcp

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// kernelMPTCP opens an MPTCP socket and looks at the error: the version alone tells nothing.
func kernelMPTCP() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	if err != nil {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP)
	}
	switch {
	case err == nil:
		unix.Close(fd)
		return nil
	case errors.Is(err, unix.ENOPROTOOPT):
		return fmt.Errorf("mptcp: the kernel has MPTCP but net.mptcp.enabled is 0: %w", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPROTONOSUPPORT):
		return fmt.Errorf("mptcp: the kernel was built without MPTCP: %w", err)
	}
	return fmt.Errorf("mptcp: no MPTCP socket to be had: %w", err)
}
