package rawip

import (
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// outSize is how many packets one system call sends at most.
const outSize = 64

// outgoing is one packet of a batch that is sent: its headers, and pointers to its payload.
type outgoing struct {
	head    [vnetLen + etherLen + packet.MaxHeader]byte
	iov     [1 + packet.MaxPieces]unix.Iovec
	name    [unix.SizeofSockaddrInet6]byte
	control [64]byte
	index   int   // of its segment in the batch
	super   *flow // whose super-segment this is
	seq     uint32
	payload int
}

// outbox gathers packets for one socket and sends them together. One is made per concurrent sender, and used
// again.
type outbox struct {
	link  *Link
	sock  *rawSocket // that the packets gathered are for
	slots [outSize]outgoing
	msgs  [outSize]mmsghdr
	n     int

	from, sent int // the call under way begins at from and has sent so many
	err        error
	call       func(fd uintptr)

	index    int  // of the segment at hand
	full     bool // a socket's buffer: the segment fullAt and those behind it wait
	fullAt   int
	lost     int // segments of the batch that have not left, or not in full
	lastLost int // the newest of them
	first    error
}

func newOutbox(l *Link) *outbox {
	o := &outbox{link: l}
	o.call = func(fd uintptr) { o.sent, o.err = sendmmsg(fd, o.msgs[o.from:o.n]) }
	for i := range o.msgs {
		o.msgs[i].Iov = &o.slots[i].iov[0]
		o.msgs[i].Name = &o.slots[i].name[0]
	}
	return o
}

// Send implements link.Link.
func (l *Link) Send(batch []packet.Segment) (int, error) {
	o := l.outboxes.Get().(*outbox)
	o.full, o.lost, o.lastLost, o.first = false, 0, -1, nil
	for i := range batch {
		if o.full {
			break
		}
		s := &batch[i]
		o.index = i
		if s.SegSize > 0 && s.PayloadLen() > s.SegSize {
			o.addSuper(s)
		} else {
			o.addRaw(s)
		}
	}
	o.flush()
	n, err := len(batch)-o.lost, o.first
	if o.full {
		n, err = o.fullAt-o.lost, &link.FullError{At: o.fullAt}
	}
	l.outboxes.Put(o)
	return n, err
}

// refuse notes that the segment at hand, or a part of it, cannot be sent at all. What was gathered goes first:
// the first error is that of the first segment.
func (o *outbox) refuse(err error) {
	o.flush()
	o.fail(o.index, err)
}

// fail notes that a segment, or a part of it, cannot leave.
func (o *outbox) fail(index int, err error) {
	if o.full {
		return // it is to be tried again
	}
	o.link.count(err)
	if errors.Is(err, unix.EMSGSIZE) {
		o.link.routes.version.Add(1) // the interface has changed, which the kernel's message may say later only
	}
	if index != o.lastLost {
		o.lastLost = index
		o.lost++
	}
	if o.first == nil {
		o.first = err
	}
}

// count sorts an error of sending into the counters.
func (l *Link) count(err error) {
	c := &l.counters.sendErrors
	switch {
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		c = &l.counters.noBuffers
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		c = &l.counters.notPermitted
	case errors.Is(err, unix.EMSGSIZE), errors.Is(err, packet.ErrTooLong):
		c = &l.counters.tooLong
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH),
		errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EAFNOSUPPORT):
		c = &l.counters.unreachable
	case errors.Is(err, link.ErrNotHeld):
		c = &l.counters.notHeld
	}
	c.Add(1)
}

// next is the slot for a packet that leaves through sock. What was gathered for another one goes first, so
// that the order stays.
func (o *outbox) next(sock *rawSocket) *outgoing {
	if o.sock != sock || o.n == outSize {
		o.flush()
	}
	o.sock = sock
	o.n++
	out := &o.slots[o.n-1]
	out.index = o.index
	return out
}

// addRaw gathers a segment for the raw socket.
func (o *outbox) addRaw(s *packet.Segment) {
	if !o.link.ports.holds(s.Src, s.IfIndex) {
		o.refuse(link.ErrNotHeld)
		return
	}
	sock, err := o.link.sender(s)
	if err != nil {
		o.refuse(err)
		return
	}
	out := o.next(sock)
	head, err := s.AppendHeaders(out.head[:0], packet.FullChecksum)
	if err != nil {
		o.n--
		o.refuse(err)
		return
	}
	m := &o.msgs[o.n-1]
	out.gather(m, head, s)
	out.address(m, s)
	out.beside(m, s)
}

// sender is the raw socket for a segment.
func (l *Link) sender(s *packet.Segment) (*rawSocket, error) {
	switch {
	case s.Dst.Addr().Is4():
		return l.raw4, nil
	case l.raw6 == nil:
		return nil, unix.EAFNOSUPPORT
	case s.IfIndex == 0:
		return l.raw6, nil
	}
	return l.bound.to(s.IfIndex)
}

// gather points to the headers and to the pieces of the payload.
func (g *outgoing) gather(m *mmsghdr, head []byte, s *packet.Segment) {
	g.iov[0].Base = &head[0]
	g.iov[0].SetLen(len(head))
	n := 1
	g.payload = 0
	for i := -1; i < len(s.More); i++ {
		p := s.Payload
		if i >= 0 {
			p = s.More[i]
		}
		if len(p) == 0 {
			if i >= 0 {
				break
			}
			continue
		}
		g.iov[n].Base = &p[0]
		g.iov[n].SetLen(len(p))
		g.payload += len(p)
		n++
	}
	m.SetIovlen(n)
	g.super, g.seq = nil, s.Seq
}

// address writes the destination as the socket address that routes the packet.
func (g *outgoing) address(m *mmsghdr, s *packet.Segment) {
	clear(g.name[:])
	to := s.Dst.Addr()
	if to.Is4() {
		binary.NativeEndian.PutUint16(g.name[:], unix.AF_INET)
		b := to.As4()
		copy(g.name[4:], b[:])
		m.Namelen = unix.SizeofSockaddrInet4
		return
	}
	binary.NativeEndian.PutUint16(g.name[:], unix.AF_INET6)
	b := to.As16()
	copy(g.name[8:], b[:])
	if to.IsLinkLocalUnicast() {
		binary.NativeEndian.PutUint32(g.name[24:], uint32(s.IfIndex))
	}
	m.Namelen = unix.SizeofSockaddrInet6
}

// beside says in a control message from which address and through which interface the packet is routed. The
// kernel does not look into a header that it was given: rules of policy routing that go by the source would
// not apply.
func (g *outgoing) beside(m *mmsghdr, s *packet.Segment) {
	m.Control = &g.control[0]
	src := s.Src.Addr()
	data := g.control[unix.SizeofCmsghdr:]
	if src.Is4() {
		cmsgHeader(g.control[:], unix.SOL_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		m.SetControllen(unix.CmsgSpace(unix.SizeofInet4Pktinfo))
		binary.NativeEndian.PutUint32(data, uint32(s.IfIndex))
		b := src.As4()
		copy(data[4:], b[:])
		clear(data[8:12])
		return
	}
	cmsgHeader(g.control[:], unix.SOL_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	m.SetControllen(unix.CmsgSpace(unix.SizeofInet6Pktinfo))
	b := src.As16()
	copy(data, b[:])
	binary.NativeEndian.PutUint32(data[16:], uint32(s.IfIndex))
}

func cmsgHeader(b []byte, level, kind int32, dataLen int) {
	n := uint64(unix.SizeofCmsghdr + dataLen)
	if unix.SizeofCmsghdr == 16 {
		binary.NativeEndian.PutUint64(b, n)
	} else {
		binary.NativeEndian.PutUint32(b, uint32(n))
	}
	binary.NativeEndian.PutUint32(b[unix.SizeofCmsghdr-8:], uint32(level))
	binary.NativeEndian.PutUint32(b[unix.SizeofCmsghdr-4:], uint32(kind))
}

// flush sends what was gathered. A packet that fails is left out, and the rest follows; that of a full socket waits.
func (o *outbox) flush() {
	for o.from = 0; o.from < o.n && !o.full; {
		o.sent, o.err = 0, nil
		if err := o.sock.conn.Control(o.call); err != nil {
			o.err = err
		}
		switch {
		case o.err == unix.EINTR:
			continue
		case errors.Is(o.err, os.ErrClosed):
			for ; o.from < o.n; o.from++ {
				o.fail(o.slots[o.from].index, link.ErrClosed)
			}
			continue
		case o.err == unix.EAGAIN:
			o.full, o.fullAt = true, o.slots[o.from].index
			o.link.waitForRoom(o.sock)
			continue
		case o.err != nil:
			o.fail(o.slots[o.from].index, o.err)
			o.from++
			continue
		}
		for i := o.from; i < o.from+o.sent; i++ {
			o.slots[i].left(o.link)
		}
		o.from += o.sent
	}
	for i := range o.n {
		o.slots[i].forget()
	}
	o.n = 0
}

// left counts a packet that the kernel has taken.
func (g *outgoing) left(l *Link) {
	l.counters.sentBytes.Add(uint64(g.payload))
	if g.super == nil {
		l.counters.sent.Add(1)
		return
	}
	l.counters.sentSuper.Add(1)
	g.super.sentSuper(g.seq, g.payload)
}

// forget lets go of the payload.
func (g *outgoing) forget() {
	for i := range g.iov {
		g.iov[i].Base = nil
	}
	g.super = nil
}
