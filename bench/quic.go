//go:build linux

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

var quicGo = &contender{
	name:   "quic",
	about:  "quic-go: one stream per connection, its own congestion control, encrypted",
	listen: listenQUIC,
	dialer: dialQUIC,
	look:   func(net.Conn) connState { return connState{CC: "quic-go's own (cubic)"} },
}

func quicConfig() *quic.Config {
	return &quic.Config{
		InitialStreamReceiveWindow:     window,
		MaxStreamReceiveWindow:         window,
		InitialConnectionReceiveWindow: 2 * window,
		MaxConnectionReceiveWindow:     2 * window,
		KeepAlivePeriod:                10 * time.Second,
	}
}

// quicStream gives a stream the addresses that net.Conn asks for.
type quicStream struct {
	*quic.Stream
	conn *quic.Conn
}

func (q quicStream) LocalAddr() net.Addr  { return q.conn.LocalAddr() }
func (q quicStream) RemoteAddr() net.Addr { return q.conn.RemoteAddr() }

func listenQUIC(t *task) (net.Listener, error) {
	conf, err := selfSigned()
	if err != nil {
		return nil, err
	}
	l, err := quic.ListenAddr(t.Addr, conf, quicConfig())
	if err != nil {
		return nil, err
	}
	s := &streams{Listener: addrOnly{l}, ready: make(chan net.Conn, 1024), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for {
			c, err := l.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				for {
					st, err := c.AcceptStream(context.Background())
					if err != nil {
						return
					}
					s.offer(&stream{Conn: quicStream{st, c}})
				}
			}()
		}
	}()
	return s, nil
}

// addrOnly turns a QUIC listener into the part of a net.Listener that streams does not override.
type addrOnly struct{ *quic.Listener }

func (addrOnly) Accept() (net.Conn, error) { return nil, net.ErrClosed }

func dialQUIC(t *task) (dialFunc, error) {
	remote, err := net.ResolveUDPAddr("udp", t.Addr)
	if err != nil {
		return nil, err
	}
	var once sync.Once
	var transport *quic.Transport
	var openErr error
	return func(ctx context.Context) (net.Conn, error) {
		once.Do(func() {
			var u *net.UDPConn
			if u, openErr = net.ListenUDP("udp", nil); openErr == nil {
				transport = &quic.Transport{Conn: u}
			}
		})
		if openErr != nil {
			return nil, openErr
		}
		conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"bench"}}
		c, err := transport.Dial(ctx, remote, conf, quicConfig())
		if err != nil {
			return nil, err
		}
		st, err := c.OpenStreamSync(ctx)
		if err != nil {
			return nil, err
		}
		return &stream{Conn: quicStream{st, c}, done: func() { c.CloseWithError(0, "") }}, nil
	}, nil
}

func selfSigned() (*tls.Config, error) {
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(nil, tpl, tpl, pub, key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos:   []string{"bench"},
	}, nil
}
