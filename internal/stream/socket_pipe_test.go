package stream

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeEnd is one end of an in-memory connection with a buffer, half-close and deadlines: what a
// program may plug in as Network. It works inside synctest bubbles.
type pipeEnd struct {
	in, out *pipeHalf
}

const pipeBuffer = 64 << 10

type pipeHalf struct {
	mu       sync.Mutex
	buf      []byte
	eof      bool
	reset    bool
	news     chan struct{} // closed and replaced at every change
	rd, wr   time.Time
	rdt, wrt *time.Timer
}

func bufferedPipe() (net.Conn, net.Conn) {
	a, b := &pipeHalf{news: make(chan struct{})}, &pipeHalf{news: make(chan struct{})}
	return &pipeEnd{a, b}, &pipeEnd{b, a}
}

func (h *pipeHalf) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	close(h.news)
	h.news = make(chan struct{})
}

func (h *pipeHalf) read(b []byte) (int, error) {
	for {
		h.mu.Lock()
		news := h.news
		n := len(h.buf)
		eof, reset, late := h.eof, h.reset, !h.rd.IsZero() && !time.Now().Before(h.rd)
		h.mu.Unlock()
		switch {
		case reset:
			return 0, syscall.ECONNRESET
		case late:
			return 0, os.ErrDeadlineExceeded
		case n > 0:
			m := 0
			h.change(func() { m = copy(b, h.buf); h.buf = h.buf[m:] })
			return m, nil
		case eof:
			return 0, io.EOF
		}
		<-news
	}
}

func (h *pipeHalf) write(b []byte) (n int, err error) {
	for {
		h.mu.Lock()
		news := h.news
		room := pipeBuffer - len(h.buf)
		dead, late := h.eof || h.reset, !h.wr.IsZero() && !time.Now().Before(h.wr)
		h.mu.Unlock()
		switch {
		case dead:
			return n, syscall.EPIPE
		case late:
			return n, os.ErrDeadlineExceeded
		case room > 0:
			m := min(room, len(b)-n)
			h.change(func() { h.buf = append(h.buf, b[n:n+m]...) })
			if n += m; n == len(b) {
				return n, nil
			}
			continue
		}
		<-news
	}
}

func (h *pipeHalf) deadline(at *time.Time, timer **time.Timer, t time.Time) {
	h.change(func() {
		if *timer != nil {
			(*timer).Stop()
			*timer = nil
		}
		if *at = t; !t.IsZero() {
			*timer = time.AfterFunc(time.Until(t), func() { h.change(func() {}) })
		}
	})
}

func (p *pipeEnd) Read(b []byte) (int, error)  { return p.in.read(b) }
func (p *pipeEnd) Write(b []byte) (int, error) { return p.out.write(b) }
func (p *pipeEnd) CloseWrite() error           { p.out.change(func() { p.out.eof = true }); return nil }

func (p *pipeEnd) Close() error {
	_ = p.SetDeadline(time.Time{})
	p.out.change(func() { p.out.eof = true })
	p.in.change(func() { p.in.reset = true })
	return nil
}

func (p *pipeEnd) SetLinger(sec int) error {
	if sec == 0 {
		p.out.change(func() { p.out.reset = true })
	}
	return nil
}

func (p *pipeEnd) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (p *pipeEnd) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

func (p *pipeEnd) SetDeadline(t time.Time) error {
	_ = p.SetReadDeadline(t)
	return p.SetWriteDeadline(t)
}

func (p *pipeEnd) SetReadDeadline(t time.Time) error {
	p.in.deadline(&p.in.rd, &p.in.rdt, t)
	return nil
}

func (p *pipeEnd) SetWriteDeadline(t time.Time) error {
	p.out.deadline(&p.out.wr, &p.out.wrt, t)
	return nil
}
