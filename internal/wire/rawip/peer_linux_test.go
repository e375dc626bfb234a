package rawip

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// listen listens with the kernel's TCP in the other namespace.
func (w *world) listen(at netip.Addr) *net.TCPListener {
	w.Helper()
	var l net.Listener
	w.there(func() {
		lc := net.ListenConfig{}
		lc.SetMultipathTCP(false)
		var err error
		l, err = lc.Listen(w.Context(), "tcp", netip.AddrPortFrom(at, 0).String())
		require.NoError(w, err)
	})
	w.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// talk is a connection to the kernel's TCP, by hand: whoever uses it says what leaves.
type talk struct {
	t        testing.TB
	link     *Link
	flow     link.Flow
	in       *recorder
	seq, ack uint32
	kernel   *net.TCPConn // the other end
}

// mss is what a segment without options carries over Ethernet and IPv6.
const mss = 1440

// dial opens a connection to a listener of the kernel's.
func dial(w *world, l *Link, from netip.Addr, to *net.TCPListener) *talk {
	w.Helper()
	c := &talk{t: w, link: l, in: newRecorder(), seq: 1000}
	remote := to.Addr().(*net.TCPAddr).AddrPort()
	f, err := l.Connect(netip.AddrPortFrom(from, 0), remote, 0, c.in)
	require.NoError(w, err)
	w.Cleanup(f.Close)
	c.flow = f
	syn := c.segment(packet.SYN, nil)
	syn.Options = []byte{2, 4, mss >> 8, mss & 0xFF, 3, 3, 10, 0}
	send(w, l, syn)
	synAck := c.in.next(w)
	require.Equal(w, packet.SYN|packet.ACK, synAck.Flags)
	require.Equal(w, uint32(1001), synAck.Ack)
	require.Equal(w, f.Local(), synAck.Dst)
	require.Equal(w, remote, synAck.Src)
	require.Equal(w, uint8(64), synAck.TTL)
	c.seq, c.ack = 1001, synAck.Seq+1
	send(w, l, c.segment(packet.ACK, nil))
	require.NoError(w, to.SetDeadline(time.Now().Add(10*time.Second)))
	nc, err := to.AcceptTCP()
	require.NoError(w, err)
	w.Cleanup(func() { nc.Close() })
	require.NoError(w, nc.SetDeadline(time.Now().Add(60*time.Second)))
	c.kernel = nc
	return c
}

func (c *talk) segment(f packet.Flags, payload []byte) packet.Segment {
	return packet.Segment{
		Src: c.flow.Local(), Dst: c.flow.Remote(), Seq: c.seq, Ack: c.ack, Flags: f, Window: 0xFFFF, Payload: payload,
	}
}

// say sends payload as one segment; size is that of the segments to split it into.
func (c *talk) say(payload []byte, size int) {
	c.t.Helper()
	s := c.segment(packet.ACK|packet.PSH, payload)
	s.SegSize = size
	send(c.t, c.link, s)
	c.seq += uint32(len(payload))
}

// acked waits until everything sent has been acknowledged.
func (c *talk) acked() {
	c.t.Helper()
	for {
		s := c.in.next(c.t)
		if s.Flags.Has(packet.ACK) && s.Ack == c.seq {
			return
		}
	}
}

// pattern is n bytes that repeat nowhere near.
func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}

// heard reads what the kernel's end has received.
func (c *talk) heard(want []byte) {
	c.t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(c.kernel, got)
	require.NoError(c.t, err)
	require.True(c.t, bytes.Equal(want, got), "the bytes differ")
}

// sink takes what the kernel sends, in any order. It runs on the link's goroutine.
type sink struct {
	c       *talk
	hash    interface{ Write([]byte) (int, error) }
	bytes   int
	largest int
	done    chan struct{}
	want    int
	early   map[uint32][]byte // by sequence number: what waits for what comes before
	full    bool
}

func (c *talk) sink(want int) *sink {
	s := &sink{c: c, hash: sha256.New(), want: want, done: make(chan struct{}), early: make(map[uint32][]byte)}
	c.in.mu.Lock()
	c.in.do = func(g *packet.Segment, _ pool.Ref) { s.take(g) }
	c.in.mu.Unlock()
	return s
}

func (s *sink) take(g *packet.Segment) {
	if len(g.Payload) > 0 {
		s.largest = max(s.largest, len(g.Payload))
		s.early[g.Seq] = bytes.Clone(g.Payload) // a sender that changes its CPU overtakes itself
	}
	for again := true; again; {
		again = false
		for seq, b := range s.early {
			old := int(int32(s.c.ack - seq))
			if old < 0 {
				continue
			}
			delete(s.early, seq)
			if old < len(b) {
				s.hash.Write(b[old:])
				s.c.ack += uint32(len(b) - old)
				s.bytes += len(b) - old
				again = true
			}
		}
	}
	if s.bytes == s.want && !s.full {
		s.full = true
		close(s.done)
	}
	s.c.link.Send([]packet.Segment{s.c.segment(packet.ACK, nil)})
}

// play is a program of its own. With the role "hold ADDRESS" it is a link that holds a port, until it is killed;
// with "dial LOCAL REMOTE" it says hello to a TCP of the kernel's there.
func play(role string) {
	word := strings.Fields(role)
	in := newRecorder()
	l, err := Open(Config{Clock: func() time.Duration { return 0 }}, in)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	defer l.Close()
	if word[0] == "hold" {
		p, err := l.Listen(netip.MustParseAddrPort(word[1]), in)
		if err != nil {
			fmt.Println("error:", err)
			return
		}
		fmt.Println("holds", p.Local())
		select {}
	}
	f, err := l.Connect(netip.AddrPortFrom(netip.MustParseAddr(word[1]), 0), netip.MustParseAddrPort(word[2]), 0, in)
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	s := packet.Segment{Src: f.Local(), Dst: f.Remote(), Flags: packet.SYN, Window: 9999}
	l.Send([]packet.Segment{s})
	synAck := <-in.segments
	s.Seq, s.Ack, s.Flags, s.Payload = synAck.Ack, synAck.Seq+1, packet.ACK|packet.FIN, []byte("hello")
	l.Send([]packet.Segment{s})
	for (<-in.segments).Ack != s.Seq+6 {
	}
	fmt.Println("said hello")
}
