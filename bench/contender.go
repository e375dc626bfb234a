//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// contender is one way to have a byte stream between two processes.
type contender struct {
	name   string
	about  string
	listen func(t *task) (net.Listener, error)
	dialer func(t *task) (dialFunc, error)
	look   func(net.Conn) connState
	flush  func(context.Context, net.Conn) error // until the peer has acknowledged everything; may be nil
	raw    bool                                  // makes packets of its own: takes part in the works with pairs alone
	stack  bool                                  // with an address of its own beside the kernel's
}

type dialFunc func(context.Context) (net.Conn, error)

// connState is what a contender can tell of a connection.
type connState struct {
	CC       string // congestion control, of every subflow
	Subflows int    // 0: no such thing
}

// window is the receive window that every multiplexer may use, per stream: more than this library's
// default ceiling of 6 MiB, so that nobody loses by a smaller buffer.
const window = 16 << 20

var contenders = []*contender{ours, tcp, mptcpKernel, yamuxMux, smuxMux, quicGo, wire, wireMTU, wireSum, gvisor, gvisorMTU}

func findContender(name string) *contender {
	for _, c := range contenders {
		if c.name == name {
			return c
		}
	}
	return nil
}

var tcp = &contender{
	name:   "tcp",
	about:  "kernel TCP",
	listen: func(t *task) (net.Listener, error) { return listenKernel(t, false) },
	dialer: func(t *task) (dialFunc, error) { return dialKernel(t, false), nil },
	look:   lookKernel,
}

var mptcpKernel = &contender{
	name:   "mptcp",
	about:  "the kernel's MPTCP (SetMultipathTCP)",
	listen: func(t *task) (net.Listener, error) { return listenKernel(t, true) },
	dialer: func(t *task) (dialFunc, error) { return dialKernel(t, true), nil },
	look:   lookKernel,
}

func listenKernel(t *task, multipath bool) (net.Listener, error) {
	lc := net.ListenConfig{Control: t.control()}
	lc.SetMultipathTCP(multipath)
	return lc.Listen(context.Background(), "tcp", t.Addr)
}

func dialKernel(t *task, multipath bool) dialFunc {
	d := net.Dialer{Control: t.control()}
	d.SetMultipathTCP(multipath)
	if t.Local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(t.Local)}
	}
	return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", t.Addr) }
}

// control sets the congestion control that a task asks for on a socket, which works also for those that a
// namespace may not have for its default.
func (t *task) control() func(network, address string, c syscall.RawConn) error {
	if t.CC == "" {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) {
			err = os.NewSyscallError("TCP_CONGESTION", unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, t.CC))
		})
		return errors.Join(e, err)
	}
}

// mptcpInfo is MPTCP_INFO of linux/mptcp.h, which package unix does not have.
const mptcpInfo = 1

// lookKernel asks the socket for its congestion control and, when it is MPTCP, for its subflows.
func lookKernel(c net.Conn) (s connState) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return s
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return s
	}
	_ = raw.Control(func(fd uintptr) {
		if cc, err := unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION); err == nil {
			s.CC = strings.TrimRight(cc, "\x00")
		}
		// struct mptcp_info begins with the number of subflows besides the first.
		if b, err := unix.GetsockoptString(int(fd), unix.SOL_MPTCP, mptcpInfo); err == nil && b != "" {
			s.Subflows = int(b[0]) + 1
		} else if err == nil {
			s.Subflows = 1
		}
	})
	return s
}

// stream is a multiplexer's stream on a connection of its own, which it closes with itself.
type stream struct {
	net.Conn
	carrier net.Conn // the TCP connection below; nil when there is none
	done    func()   // after the stream's own Close; may be nil
}

func (s *stream) Close() error {
	err := s.Conn.Close()
	if s.done != nil {
		s.done()
	}
	return err
}

// lookCarrier looks at the TCP connection below a stream.
func lookCarrier(c net.Conn) connState {
	if s, ok := c.(*stream); ok && s.carrier != nil {
		return lookKernel(s.carrier)
	}
	return connState{}
}

// streams is a listener that hands out the streams of all sessions.
type streams struct {
	net.Listener
	ready chan net.Conn
	done  chan struct{}
}

func (s *streams) Accept() (net.Conn, error) {
	select {
	case c := <-s.ready:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// offer hands one stream to Accept.
func (s *streams) offer(c net.Conn) {
	select {
	case s.ready <- c:
	case <-s.done:
		c.Close()
	}
}

// listenStreams accepts TCP connections and calls serve for each on a goroutine of its own.
func listenStreams(t *task, serve func(*streams, net.Conn)) (net.Listener, error) {
	l, err := listenKernel(t, false)
	if err != nil {
		return nil, err
	}
	s := &streams{Listener: l, ready: make(chan net.Conn, 1024), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(s, c)
		}
	}()
	return s, nil
}
