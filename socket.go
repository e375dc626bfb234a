package mptcp

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/hashicorp/go-multierror"
)

// setKeepAlive applies Config.KeepAlive to a fresh socket. The zero value leaves package net's default
// (15 s); Idle < 0 with Enable unset turns keep-alive off.
func setKeepAlive(nc net.Conn, cfg net.KeepAliveConfig) {
	t, ok := nc.(*net.TCPConn)
	if !ok || cfg == (net.KeepAliveConfig{}) {
		return
	}
	_ = t.SetKeepAliveConfig(cfg) // a hint to the kernel: a socket without it works
}

// reset closes nc with a RST.
func reset(nc net.Conn) {
	if l, ok := nc.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // without it the peer sees an end of file instead
	}
	nc.Close()
}

// onSockets applies set to every socket that can take it and joins what fails.
func onSockets(conns []net.Conn, set func(*net.TCPConn) error) error {
	var all *multierror.Error
	for _, nc := range conns {
		t, ok := tcpConn(nc)
		if !ok {
			continue
		}
		if err := set(t); err != nil && !errors.Is(err, net.ErrClosed) {
			all = multierror.Append(all, &PathError{Op: "set", Local: addrPort(nc.LocalAddr()), Remote: addrPort(nc.RemoteAddr()), Err: err})
		}
	}
	return all.ErrorOrNil()
}

// tcpConn finds the kernel's socket under whatever wraps it.
func tcpConn(nc net.Conn) (*net.TCPConn, bool) {
	for range 8 {
		switch c := nc.(type) {
		case *net.TCPConn:
			return c, true
		case interface{ NetConn() net.Conn }:
			nc = c.NetConn()
		default:
			return nil, false
		}
	}
	return nil, false
}

// rawConn is the descriptor under nc.
func rawConn(nc net.Conn) (syscall.RawConn, error) {
	t, ok := tcpConn(nc)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return t.SyscallConn()
}

// flushPoll is how often Flush looks at a kernel socket's send queue.
const flushPoll = time.Millisecond
