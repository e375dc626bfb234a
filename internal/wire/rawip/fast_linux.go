package rawip

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// The fast way of sending: a packet socket (AF_PACKET) takes a frame with a virtio header, which asks the
// kernel to split it into segments of a given size and to fill in their checksums, as late as the device
// allows. One frame of 64 KiB costs little more than one of 1500 bytes.
//
// A frame takes one of two ways. Through lo, addressed to nobody, it arrives at this host as if it had come
// from outside, and is routed: to its device or to this host itself, through conntrack, address translation
// and filters. An administrator has to allow that with two sysctls. Straight to the egress device it needs the
// neighbour's hardware address and passes no filter, so that it is for hosts without.

const (
	vnetLen  = 10 // struct virtio_net_hdr
	etherLen = 14
)

// maxSuper is the largest payload of a super-segment: an IP packet's length, less the longest headers.
const maxSuper = packet.MaxPacket - packet.MaxHeader

// way is how frames of a flow leave.
type way struct {
	ifIndex  int
	dst, src [6]byte // hardware addresses; zero on lo
	loopback bool    // routed by this host, which takes one off the TTL
	v6       bool
}

// addSuper gathers a super-segment for the packet socket; where its flow has no way for it any more, it is
// split here.
func (o *outbox) addSuper(s *packet.Segment) {
	l := o.link
	f := l.ports.find(s.Src, s.Dst, s.IfIndex)
	var w *way
	if f != nil {
		w = f.way()
	}
	if w == nil || l.packets == nil {
		o.split(s)
		return
	}
	c := *s
	if w.loopback {
		if c.TTL == 0 {
			c.TTL = packet.DefaultTTL
		}
		c.TTL = min(c.TTL, 254) + 1
	}
	out := o.next(l.packets)
	head, err := c.AppendHeaders(out.head[:vnetLen+etherLen], packet.PseudoChecksum)
	if err != nil {
		o.n--
		o.refuse(err)
		return
	}
	frameHeader(head, s, w)
	m := &o.msgs[o.n-1]
	out.gather(m, head, s)
	out.super = f
	clear(out.name[:])
	m.Namelen = out.linkAddress(w, s.Dst.Addr().Is4())
	m.Control = nil
	m.SetControllen(0)
}

// frameHeader fills in what stands before the IP header.
func frameHeader(head []byte, s *packet.Segment, w *way) {
	const needsChecksum, tcp4, tcp6 = 1, 1, 4 // VIRTIO_NET_HDR_F_NEEDS_CSUM, _GSO_TCPV4, _GSO_TCPV6
	tcp := etherLen + packet.IPv4HeaderLen
	head[0], head[1] = needsChecksum, tcp4
	binary.BigEndian.PutUint16(head[vnetLen+12:], unix.ETH_P_IP)
	if s.Dst.Addr().Is6() {
		tcp = etherLen + packet.IPv6HeaderLen
		head[1] = tcp6
		binary.BigEndian.PutUint16(head[vnetLen+12:], unix.ETH_P_IPV6)
	}
	const checksumField = 16 // in the TCP header
	binary.NativeEndian.PutUint16(head[2:], uint16(len(head)-vnetLen))
	binary.NativeEndian.PutUint16(head[4:], uint16(s.SegSize))
	binary.NativeEndian.PutUint16(head[6:], uint16(tcp))
	binary.NativeEndian.PutUint16(head[8:], checksumField)
	copy(head[vnetLen:], w.dst[:])
	copy(head[vnetLen+6:], w.src[:])
	if s.Flags.Has(packet.CWR) {
		const ecn = 0x80 // VIRTIO_NET_HDR_GSO_ECN: CWR on the first segment alone
		head[1] |= ecn
	}
}

// linkAddress writes the struct sockaddr_ll and returns its length.
func (g *outgoing) linkAddress(w *way, v4 bool) uint32 {
	proto := uint16(unix.ETH_P_IPV6)
	if v4 {
		proto = unix.ETH_P_IP
	}
	binary.NativeEndian.PutUint16(g.name[:], unix.AF_PACKET)
	binary.BigEndian.PutUint16(g.name[2:], proto)
	binary.NativeEndian.PutUint32(g.name[4:], uint32(w.ifIndex))
	g.name[11] = 6
	copy(g.name[12:], w.dst[:])
	return unix.SizeofSockaddrLinklayer
}

// split sends a super-segment as segments of its size through the raw socket.
func (o *outbox) split(s *packet.Segment) {
	o.link.counters.split.Add(1)
	for at, n := 0, s.PayloadLen(); at < n; at += s.SegSize {
		c := s.Cut(at, min(s.SegSize, n-at))
		o.addRaw(&c)
	}
}

// openPackets opens the packet socket. It receives nothing.
func openPackets() (*rawSocket, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, socketError(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		unix.Close(fd)
		return nil, socketError(err)
	}
	enlarge(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer)
	return sending(fd, false)
}
