//go:build !linux

package mptcp

import "net"

// isMPTCPSocket: no other operating system has such sockets where package net looks for them.
func isMPTCPSocket(net.Conn) bool { return false }
