package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Ports on which -send auto asks something.
var (
	httpPorts = []string{"80", "8000", "8008", "8080", "8888", "http"}
	tlsPorts  = []string{"443", "8443", "https"}
)

// request makes of -send what runs on each connection; nil: nothing.
func request(send, host, port string, timeout time.Duration) (func(net.Conn) error, error) {
	if send == "auto" {
		switch {
		case slices.Contains(httpPorts, port):
			send = "http"
		case slices.Contains(tlsPorts, port):
			send = "tls"
		default:
			send = "none"
		}
	}
	switch send {
	case "none":
		return nil, nil
	case "tls":
		return shakeHands(host, timeout), nil
	case "http":
		// Without "Connection: close", which would end the connection before everything has been tried on it.
		return say(fmt.Sprintf("HEAD / HTTP/1.1\r\nHost: %s\r\nUser-Agent: mptcp-check\r\nAccept: */*\r\n\r\n", net.JoinHostPort(host, port))), nil
	}
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(send, `"`, `\"`) + `"`)
	if err != nil {
		return nil, usagef("-send: %q has an escape that is none of \\n, \\r, \\t, \\\\ and \\xNN", send)
	}
	if len(text) < 2 {
		return nil, usagef("-send: a request has two bytes at least")
	}
	return say(text), nil
}

// say sends a text and takes what comes first.
func say(text string) func(net.Conn) error {
	return func(c net.Conn) error {
		if _, err := c.Write([]byte(text)); err != nil {
			return err
		}
		_, err := c.Read(make([]byte, 4096))
		return err
	}
}

// shakeHands shakes hands with a TLS server, whoever it is: nothing is told to it.
func shakeHands(host string, timeout time.Duration) func(net.Conn) error {
	return func(c net.Conn) error {
		// In the middle of its first message joins are tried, which takes its time.
		ctx, cancel := context.WithTimeout(context.Background(), 4*timeout)
		defer cancel()
		t := tls.Client(keptOpen{c}, &tls.Config{ServerName: host, InsecureSkipVerify: true})
		return t.HandshakeContext(ctx)
	}
}

// keptOpen leaves closing to who opened.
type keptOpen struct{ net.Conn }

// Close does nothing.
func (keptOpen) Close() error { return nil }
