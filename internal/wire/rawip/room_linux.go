package rawip

import (
	"sync"

	"golang.org/x/sys/unix"
)

// waiters are the goroutines that wait for room in sockets' buffers: one for each that is full.
type waiters struct {
	mu    sync.Mutex
	ended bool
	group sync.WaitGroup
}

// begin makes way for one more; false: the link is closed.
func (w *waiters) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.group.Add(1)
	}
	return !w.ended
}

// end waits for all of them, whose sockets are closed.
func (w *waiters) end() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	w.group.Wait()
}

// waitForRoom tells the stack when there is room in the socket's buffer again. The kernel says so when the buffer is
// half empty, so that a queue that drains slowly does not wake the stack for every packet.
func (l *Link) waitForRoom(s *rawSocket) {
	l.counters.full.Add(1)
	if !s.full.CompareAndSwap(false, true) {
		return
	}
	if !l.waiters.begin() {
		return
	}
	go func() {
		defer l.waiters.group.Done()
		s.waitForRoom()     // when the socket is closed, a Send finds that out
		s.full.Store(false) // who finds it full from here on is told by another one
		if !l.closed.Load() {
			l.stack.Writable(l.cfg.Clock())
		}
	}()
}

func hasRoom(fd uintptr) bool {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	_, err := unix.Poll(p, 0)
	return err != nil && err != unix.EINTR || p[0].Revents != 0
}
