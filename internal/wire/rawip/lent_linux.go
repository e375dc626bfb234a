package rawip

import (
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// A guest that reads lends its buffer: what comes next for it can arrive there, and need not be copied once more. The kernel
// writes where it is told before anybody knows what has come, so it is told on the guess that the packets go on as the last ones:
// headers as long as the last's, payload for the same connection, next in order, and as long as that of the last but one, since a
// peer whose writes are longer than a packet sends a long one and the rest by turns. A wrong guess costs a copy.

const (
	// minLent is the payload from which on that is worth a system call of its own for few packets.
	minLent = 16 << 10
	// maxAstray is for how many batches nothing is lent at the most after some of which nothing was of use.
	maxAstray = 32
)

// lent is what a reader guesses, and what came of it.
type lent struct {
	head   int    // bytes of headers of the latest packet with payload
	last   [2]int // bytes of payload of the last but one, and of the latest
	n      int    // slots of this batch that have lent memory; 0: nothing is lent
	behind int    // bytes of headers that precede it there
	astray int    // for how many batches nothing is lent after another one of which nothing is of use
	skip   int    // batches without, from now on
}

// lend lends b, of a Read of to's, to the next batch, if it has room for what is to be expected.
func (r *reader) lend(b []byte, to any) {
	l := &r.lent
	n := l.fit(len(b), len(r.slots))
	if n > 0 && l.skip > 0 {
		l.skip--
		return
	}
	if l.n = n; n == 0 {
		return
	}
	r.loan.Begin(b, to)
	l.behind = l.head
	for i := range n {
		part := b
		if i < n-1 {
			part = b[:l.last[i%2]]
		}
		r.slots[i].borrow(&r.msgs[i].Msghdr, l.behind, part)
		b = b[len(part):]
	}
}

// fit is how many of the packets to be expected, and of most slots, room bytes are lent to; 0: that is not worth it.
func (l *lent) fit(room, most int) (n int) {
	long := max(l.last[0], l.last[1])
	if l.last[0] == 0 || long < minLent || room < long {
		return 0
	}
	at := 0
	for next := l.last[0]; n < most && at+next <= room; next = l.last[n%2] {
		at += next
		n++
	}
	if at < long {
		return 1 // whichever comes next has room
	}
	return n
}

// unlend gives back what was lent, and says how much of it was of use: the first bytes.
func (r *reader) unlend() (taken int) {
	l := &r.lent
	if l.n == 0 {
		return 0
	}
	for i := range l.n {
		if s := &r.slots[i]; s.lent != nil {
			s.point(&r.msgs[i].Msghdr)
		}
	}
	l.n = 0
	switch taken = r.loan.End(); {
	case taken > 0:
		l.astray = 0
	case r.n > 0:
		l.skip, l.astray = l.astray, min(2*l.astray+1, maxAstray)
	}
	return taken
}

// follows finds out whether more waits behind a batch in what is lent.
func (r *reader) follows(fd uintptr) {
	if r.lent.n == 0 || r.n < r.lent.n {
		return
	}
	if n, err := unix.IoctlGetInt(int(fd), unix.SIOCINQ); err == nil && n > 0 {
		r.loan.Follow()
	}
}

// most is how many packets the next batch may have.
func (r *reader) most() int {
	if r.lent.n > 0 {
		return r.lent.n
	}
	return r.limit
}

// apart parses packet i into r.seg if its payload has arrived apart from its headers, in what is lent, and returns the payload.
func (r *reader) apart(i int) (payload []byte, ok bool) {
	s, n := &r.slots[i], int(r.msgs[i].n)-r.lent.behind
	if s.lent == nil || n <= 0 || n > len(s.lent) {
		return nil, false
	}
	payload = s.lent[:n:n]
	return payload, r.parse(i, s.small.Bytes()[:r.lent.behind], payload) == nil
}

// gather puts together a packet of n bytes that did not come as was guessed.
func (r *reader) gather(s *slot, n int) pool.Ref {
	c := pool.Get(n)
	b := c.Bytes()[:n:n]
	at := copy(b, s.small.Bytes()[:r.lent.behind])
	at += copy(b[at:], s.lent)
	copy(b[at:], s.large.Bytes())
	return pool.Ref{C: c, B: b}
}

// learn takes the segment in r.seg, packet i, for what the next ones are like.
func (r *reader) learn(i int) {
	if n := len(r.seg.Payload); n > 0 {
		l := &r.lent
		l.head, l.last = int(r.msgs[i].n)-n, [2]int{l.last[1], n}
	}
}
