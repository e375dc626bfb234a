//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
)

// What a client asks for in the first nine bytes of a connection: one of these, and a number.
const (
	opBulk   = 'B' // number bytes follow; answer with one byte
	opDuplex = 'D' // number bytes each way at once
	opLoad   = 'L' // send number bytes, and throw away what comes meanwhile
	opEcho   = 'E' // send messages of number bytes back until the end
	opOnce   = 'O' // answer with one byte and close
	opSend   = 'S' // send number bytes of the pattern, wait for one byte
	opTake   = 'T' // number bytes of the pattern follow; answer with 8-byte figures
)

const headerLen = 9

func header(op byte, n int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{op}, uint64(n))
}

// server is the other side of every work.
type server struct {
	*task
	mu    sync.Mutex
	state connState
}

func (s *server) serve(l net.Listener) {
	switch s.Work {
	case "http32", "http200":
		_ = http.Serve(seeing{l, s}, http.HandlerFunc(serveHTTP))
		return
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = s.serveConn(c)
		}()
	}
}

// seeing looks at the first connection on its way to the HTTP server.
type seeing struct {
	net.Listener
	s *server
}

func (l seeing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.s.see(c)
	}
	return c, err
}

// see keeps the state with the most subflows.
func (s *server) see(c net.Conn) {
	st := findContender(s.Contender).look(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.CC == "" || st.Subflows > s.state.Subflows {
		s.state = st
	}
}

func (s *server) serveConn(c net.Conn) error {
	var h [headerLen]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint64(h[1:]))
	switch h[0] {
	case opOnce:
		_, err := c.Write(h[:1])
		return err
	case opBulk:
		if err := discard(c, n, s.Piece); err != nil {
			return err
		}
		s.see(c)
		_, err := c.Write(h[:1])
		return err
	case opDuplex:
		return duplex(c, n, nil)
	case opLoad:
		go func() { _ = push(c, n, chunk, nil) }()
		_, err := io.Copy(io.Discard, c)
		return err
	case opEcho:
		s.see(c)
		return echo(c, int(n))
	case opSend:
		if err := sendPattern(c, n); err != nil {
			return err
		}
		s.see(c)
		_, err := io.ReadFull(c, h[:1])
		return err
	case opTake:
		got, err := takePattern(c, n)
		if err != nil {
			return err
		}
		s.see(c)
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(got.gap))
		_, err = c.Write(b[:])
		return err
	}
	return fmt.Errorf("unknown request %q", h[0])
}

func echo(c net.Conn, size int) error {
	b := make([]byte, size)
	for {
		if _, err := io.ReadFull(c, b); err != nil {
			return err
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

// serveHTTP answers with as many bytes as the path says.
func serveHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Path[1:], 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "not a length", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set("Content-Type", "application/octet-stream")
	b := make([]byte, min(n, chunk))
	for n > 0 {
		k, err := w.Write(b[:min(n, int64(len(b)))])
		if err != nil {
			return
		}
		n -= int64(k)
	}
}
