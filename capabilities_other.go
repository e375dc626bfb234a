//go:build !linux

package mptcp

import (
	"errors"
	"fmt"
	"runtime"
)

func kernelMPTCP() error {
	return fmt.Errorf("mptcp: no MPTCP sockets through package net on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
