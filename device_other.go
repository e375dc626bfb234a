//go:build !linux && !darwin

package mptcp

import "syscall"

// boundDevice knows of no device here: package net and this package bind sockets to addresses alone.
func boundDevice(syscall.RawConn) string { return "" }
