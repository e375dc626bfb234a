//go:build linux

package main

import (
	"context"
	"io"
	"net"

	"github.com/hashicorp/yamux"
	"github.com/xtaci/smux"
)

var yamuxMux = &contender{
	name:  "yamux",
	about: "hashicorp/yamux: one stream per session over kernel TCP",
	listen: func(t *task) (net.Listener, error) {
		return listenStreams(t, func(s *streams, c net.Conn) {
			session, err := yamux.Server(c, yamuxConfig())
			if err != nil {
				c.Close()
				return
			}
			for {
				st, err := session.AcceptStream()
				if err != nil {
					session.Close()
					return
				}
				s.offer(&stream{Conn: st, carrier: c})
			}
		})
	},
	dialer: func(t *task) (dialFunc, error) {
		dial := dialKernel(t, false)
		return func(ctx context.Context) (net.Conn, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			session, err := yamux.Client(c, yamuxConfig())
			if err != nil {
				return nil, err
			}
			st, err := session.OpenStream()
			if err != nil {
				return nil, err
			}
			return &stream{Conn: st, carrier: c, done: func() { session.Close() }}, nil
		}, nil
	},
	look: lookCarrier,
}

func yamuxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.MaxStreamWindowSize = window
	c.LogOutput = io.Discard
	return c
}

var smuxMux = &contender{
	name:  "smux",
	about: "xtaci/smux: one stream per session over kernel TCP",
	listen: func(t *task) (net.Listener, error) {
		return listenStreams(t, func(s *streams, c net.Conn) {
			session, err := smux.Server(c, smuxConfig())
			if err != nil {
				c.Close()
				return
			}
			for {
				st, err := session.AcceptStream()
				if err != nil {
					session.Close()
					return
				}
				s.offer(&stream{Conn: st, carrier: c})
			}
		})
	},
	dialer: func(t *task) (dialFunc, error) {
		dial := dialKernel(t, false)
		return func(ctx context.Context) (net.Conn, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			session, err := smux.Client(c, smuxConfig())
			if err != nil {
				return nil, err
			}
			st, err := session.OpenStream()
			if err != nil {
				return nil, err
			}
			return &stream{Conn: st, carrier: c, done: func() { session.Close() }}, nil
		}, nil
	},
	look: lookCarrier,
}

func smuxConfig() *smux.Config {
	c := smux.DefaultConfig()
	c.Version = 2
	c.MaxFrameSize = 65535
	c.MaxReceiveBuffer = 2 * window
	c.MaxStreamBuffer = window
	return c
}
