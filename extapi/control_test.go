package extapi

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// steered is a connection with a Control; its methods are never called here.
type steered struct {
	net.Conn
	Control
}

type wrapper struct{ net.Conn }

func (w wrapper) NetConn() net.Conn { return w.Conn }

// opaque hides what it wraps.
type opaque struct{ net.Conn }

// loop wraps itself.
type loop struct{ net.Conn }

func (l *loop) NetConn() net.Conn { return l }

func TestFrom(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	c := &steered{Conn: a}
	for name, conn := range map[string]net.Conn{
		"itself":              c,
		"under tls":           tls.Client(c, &tls.Config{ServerName: "x"}),
		"under a wrapper":     wrapper{c},
		"under both, layered": wrapper{tls.Server(wrapper{c}, nil)},
	} {
		got, ok := From(conn)
		require.True(t, ok, name)
		require.Same(t, c, got, name)
	}
	for name, conn := range map[string]net.Conn{
		"nil":               nil,
		"other":             a,
		"other under tls":   tls.Client(a, &tls.Config{ServerName: "x"}),
		"wraps nothing":     wrapper{},
		"hidden":            opaque{wrapper{a}},
		"wraps itself":      &loop{},
		"wrapper of itself": wrapper{&loop{}},
	} {
		got, ok := From(conn)
		require.False(t, ok, name)
		require.Nil(t, got, name)
	}
}
