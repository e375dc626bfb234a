package ipnet

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/simnet"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// program is a program with one connection of the userspace TCP on a host: it sends what it has, closes, and
// keeps what it gets.
type program struct {
	recorder // as the host's stack
	t        *testing.T
	sim      *simnet.Sim
	link     link.Link
	port     link.Port
	conn     *tcp.Conn
	timer    *simnet.Event
	send     []byte
	sent     int
	got      bytes.Buffer
	fin      bool
	ended    bool
	err      error
}

func (p *program) config(local, remote netip.AddrPort) tcp.Config {
	return tcp.Config{
		Local: local, Remote: remote, ISN: 1<<32 - 1000, MTU: 1500, Rand: p.sim,
		Controller: congestion.Cubic.NewGroup().New(p.sim.Now(), congestion.Subflow{MSS: 1448}),
	}
}

func (p *program) dial(local, remote netip.AddrPort) {
	f, err := p.link.Connect(local, remote, 0, p)
	require.NoError(p.t, err)
	p.conn = tcp.Dial(p.sim.Now(), p.config(f.Local(), remote), p)
	p.pump()
}

func (p *program) listen(local netip.AddrPort) {
	var err error
	p.port, err = p.link.Listen(local, p)
	require.NoError(p.t, err)
}

func (p *program) HandleSegment(now time.Duration, s *packet.Segment, buf pool.Ref) {
	if p.conn == nil && p.port != nil && s.Flags.Has(packet.SYN) {
		_, err := p.port.Accept(s.Dst, s.Src, s.IfIndex, p)
		require.NoError(p.t, err)
		p.conn = tcp.Accept(now, p.config(s.Dst, s.Src), p, s)
	} else if p.conn != nil {
		p.conn.HandleSegment(now, s, buf.Retain())
	}
}

func (p *program) HandleICMP(now time.Duration, e *packet.ICMPError) { p.conn.HandleICMP(now, e) }
func (p *program) Flush(time.Duration) any                           { p.pump(); return nil }

// pump lets everything leave that may, and sets the timer.
func (p *program) pump() {
	if p.conn == nil {
		return
	}
	now := p.sim.Now()
	out := packet.Segment{Options: make([]byte, 0, packet.MaxOptions)}
	for again := true; again; {
		p.fill(now)
		again = false
		for p.conn.Poll(now, &out) {
			_, _ = p.link.Send([]packet.Segment{out}) // what is longer than the MTU is lost, as on a socket
			again = true
		}
		p.conn.Sent(now)
	}
	p.timer.Stop()
	if at, ok := p.conn.Next(); ok {
		p.timer = p.sim.At(at, func() {
			p.conn.HandleTimeout(p.sim.Now())
			p.pump()
		})
	}
}

func (p *program) fill(now time.Duration) {
	for p.sent < len(p.send) {
		n := min(p.conn.Room(), len(p.send)-p.sent, pool.MaxSize)
		if n <= 0 {
			return
		}
		p.conn.Queue(now, pool.Copy(p.send[p.sent:p.sent+n]))
		if p.sent += n; p.sent == len(p.send) {
			p.conn.Close(now)
		}
	}
}

func (p *program) Established(time.Duration)   {}
func (p *program) Acked(time.Duration, uint64) {}
func (p *program) Room(time.Duration)          {}
func (p *program) Stuck(time.Duration, int)    {}
func (p *program) FIN(time.Duration)           { p.fin = true }

func (p *program) Data(now time.Duration, b pool.Ref) {
	p.got.Write(b.B)
	p.conn.Consumed(now, len(b.B))
	b.Release()
}

func (p *program) Closed(_ time.Duration, err error) { p.ended, p.err = true, err }

// converse sends a stream each way over a path of these elements and returns when that was done.
func converse(t *testing.T, up, down int, public netip.Addr, elements func(s *simnet.Sim) []onpath.Element) time.Duration {
	t.Helper()
	s := simnet.New(1)
	n := New(s)
	a, b := n.Host("a"), n.Host("b")
	near := a.Attach("eth", 0, netip.MustParseAddr("10.0.0.1"))
	far := b.Attach("eth", 0, netip.MustParseAddr("10.0.0.2"))
	n.Join(near, far, elements(s)...).Owns(public)
	client, server := &program{t: t, sim: s, send: make([]byte, up)}, &program{t: t, sim: s, send: make([]byte, down)}
	_, _ = s.Read(client.send)
	_, _ = s.Read(server.send)
	client.link, server.link = a.Open(client), b.Open(server)
	server.listen(ap("10.0.0.2:80"))
	client.dial(ap("10.0.0.1:0"), ap("10.0.0.2:80"))
	done := time.Duration(0)
	for s.Now() < 10*time.Minute && s.Step() {
		if client.fin && server.fin {
			done = s.Now()
			break
		}
	}
	require.NotZero(t, done, "client got %d of %d, server %d of %d: %v %v", client.got.Len(), down, server.got.Len(), up, client.err, server.err)
	require.True(t, bytes.Equal(client.send, server.got.Bytes()))
	require.True(t, bytes.Equal(server.send, client.got.Bytes()))
	s.Run(s.Now() + 5*time.Minute)
	require.NoError(t, client.err)
	require.NoError(t, server.err)
	require.True(t, client.ended && server.ended)
	return done
}

// The userspace TCP gets its bytes through every box that does its work right, and over links on which
// everything goes wrong.
func TestTCPOverPaths(t *testing.T) {
	delay := func(s *simnet.Sim) onpath.Element {
		return onpath.NewLink(onpath.LinkConfig{Rate: 2e6, Delay: 10 * time.Millisecond}, s)
	}
	for _, spec := range []string{
		"bleach-ecn", "renumber", "split=500", "split-first=1000", "coalesce=8000", "no-holes", "normalize", "early-ack", "split-proxy", "syn-proxy",
		"thin-acks=4", "unseen-acks", "window=20000", "nat=192.0.2.1", "strip-kind=8", "strip-kind=4", "strip-kind=3", "mtu=1300", "mtu-blackhole=1300",
		"bad-checksum=0.01", "alg=never/seen",
	} {
		t.Run(spec, func(t *testing.T) {
			converse(t, 300_000, 100_000, netip.MustParseAddr("192.0.2.1"), func(s *simnet.Sim) []onpath.Element {
				e, err := onpath.Named(spec, s)
				require.NoError(t, err)
				return []onpath.Element{e, delay(s)}
			})
		})
	}
	t.Run("bad link", func(t *testing.T) {
		said := &onpath.Normalizer{}
		converse(t, 500_000, 200_000, netip.Addr{}, func(s *simnet.Sim) []onpath.Element {
			return []onpath.Element{
				said, onpath.Loss(0.02, s), onpath.Duplicate(onpath.Sometimes(0.02, s), 1), onpath.Corrupt(onpath.Sometimes(0.01, s), s),
				&onpath.Reorder{Probability: 0.02, By: 5 * time.Millisecond, Random: s},
				onpath.NewLink(onpath.LinkConfig{Rate: 2e6, Delay: 10 * time.Millisecond, Jitter: 3 * time.Millisecond}, s),
			}
		})
		require.Zero(t, said.Rewritten, "the same sequence number always carries the same byte")
	})
}

// CUBIC over the userspace TCP: a long transfer takes the time of the link's rate, within a tenth.
func TestTCPFillsALink(t *testing.T) {
	const rate, n = 2_500_000, 10_000_000
	took := converse(t, n, 1, netip.Addr{}, func(s *simnet.Sim) []onpath.Element {
		return []onpath.Element{onpath.NewLink(onpath.LinkConfig{Rate: rate, Delay: 20 * time.Millisecond}, nil)}
	})
	ideal := float64(n) / (rate * 1448 / 1500)
	require.InDelta(t, ideal, took.Seconds(), ideal/10)
}
