//go:build linux && !mptcp_portable

package stream

import (
	"io"
	"net"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/driver"
)

const (
	// firstLowat is TCP_NOTSENT_LOWAT before anything is known of the socket's rate.
	firstLowat = 128 << 10
	// maxVecs is how many slices one writev takes.
	maxVecs = 64
)

// socket is a kernel TCP socket that can be tried without blocking. The function values that package
// syscall wants are made once: no call allocates.
type socket struct {
	conn syscall.RawConn

	r struct {
		target driver.Target
		vecs   [driver.MaxBuffers]unix.Iovec
		n      int
		err    error
		fn     func(fd uintptr) bool
		once   func(fd uintptr)
	}
	w struct {
		bufs [][]byte
		n    int
		err  error
		poll [1]unix.PollFd
		fn   func(fd uintptr) bool
		once func(fd uintptr)
	}
	i struct {
		info unix.TCPInfo
		err  error
		once func(fd uintptr)
		cc   string
	}
}

// vecs are what writev reads; a flow has them only while it writes.
type vecs [maxVecs]unix.Iovec

var vecPool = sync.Pool{New: func() any { return new(vecs) }}

// rawSocket is nc as a socket that can be tried without blocking, nil when it is not one.
func rawSocket(nc net.Conn) *socket {
	t, ok := nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	conn, err := t.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{conn: conn}
	s.r.fn, s.r.once = s.readv, func(fd uintptr) { s.readv(fd) }
	s.w.fn, s.w.once = s.writable, s.writev
	s.i.once = s.getinfo
	s.SetLowat(firstLowat)
	return s
}

// Control implements driver.Raw.
func (s *socket) Control(f func(fd uintptr)) error { return s.conn.Control(f) }

// Readv implements driver.Raw.
func (s *socket) Readv(t driver.Target, wait bool) (int, error) {
	r := &s.r
	r.target, r.n, r.err = t, 0, nil
	var err error
	if wait {
		err = s.conn.Read(r.fn)
	} else {
		err = s.conn.Control(r.once)
	}
	r.target = nil
	if err != nil {
		return 0, err
	}
	return r.n, r.err
}

// readv says whether the read is over: when nothing was there it is not.
func (s *socket) readv(fd uintptr) bool {
	r := &s.r
	n := 0
	for _, p := range r.target.Buffers() {
		if len(p) > 0 {
			r.vecs[n].Base = unsafe.SliceData(p)
			r.vecs[n].SetLen(len(p))
			n++
		}
	}
	got, errno := retry(unix.SYS_READV, fd, unsafe.Pointer(&r.vecs[0]), n)
	clear(r.vecs[:n])
	switch {
	case errno == unix.EAGAIN:
		r.target.Drop()
		r.err = driver.ErrAgain
		return false
	case errno != 0:
		r.target.Drop()
		r.err = errno
	case got == 0:
		r.target.Drop()
		r.err = io.EOF
	default:
		r.n, r.err = got, nil
	}
	return true
}

// retry makes a system call on a vector until no signal interrupts it.
func retry(call, fd uintptr, vec unsafe.Pointer, n int) (int, syscall.Errno) {
	for {
		got, _, errno := syscall.Syscall(call, fd, uintptr(vec), uintptr(n))
		if errno != unix.EINTR {
			return int(got), errno
		}
	}
}

// Writev implements driver.Raw.
func (s *socket) Writev(bufs [][]byte) (int, error) {
	w := &s.w
	w.bufs, w.n, w.err = bufs, 0, nil
	if err := s.conn.Control(w.once); err != nil {
		return 0, err
	}
	w.bufs = nil
	return w.n, w.err
}

func (s *socket) writev(fd uintptr) {
	w := &s.w
	v := vecPool.Get().(*vecs)
	n := 0
	for _, p := range w.bufs {
		if len(p) > 0 && n < maxVecs {
			v[n].Base = unsafe.SliceData(p)
			v[n].SetLen(len(p))
			n++
		}
	}
	got, errno := retry(unix.SYS_WRITEV, fd, unsafe.Pointer(&v[0]), n)
	clear(v[:n])
	vecPool.Put(v)
	switch {
	case errno == unix.EAGAIN:
		w.err = driver.ErrAgain
	case errno != 0:
		w.err = errno
	default:
		w.n = got
	}
}

// WaitWrite implements driver.Raw.
func (s *socket) WaitWrite() error { return s.conn.Write(s.w.fn) }

// writable looks without writing, so that what is written is chosen only when there is room for it.
func (s *socket) writable(fd uintptr) bool {
	p := &s.w.poll
	p[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	n, err := unix.Poll(p[:], 0)
	return n > 0 || err != nil && err != unix.EINTR
}

// SetLowat implements driver.Raw.
func (s *socket) SetLowat(bytes int) {
	_ = s.conn.Control(func(fd uintptr) {
		// Without it the kernel's buffer hides the queue from the scheduler: slower, not wrong.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
	})
}

// Stats implements driver.Raw.
func (s *socket) Stats(st *engine.FlowStats) error {
	if err := s.conn.Control(s.i.once); err != nil {
		return err
	}
	if s.i.err != nil {
		return s.i.err
	}
	i := &s.i.info
	mss := int64(i.Snd_mss)
	st.SRTT = time.Duration(i.Rtt) * time.Microsecond
	st.RTTVar = time.Duration(i.Rttvar) * time.Microsecond
	st.MinRTT = time.Duration(i.Min_rtt) * time.Microsecond
	st.CWnd = int64(i.Snd_cwnd) * mss
	st.InFlight = max(0, int64(i.Unacked)-int64(i.Sacked)) * mss
	st.Unsent = int64(i.Notsent_bytes)
	st.DeliveryRate = int64(i.Delivery_rate)
	st.Acked = int64(i.Bytes_acked)
	st.Retransmitted = int64(i.Bytes_retrans)
	st.LastProgress = -time.Duration(i.Last_ack_recv) * time.Millisecond // by the caller's clock: from now on
	st.Congestion = s.i.cc
	return nil
}

func (s *socket) getinfo(fd uintptr) {
	i := &s.i
	size := uint32(unsafe.Sizeof(i.info))
	_, _, errno := syscall.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&i.info)), uintptr(unsafe.Pointer(&size)), 0)
	if i.err = nil; errno != 0 {
		i.err = errno
	}
	if i.cc == "" {
		name, _ := unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		i.cc = "kernel:" + name
	}
}
