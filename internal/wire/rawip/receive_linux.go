package rawip

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// batchSize is how many packets one system call moves at most: with 32 to 64, what a call costs no longer
// counts.
const batchSize = 32

// batchBytes is how many bytes it should bring at most: what a processor keeps in a cache of its own until they have been
// copied again, where they are (lent_linux.go). Much less would make an ACK of each segment.
const batchBytes = 512 << 10

// smallChunk holds a packet of any ordinary MTU. A longer one continues in the large chunk of its slot, behind
// room for what the small chunk has, so that putting them together copies little. mediumChunk is the limit up
// to which a packet is copied rather than left to pin 64 KiB.
var (
	smallChunk  = pool.Sizes[0]
	mediumChunk = pool.Sizes[1]
)

// controlLen is the room for what comes beside an IPv6 segment: packet info, hop limit, traffic class.
const controlLen = 128

// slot is where one packet of a batch arrives: in the small chunk, in lent memory where there is some, and in the large one.
type slot struct {
	small, large *pool.Chunk
	lent         []byte
	iov          [3]unix.Iovec
	name         [unix.SizeofSockaddrInet6]byte
	control      [controlLen]byte
}

// point points to where the next packet arrives.
func (s *slot) point(h *unix.Msghdr) {
	s.lent = nil
	s.part(0, s.small.Bytes())
	s.part(1, s.large.Bytes()[smallChunk:])
	h.SetIovlen(2)
}

// borrow points to lent memory behind the first head bytes of the packet, and to the large chunk for what that does not take.
func (s *slot) borrow(h *unix.Msghdr, head int, lent []byte) {
	s.lent = lent
	s.part(0, s.small.Bytes()[:head])
	s.part(1, lent)
	s.part(2, s.large.Bytes())
	h.SetIovlen(3)
}

func (s *slot) part(i int, b []byte) {
	s.iov[i].Base = &b[0]
	s.iov[i].SetLen(len(b))
}

// reader receives batches from one raw socket. All its memory is made once.
type reader struct {
	sock  *rawSocket
	slots []slot
	msgs  []mmsghdr
	n     int
	err   error
	wait  bool
	limit int // how many packets the next batch may have
	try   func(fd uintptr) bool
	seg   packet.Segment
	icmp  packet.ICMPError
	loan  pool.Loan
	lent  lent
}

// newReader makes a reader of batches of so many packets. park is asked whether it may wait when there is none.
func newReader(s *rawSocket, size int, park func() bool) *reader {
	r := &reader{sock: s, slots: make([]slot, size), msgs: make([]mmsghdr, size), limit: size}
	r.try = func(fd uintptr) bool {
		for r.err = unix.EINTR; r.err == unix.EINTR; {
			r.n, r.err = recvmmsg(fd, r.msgs[:r.most()])
		}
		if r.err != unix.EAGAIN {
			r.follows(fd)
			return true
		}
		r.err = nil
		return !r.wait || !park()
	}
	for i := range r.slots {
		s, h := &r.slots[i], &r.msgs[i].Msghdr
		s.large = pool.Get(pool.MaxSize)
		s.small = pool.Get(smallChunk)
		h.Iov = &s.iov[0]
		h.Name, h.Control = &s.name[0], &s.control[0]
		s.point(h)
	}
	return r
}

// receive returns how many packets have come; with wait it waits for one.
func (r *reader) receive(wait bool) (int, error) {
	for i := range r.msgs[:r.most()] {
		h := &r.msgs[i].Msghdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(controlLen)
		h.Flags = 0
	}
	r.n, r.err, r.wait = 0, nil, wait
	if err := r.sock.conn.Read(r.try); err != nil {
		return 0, err
	}
	r.adapt()
	return r.n, r.err
}

// adapt limits the next batch to batchBytes, if its packets are as long as these.
func (r *reader) adapt() {
	bytes := 0
	for i := range r.msgs[:r.n] {
		bytes += int(r.msgs[i].n)
	}
	if r.n > 0 {
		r.limit = min(max(batchBytes*r.n/max(bytes, 1), 1), len(r.msgs))
	}
}

// packet takes packet i out of its slot, in one piece and in a chunk of fitting size. The caller releases the
// reference. It is empty when the packet was longer than the buffers.
func (r *reader) packet(i int) pool.Ref {
	s, h, n := &r.slots[i], &r.msgs[i].Msghdr, int(r.msgs[i].n)
	switch {
	case h.Flags&unix.MSG_TRUNC != 0 || n > pool.MaxSize:
		return pool.Ref{}
	case s.lent != nil && n > r.lent.behind:
		return r.gather(s, n)
	case n <= smallChunk:
		ref := pool.Ref{C: s.small, B: s.small.Bytes()[:n:n]}
		s.small = pool.Get(smallChunk)
		s.point(h)
		return ref
	case n <= mediumChunk:
		c := pool.Get(n)
		b := c.Bytes()[:n:n]
		copy(b[copy(b, s.small.Bytes()):], s.large.Bytes()[smallChunk:])
		return pool.Ref{C: c, B: b}
	}
	b := s.large.Bytes()
	copy(b[:smallChunk], s.small.Bytes())
	ref := pool.Ref{C: s.large, B: b[:n:n]}
	s.large = pool.Get(pool.MaxSize)
	s.point(h)
	return ref
}

// segment parses packet i into r.seg. The caller releases the reference to what it lies in.
func (r *reader) segment(i int) (buf pool.Ref, err error) {
	if payload, ok := r.apart(i); ok {
		return r.loan.Ref(payload), nil
	}
	buf = r.packet(i)
	return buf, r.parse(i, buf.B, nil)
}

// parse parses packet i, which is b, into r.seg; payload, if there is any, lies apart.
func (r *reader) parse(i int, b, payload []byte) (err error) {
	if !r.sock.v6 {
		if payload != nil {
			r.seg, err = packet.Parse4Apart(b, payload)
		} else {
			r.seg, err = packet.Parse4(b)
		}
		return err
	}
	dst, ifIndex, hops, class := r.beside(i)
	if !dst.IsValid() {
		return packet.ErrAddress
	}
	r.seg, err = packet.ParseTCPApart(r.from(i), dst, b, payload)
	r.seg.IfIndex, r.seg.TTL, r.seg.TOS = ifIndex, hops, class
	return err
}

// from is the IPv6 source address of packet i.
func (r *reader) from(i int) netip.Addr {
	const addr = 8 // in struct sockaddr_in6
	return netip.AddrFrom16([16]byte(r.slots[i].name[addr:]))
}

// beside reads the control messages of packet i.
func (r *reader) beside(i int) (dst netip.Addr, ifIndex int, hops, class uint8) {
	b := r.slots[i].control[:min(int(r.msgs[i].Controllen), controlLen)]
	for len(b) >= unix.SizeofCmsghdr {
		n := cmsgLen(b)
		if n < unix.SizeofCmsghdr || n > len(b) {
			break
		}
		level := int32(binary.NativeEndian.Uint32(b[unix.SizeofCmsghdr-8:]))
		kind := int32(binary.NativeEndian.Uint32(b[unix.SizeofCmsghdr-4:]))
		data := b[unix.SizeofCmsghdr:n]
		if level == unix.SOL_IPV6 {
			switch {
			case kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
				dst = netip.AddrFrom16([16]byte(data))
				ifIndex = int(binary.NativeEndian.Uint32(data[16:]))
			case kind == unix.IPV6_HOPLIMIT && len(data) >= 4:
				hops = uint8(binary.NativeEndian.Uint32(data))
			case kind == unix.IPV6_TCLASS && len(data) >= 4:
				class = uint8(binary.NativeEndian.Uint32(data))
			}
		}
		b = b[min(cmsgSpace(n-unix.SizeofCmsghdr), len(b)):]
	}
	return dst, ifIndex, hops, class
}

// cmsgLen is the length field of a control message: a size_t.
func cmsgLen(b []byte) int {
	if unix.SizeofCmsghdr == 16 {
		return int(binary.NativeEndian.Uint64(b))
	}
	return int(binary.NativeEndian.Uint32(b))
}

func cmsgSpace(n int) int { return unix.CmsgSpace(n) }

// close gives the chunks back. The link may live on, for its counters.
func (r *reader) close() {
	for i := range r.slots {
		r.slots[i].small.Release()
		r.slots[i].large.Release()
	}
	r.slots, r.msgs, r.limit = nil, nil, 0
}
