package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Sizes of a link.
const (
	// Four socket buffers of this size make 64 KiB: what is under way over a link waits in its queue, where a cut
	// reaches it, and not in sockets, where none does.
	socketBuffer = 32 << 10
	parcelSize   = 16 << 10
	// burst is how far behind its rate a link may fall, because the system's sleeps are coarse, and catch up.
	burst = 20 * time.Millisecond
	nap   = 2 * time.Millisecond // shorter waits are not slept
)

// linkSpec describes an emulated link; both directions have the same rate and delay.
type linkSpec struct {
	rate  int64         // bytes per second
	delay time.Duration // one way
}

// link is a relay on a loopback port that behaves like a line of some rate and delay to the target. While
// it is cut, it swallows what is sent and closes nothing; connections that have lost bytes that way stay
// silent for good.
type link struct {
	linkSpec
	target   string // set before the link works
	ln       net.Listener
	up, down clock // toward the target, and from it

	mu     sync.Mutex
	isCut  bool
	closed bool
	relays map[*relay]struct{}
	work   sync.WaitGroup
}

// clock says when a line has sent what it was given.
type clock struct {
	mu   sync.Mutex
	next time.Time
}

// after takes n bytes at a rate and returns when the last of them has left, now at the earliest.
func (c *clock) after(n int, rate int64) time.Time {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if earliest := now.Add(-burst); c.next.Before(earliest) {
		c.next = earliest
	}
	c.next = c.next.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	if c.next.Before(now) {
		return now
	}
	return c.next
}

// openLink takes a free loopback port, so that its address can be announced before the link works.
func openLink(spec linkSpec) (*link, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // a link is one path
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &link{linkSpec: spec, ln: ln, relays: make(map[*relay]struct{})}, nil
}

// start connects the link to its target. Close it when done.
func (l *link) start(target string) {
	l.target = target
	l.work.Go(l.accept)
}

func (l *link) addr() *net.TCPAddr { return l.ln.Addr().(*net.TCPAddr) }

func (l *link) accept() {
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			time.Sleep(nap)
			continue
		}
		l.work.Go(func() { l.admit(nc.(*net.TCPConn)) })
	}
}

// admit relays one connection until both sides are through with it.
func (l *link) admit(from *net.TCPConn) {
	r := newRelay(l, from)
	if !l.enlist(r) {
		from.Close()
		return
	}
	defer l.delist(r)
	var d net.Dialer
	d.SetMultipathTCP(false)
	nc, err := d.Dial("tcp", l.target)
	if err != nil {
		_ = from.SetLinger(0)
		from.Close()
		return
	}
	to := nc.(*net.TCPConn)
	if !r.connect(to) {
		to.Close()
		return
	}
	for _, c := range []*net.TCPConn{from, to} {
		_ = c.SetReadBuffer(socketBuffer)
		_ = c.SetWriteBuffer(socketBuffer)
	}
	var both sync.WaitGroup
	both.Go(func() { r.there.run(to, from, &l.up) })
	both.Go(func() { r.back.run(from, to, &l.down) })
	both.Wait()
}

// enlist notes a new connection. One that comes while the link is cut is lost from the start.
func (l *link) enlist(r *relay) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.relays[r] = struct{}{}
	if l.isCut {
		r.lose()
	}
	return true
}

func (l *link) delist(r *relay) {
	l.mu.Lock()
	delete(l.relays, r)
	l.mu.Unlock()
	r.close()
}

// cut makes the link swallow everything, what is under way too.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	for r := range l.relays {
		r.lose()
	}
}

// restore makes the link work again, for new connections.
func (l *link) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = false
}

// silent says whether the link is cut now.
func (l *link) silent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isCut
}

// close ends the link and every connection over it.
func (l *link) close() {
	l.mu.Lock()
	l.closed = true
	l.ln.Close()
	for r := range l.relays {
		r.lose()
		r.close()
	}
	l.mu.Unlock()
	l.work.Wait()
}

// relay is one connection over a link.
type relay struct {
	from        *net.TCPConn
	there, back line

	mu     sync.Mutex
	to     *net.TCPConn // nil: not connected yet
	closed bool
}

func newRelay(l *link, from *net.TCPConn) *relay {
	r := &relay{from: from}
	r.there.link, r.back.link = l, l
	r.there.news.L, r.back.news.L = &r.there.mu, &r.back.mu
	return r
}

// connect keeps the second socket, unless the relay has been closed meanwhile.
func (r *relay) connect(to *net.TCPConn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.to = to
	return true
}

func (r *relay) lose() {
	r.there.lose()
	r.back.lose()
}

func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.from.Close()
	if r.to != nil {
		r.to.Close()
	}
}

// parcel is some bytes that arrive at a time.
type parcel struct {
	data []byte
	due  time.Time
}

var parcels = sync.Pool{New: func() any { return new([parcelSize]byte) }}

// line is one direction of a relay: a queue of what is under way.
type line struct {
	link  *link
	lost  atomic.Bool // bytes have been swallowed: nothing follows them
	mu    sync.Mutex
	queue []parcel
	bytes int
	ended bool      // nothing more comes
	news  sync.Cond // the queue, ended or lost has changed; its Locker is mu
}

func (q *line) lose() {
	q.lost.Store(true)
	q.mu.Lock()
	q.queue, q.bytes = nil, 0
	q.news.Broadcast()
	q.mu.Unlock()
}

// run carries everything from src to dst. It returns when src has ended and dst has been given all of it.
func (q *line) run(dst, src *net.TCPConn, c *clock) {
	var arriving sync.WaitGroup
	arriving.Go(func() { q.arrive(dst, src) })
	err := q.depart(src, c)
	if err != io.EOF && !q.lost.Load() {
		q.lose() // a reset overtakes what is under way
		_ = dst.SetLinger(0)
		dst.Close()
	}
	q.mu.Lock()
	q.ended = true
	q.news.Broadcast()
	q.mu.Unlock()
	arriving.Wait()
}

// depart puts what src sends on its way, at the rate of the link, until src ends.
func (q *line) depart(src *net.TCPConn, c *clock) error {
	buf := parcels.Get().(*[parcelSize]byte)
	for {
		n, err := src.Read(buf[:])
		if n > 0 && !q.lost.Load() {
			left := c.after(n, q.link.rate)
			if wait := time.Until(left); wait > nap {
				time.Sleep(wait)
			}
			q.push(parcel{buf[:n], left.Add(q.link.delay)})
			buf = parcels.Get().(*[parcelSize]byte)
		}
		if err != nil {
			return err
		}
	}
}

// push waits while as much is under way as the link holds.
func (q *line) push(p parcel) {
	limit := int(float64(q.link.rate)*q.link.delay.Seconds()) + 2*parcelSize
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes >= limit && !q.lost.Load() {
		q.news.Wait()
	}
	if q.lost.Load() {
		return
	}
	q.queue = append(q.queue, p)
	q.bytes += len(p.data)
	q.news.Broadcast()
}

// pop waits for the next parcel; false: there is none any more.
func (q *line) pop() (p parcel, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.queue) == 0 && !q.ended {
		q.news.Wait()
	}
	if len(q.queue) == 0 {
		return p, false
	}
	p = q.queue[0]
	q.queue = q.queue[1:]
	return p, true
}

// arrive gives dst each parcel when it is due.
func (q *line) arrive(dst, src *net.TCPConn) {
	for {
		p, ok := q.pop()
		if !ok {
			break
		}
		time.Sleep(time.Until(p.due))
		if q.lost.Load() {
			continue
		}
		_, err := dst.Write(p.data)
		q.mu.Lock()
		q.bytes = max(q.bytes-len(p.data), 0)
		q.news.Broadcast()
		q.mu.Unlock()
		if err != nil && !q.lost.Load() {
			q.lose() // dst takes no more: tell the sender
			_ = src.SetLinger(0)
			src.Close()
			return
		}
		parcels.Put((*[parcelSize]byte)(p.data[:parcelSize]))
	}
	if !q.lost.Load() {
		_ = dst.CloseWrite()
	}
}
