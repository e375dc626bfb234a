//go:build !linux

package mptcp

import (
	"errors"
	"syscall"
)

// unacked: this operating system does not tell.
func unacked(syscall.RawConn) (int, error) { return 0, errors.ErrUnsupported }
