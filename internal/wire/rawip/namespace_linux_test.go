package rawip

import (
	"bytes"
	"crypto/sha256"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// probe is a raw socket in the other namespace that sends the segments that it is told to.
func (w *world) probe(f family) func(s packet.Segment) {
	w.Helper()
	send := w.packets(f)
	return func(s packet.Segment) {
		w.Helper()
		b, err := s.Append(nil, packet.FullChecksum)
		require.NoError(w, err)
		send(b)
	}
}

// packets is probe for whole packets to the near end.
func (w *world) packets(f family) func(b []byte) {
	w.Helper()
	fd := -1
	w.there(func() {
		fam, level, name := unix.AF_INET, unix.IPPROTO_IP, unix.IP_HDRINCL
		if f.far.Is6() {
			fam, level, name = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_HDRINCL
		}
		var err error
		fd, err = unix.Socket(fam, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		require.NoError(w, err)
		require.NoError(w, unix.SetsockoptInt(fd, level, name, 1))
	})
	w.Cleanup(func() { unix.Close(fd) })
	return func(b []byte) {
		w.Helper()
		require.NoError(w, unix.Sendto(fd, b, 0, sockaddr(netip.AddrPortFrom(f.near, 0), 0)))
	}
}

// A segment that comes in fragments, the last one first, is put together by the kernel; a part alone is nothing.
func TestNamespaceFragments(t *testing.T) {
	inNamespaces(t, func(w *world) {
		l, _ := open(w, SuperOff)
		for _, f := range families {
			in := newRecorder()
			port, err := l.Listen(netip.AddrPortFrom(f.near, 5001), in)
			require.NoError(w, err)
			send := w.packets(f)
			part := func(b []byte, id byte, from, to int) {
				const more, tcp, fragment = 1, 6, 44
				if !f.near.Is6() {
					head := bytes.Clone(b[:packet.IPv4HeaderLen])
					last := packet.IPv4HeaderLen+to == len(b)
					head[4], head[5], head[6], head[7] = 0, id, 0, byte(from/8)
					if !last {
						head[6] |= more << 5
					}
					send(append(head, b[packet.IPv4HeaderLen+from:packet.IPv4HeaderLen+to]...))
					return
				}
				head := bytes.Clone(b[:packet.IPv6HeaderLen])
				head[4], head[5], head[6] = 0, byte(8+to-from), fragment
				offset := byte(from)
				if packet.IPv6HeaderLen+to < len(b) {
					offset |= more
				}
				head = append(head, tcp, 0, 0, offset, 0, 0, 0, id)
				send(append(head, b[packet.IPv6HeaderLen+from:packet.IPv6HeaderLen+to]...))
			}
			s := packet.Segment{
				Src: netip.AddrPortFrom(f.far, 7), Dst: netip.AddrPortFrom(f.near, 5001), Seq: 5, Ack: 6, Flags: packet.ACK,
				Payload: []byte("0123456789abcdefghijklmnopqrstuv"),
			}
			b, err := s.Append(nil, packet.FullChecksum)
			require.NoError(w, err)
			n := packet.TCPHeaderLen + len(s.Payload)
			part(b, 1, 0, 24)
			part(b, 2, 24, n)
			part(b, 3, 24, n)
			part(b, 3, 0, 24)
			require.Equal(w, string(s.Payload), string(in.next(w).Payload))
			require.Empty(w, in.segments, "%s: the parts that belong to nothing", f.name)
			require.NoError(w, port.Close())
		}
		require.Zero(w, w.counter("TcpOutRsts"))
	})
}

// Every kind of segment reaches us at a shielded port, and the kernel answers none of them, whatever the TTL; a port whose last
// flow has just ended is still shielded.
// Beside it, at a port that is not ours, it does answer: the probe can fail.
func TestNamespaceShieldIsSilent(t *testing.T) {
	inNamespaces(t, func(w *world) {
		l, stack := open(w, SuperAuto)
		for _, f := range families {
			in := newRecorder()
			fixed, err := l.Listen(netip.AddrPortFrom(f.near, 5001), in)
			require.NoError(w, err)
			wild, err := l.Listen(netip.AddrPortFrom(unspecified(f.near), 5002), in)
			require.NoError(w, err)
			flow, err := l.Connect(netip.AddrPortFrom(f.near, 0), netip.AddrPortFrom(f.far, 9), 0, in)
			require.NoError(w, err)

			over, err := l.Connect(netip.AddrPortFrom(f.near, 5003), netip.AddrPortFrom(f.far, 9), 0, in)
			require.NoError(w, err)

			probe := w.probe(f)
			quiet := w.counter("TcpOutRsts")
			probe(packet.Segment{Src: netip.AddrPortFrom(f.far, 1), Dst: netip.AddrPortFrom(f.near, 5999), Flags: packet.ACK})
			require.Eventually(w, func() bool { return w.counter("TcpOutRsts") == quiet+1 }, 5*time.Second, 10*time.Millisecond)

			synAcks := w.counter("TcpOutSegs")
			over.Close()
			for _, port := range []uint16{over.Local().Port(), fixed.Local().Port(), wild.Local().Port(), flow.Local().Port()} {
				for _, ttl := range []uint8{64, 255} {
					for _, flags := range []packet.Flags{packet.SYN, packet.ACK, packet.PSH | packet.ACK, packet.SYN | packet.ACK, packet.FIN | packet.ACK, packet.RST} {
						s := packet.Segment{
							Src: netip.AddrPortFrom(f.far, 7), Dst: netip.AddrPortFrom(f.near, port), Seq: 5, Ack: 6,
							Flags: flags, Window: 7, TTL: ttl, TOS: packet.ECNECT0, Payload: []byte("xyz"),
						}
						if flags == packet.SYN {
							s.Payload = nil
						}
						probe(s)
						from := in
						if port == flow.Local().Port() || port == over.Local().Port() {
							from = stack // neither a flow from there, nor a listener
						}
						got := from.next(w)
						require.Equal(w, []any{s.Src, s.Dst, s.Flags, s.TTL, s.TOS, string(s.Payload)},
							[]any{got.Src, got.Dst, got.Flags, got.TTL, got.TOS, string(got.Payload)})
					}
				}
			}
			require.Equal(w, quiet+1, w.counter("TcpOutRsts"), f.name)
			require.Equal(w, synAcks, w.counter("TcpOutSegs"), "%s: the kernel's TCP has said something", f.name)
			require.NoError(w, fixed.Close())
			require.NoError(w, wild.Close())
			flow.Close()
		}
		require.Zero(w, l.Counters().WeakShields)
		require.Zero(w, l.Counters().BadSegments)
	})
}

// A handshake, data in both directions and a close with a TCP of the kernel's, which never learns that ours is
// not one.
func TestNamespaceHandshakeByHand(t *testing.T) {
	inNamespaces(t, func(w *world) {
		l, _ := open(w, SuperOff)
		for _, f := range families {
			c := dial(w, l, f.near, w.listen(f.far))
			c.say([]byte("hello from a raw socket"), 0)
			c.heard([]byte("hello from a raw socket"))
			c.acked()
			_, err := c.kernel.Write([]byte("and back"))
			require.NoError(w, err)
			got := c.in.next(w)
			require.Equal(w, "and back", string(got.Payload))
			c.ack += uint32(len(got.Payload))
			send(w, l, c.segment(packet.ACK|packet.FIN, nil))
			n, err := c.kernel.Read(make([]byte, 10))
			require.Zero(w, n)
			require.Error(w, err)
			require.NoError(w, c.kernel.Close())
		}
		require.Zero(w, w.counter("TcpOutRsts"))
	})
}

// Two links with the same link-local addresses: a listener on each, on one port, and a peer on each with the same port.
func TestNamespaceListenersWithOneLinkLocalAddress(t *testing.T) {
	inNamespaces(t, func(w *world) {
		sh(w, "ip link add near2 type veth peer name far2 netns "+w.peer+"; ip link set near2 up; ip addr add fe80::a1/64 dev near nodad; ip addr add fe80::a1/64 dev near2 nodad")
		w.far("ip link set far2 up; ip addr add fe80::b1/64 dev far nodad; ip addr add fe80::b1/64 dev far2 nodad")
		l, _ := open(w, SuperOff)
		const port = 7000
		for _, link := range [][2]string{{"near", "far"}, {"near2", "far2"}} {
			heard, flow := newRecorder(), newRecorder()
			at, err := l.Listen(netip.AddrPortFrom(netip.MustParseAddr("fe80::a1%"+link[0]), port), heard)
			require.NoError(w, err)
			w.Cleanup(func() { at.Close() })
			w.there(func() {
				peer, err := net.InterfaceByName(link[1])
				require.NoError(w, err)
				fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
				require.NoError(w, err)
				w.Cleanup(func() { unix.Close(fd) })
				require.NoError(w, unix.Bind(fd, sockaddr(netip.MustParseAddrPort("[fe80::b1]:5000"), peer.Index)))
				require.ErrorIs(w, unix.Connect(fd, sockaddr(netip.AddrPortFrom(netip.MustParseAddr("fe80::a1"), port), peer.Index)), unix.EINPROGRESS)
			})
			syn := heard.next(w)
			here, err := net.InterfaceByName(link[0])
			require.NoError(w, err)
			require.Equal(w, here.Index, syn.IfIndex)
			f, err := at.Accept(syn.Dst, syn.Src, syn.IfIndex, flow)
			require.NoError(w, err)
			w.Cleanup(f.Close)
			send(w, l, packet.Segment{Src: syn.Dst, Dst: syn.Src, IfIndex: syn.IfIndex, Seq: 1, Ack: syn.Seq + 1, Flags: packet.SYN | packet.ACK, Window: 1000, TTL: 64})
			require.Equal(w, syn.Seq+1, flow.next(w).Seq, "the third segment")
		}
		require.Zero(w, w.counter("TcpOutRsts"))
	})
}

// What the kernel sends in super-segments arrives in super-segments, every byte of it.
func TestNamespaceSuperSegmentsArrive(t *testing.T) {
	inNamespaces(t, func(w *world) {
		l, _ := open(w, SuperOff)
		for _, f := range families {
			c := dial(w, l, f.near, w.listen(f.far))
			data := pattern(8 << 20)
			s := c.sink(len(data))
			_, err := c.kernel.Write(data)
			require.NoError(w, err)
			<-s.done
			want := sha256.Sum256(data)
			require.Equal(w, want[:], s.hash.(interface{ Sum([]byte) []byte }).Sum(nil))
			require.Greater(w, s.largest, 40<<10, "%s: the largest segment", f.name)
			w.Logf("%s: largest segment %d bytes", f.name, s.largest)
		}
		w.Logf("%+v", l.Counters())
		require.Zero(w, w.counter("TcpOutRsts"))
		require.Zero(w, l.Counters().BadSegments)
	})
}

// bulk sends data in super-segments as soon as the flow allows them, and in ordinary ones before.
func bulk(w *world, c *talk, data []byte) {
	w.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for len(data) > 0 {
		n := c.flow.Super()
		if n == 0 {
			n = mss
			time.Sleep(time.Millisecond)
		}
		n = min(n, len(data), 60000)
		start := c.seq
		c.say(data[:n], mss)
		c.heard(data[:n])
		c.acked()
		require.Equal(w, start+uint32(n), c.seq)
		c.flow.Acked(c.seq)
		data = data[n:]
		require.True(w, time.Now().Before(deadline), "too slow")
	}
}

// Super-segments reach a TCP of the kernel's on both ways, byte for byte, and a way is taken only when it has
// proved itself.
func TestNamespaceSuperSegmentsLeave(t *testing.T) {
	inNamespaces(t, func(w *world) {
		for _, tc := range []struct {
			name   string
			sysctl string
			lo     bool
		}{
			{"on the device", "", false},
			{"through lo", `sysctl -qw net.ipv4.conf.lo.accept_local=1 net.ipv4.conf.lo.forwarding=1
				sysctl -qw net.ipv6.conf.lo.force_forwarding=1 || sysctl -qw net.ipv6.conf.all.forwarding=1`, true},
		} {
			sh(w, tc.sysctl)
			for _, f := range families {
				l, _ := open(w, SuperAuto)
				c := dial(w, l, f.near, w.listen(f.far))
				bulk(w, c, pattern(1<<20))
				n := l.Counters()
				w.Logf("%s, %s: %+v", tc.name, f.name, n)
				require.Equal(w, uint64(1), n.SuperProven)
				require.Greater(w, n.SentSuper, uint64(10))
				require.Equal(w, tc.lo, c.flow.(*flow).way().loopback)
				require.Zero(w, n.Split)
				require.Equal(w, uint64(1<<20), n.SentBytes)
			}
		}
		require.Zero(w, w.counter("TcpOutRsts"))
	})
}
