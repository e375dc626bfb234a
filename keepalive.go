package mptcp

import (
	"net"
	"time"

	"github.com/mptcp-go/mptcp/internal/driver"
	"github.com/mptcp-go/mptcp/internal/wire/stack"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// keepAliver is what probes a silent peer: a socket of the kernel's, or our own TCP.
type keepAliver interface {
	SetKeepAlive(on bool) error
	SetKeepAlivePeriod(d time.Duration) error
	SetKeepAliveConfig(cfg net.KeepAliveConfig) error
}

var _, _ keepAliver = (*net.TCPConn)(nil), ownTCP{}

// setKeepAlive applies f to the subflows that there are, whoever's TCP they are.
func (c *Conn) setKeepAlive(f func(keepAliver) error) error {
	if b, ok := c.b.(*multi); ok {
		_ = f(ownTCP{b.Conn})
	}
	for _, nc := range c.b.sockets() {
		if a, ok := nc.(*arrival); ok { // plain TCP of our own
			_ = f(ownTCP{a.Conn})
		}
	}
	return c.set(func(t *net.TCPConn) error { return f(t) })
}

// keepAliveEvery is package net's default, for the silence before the first probe and between probes.
const keepAliveEvery = 15 * time.Second

// ownTCP are the subflows of our own TCP that a connection has. Its methods never fail.
type ownTCP struct{ d *driver.Conn }

func (o ownTCP) SetKeepAlive(on bool) error {
	stack.ChangeKeepAlive(o.d, func(k *tcp.KeepAlive) {
		k.Off = !on
		if k.Idle == 0 { // the configuration had it off
			k.Idle, k.Interval = keepAliveEvery, keepAliveEvery
		}
	})
	return nil
}

func (o ownTCP) SetKeepAlivePeriod(d time.Duration) error {
	stack.ChangeKeepAlive(o.d, func(k *tcp.KeepAlive) {
		k.Off = k.Off || k.Idle == 0
		k.Idle = orDefault(d, keepAliveEvery)
	})
	return nil
}

// SetKeepAliveConfig follows net.KeepAliveConfig: 0 is the default, and less than 0 changes nothing.
func (o ownTCP) SetKeepAliveConfig(cfg net.KeepAliveConfig) error {
	stack.ChangeKeepAlive(o.d, func(k *tcp.KeepAlive) {
		k.Off = !cfg.Enable
		if cfg.Idle >= 0 || k.Idle == 0 {
			k.Idle = orDefault(cfg.Idle, keepAliveEvery)
		}
		if cfg.Interval >= 0 {
			k.Interval = orDefault(cfg.Interval, keepAliveEvery)
		}
		if cfg.Count >= 0 {
			k.Count = cfg.Count // 0: tcp's default, which is package net's
		}
	})
	return nil
}
