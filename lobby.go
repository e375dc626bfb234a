package mptcp

import (
	"container/list"
	"net"
	"sync"
	"time"
)

// lobby is where fresh connections wait until it is clear what they are. Each has a goroutine, so there
// are at most max of them: the oldest, which has been silent for longest, makes room.
type lobby struct {
	max int

	mu     sync.Mutex
	waits  list.List // of *guest, oldest first
	closed bool
}

// guest is one connection in the lobby.
type guest struct {
	nc   net.Conn
	at   *list.Element
	shoo bool // its wait for a first byte was ended
	busy bool // shaking hands
}

// enter makes a place for nc, false once the lobby is closed.
func (l *lobby) enter(nc net.Conn) (*guest, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, false
	}
	for over := l.waits.Len() - l.max + 1; over > 0; over-- {
		l.evict(l.waits.Front().Value.(*guest))
	}
	g := &guest{nc: nc}
	g.at = l.waits.PushBack(g)
	return g, true
}

// evict ends a guest's stay: its wait for a first byte is over now, as though the preface timeout had passed. One
// that was told so before, or whose handshake takes this long, is closed.
func (l *lobby) evict(g *guest) {
	if g.shoo || g.busy {
		g.nc.Close()
		l.waits.Remove(g.at)
		g.at = nil
		return
	}
	g.shoo = true
	_ = g.nc.SetReadDeadline(time.Unix(1, 0)) // a connection without deadlines is closed the next time
	l.waits.MoveToBack(g.at)
}

// shake notes that the wait for a first byte is over and a handshake begins.
func (l *lobby) shake(g *guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g.busy = true
	g.calm()
}

// rushed says whether the wait for a first byte was cut short.
func (l *lobby) rushed(g *guest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return g.shoo
}

// leave gives the place up. From here on the lobby does nothing to the connection; false when it has
// closed it, or the place was given up before.
func (l *lobby) leave(g *guest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.at == nil {
		return false
	}
	l.waits.Remove(g.at)
	g.at = nil
	if !g.busy {
		g.calm()
	}
	return true
}

// calm takes the deadline of evict away.
func (g *guest) calm() {
	if g.shoo {
		g.shoo = false
		_ = g.nc.SetReadDeadline(time.Time{})
	}
}

// close closes every connection that still waits.
func (l *lobby) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for e := l.waits.Front(); e != nil; e = e.Next() {
		e.Value.(*guest).nc.Close()
	}
}
