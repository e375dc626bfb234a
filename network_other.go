//go:build !linux && !darwin && !windows

package mptcp

import "syscall"

// bindInterface does nothing where a socket can't be tied to an interface: its source address is what
// there is.
func bindInterface(syscall.RawConn, string, string) error { return nil }

func bindWithoutPort(syscall.RawConn) error { return nil }
