package tcp

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// sink is a Handler that checks what every Handler may rely on.
type sink struct {
	tb   testing.TB
	c    *Conn
	got  uint64
	fin  bool
	done bool
}

func (s *sink) live() { require.False(s.tb, s.done, "a call after Closed") }

func (s *sink) Established(time.Duration) { s.live() }
func (s *sink) Data(now time.Duration, p pool.Ref) {
	s.live()
	require.False(s.tb, s.fin, "data after FIN")
	require.NotEmpty(s.tb, p.B)
	s.got += uint64(len(p.B))
	if s.got%3 != 0 {
		s.c.Consumed(now, len(p.B))
	}
	p.Release()
}
func (s *sink) FIN(time.Duration) {
	s.live()
	require.False(s.tb, s.fin)
	s.fin = true
}
func (s *sink) Acked(_ time.Duration, off uint64) {
	s.live()
	require.LessOrEqual(s.tb, off, s.c.snd.nxt)
}
func (s *sink) Room(now time.Duration) { s.live() }
func (s *sink) Stuck(time.Duration, int) {
	s.live()
}
func (s *sink) Closed(time.Duration, error) {
	s.live()
	s.done = true
}

// reach brings a connection into a state. The peer's numbers begin at peerISN, ours at ourISN.
func reach(tb testing.TB, st State, options byte) (*Conn, *sink, time.Duration) {
	h := &sink{tb: tb}
	cfg := Config{
		Local: clientAddr, Remote: serverAddr, ISN: ourISN, TSOffset: tsBase, MTU: 1500, Controller: newController(), RecvBuffer: 100_000,
		NoTimestamps: options&1 != 0, NoSACK: options&2 != 0, NoScale: options&4 != 0, ECN: options&8 != 0, NoDelay: options&16 != 0,
	}
	if options&32 != 0 {
		cfg.KeepAlive.Idle, cfg.UserTimeout = time.Minute, 5*time.Minute
	}
	now := time.Second
	out := outSegment()
	in := func(f packet.Flags, seq, ack uint32, opts []byte) {
		s := packet.Segment{Src: serverAddr, Dst: clientAddr, Seq: peerISN + seq, Ack: ourISN + ack, Flags: f, Window: 5000, Options: opts}
		h.c.HandleSegment(now, &s, pool.Ref{})
		drainAll(tb, h.c, now, &out)
	}
	offer := (&synOptions{mss: 1460, scale: 3, hasScale: true, sack: true, ts: true, tsVal: 9}).append(nil)
	ack := appendTimestamps(nil, 9, tsBase)
	if st == SynReceived {
		syn := packet.Segment{Src: serverAddr, Dst: clientAddr, Seq: peerISN, Flags: packet.SYN, Window: 5000, Options: offer}
		h.c = Accept(now, cfg, h, &syn)
		drainAll(tb, h.c, now, &out)
		return h.c, h, now
	}
	h.c = Dial(now, cfg, h)
	drainAll(tb, h.c, now, &out)
	if st == SynSent {
		return h.c, h, now
	}
	in(packet.SYN|packet.ACK, 0, 1, offer)
	h.c.Queue(now, pool.Copy(make([]byte, 4000)))
	drainAll(tb, h.c, now, &out)
	switch st {
	case FinWait1, FinWait2, Closing, TimeWait:
		in(packet.ACK, 1, 4001, ack)
		h.c.Close(now)
	case CloseWait, LastAck:
		in(packet.ACK|packet.FIN, 1, 4001, ack)
	}
	drainAll(tb, h.c, now, &out)
	switch st {
	case FinWait2:
		in(packet.ACK, 1, 4002, ack)
	case Closing:
		in(packet.ACK|packet.FIN, 1, 4001, ack)
	case TimeWait:
		in(packet.ACK|packet.FIN, 1, 4002, ack)
	case LastAck:
		h.c.Close(now)
		drainAll(tb, h.c, now, &out)
	}
	require.Equal(tb, st, h.c.State())
	return h.c, h, now
}

// drainAll polls, and checks what leaves: it has to be a segment that package packet takes, and ours.
func drainAll(tb testing.TB, c *Conn, now time.Duration, out *packet.Segment) {
	n := 0
	for ; c.Poll(now, out); n++ {
		require.Less(tb, n, 200, "Poll never ends")
		require.LessOrEqual(tb, len(out.Options), packet.MaxOptions)
		require.Zero(tb, len(out.Options)%4)
		require.LessOrEqual(tb, out.Len(), 1500)
		out.Options = out.Options[:0]
	}
	c.Sent(now)
}

// FuzzSegments feeds arbitrary segments, near what the connection expects and far from it, in every state.
func FuzzSegments(f *testing.F) {
	for st := SynSent; st <= TimeWait; st++ {
		f.Add(byte(st), byte(0), []byte{0x10, 0, 0, 0, 1, 0, 0, 0, 1, 0x40, 0, 10, 0, 0})
		f.Add(byte(st), byte(63), []byte{0x04, 0, 0, 0, 1, 0, 0, 0, 1, 0x40, 0, 0, 0, 0, 0x12, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 12, 1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0})
		f.Add(byte(st), byte(8), []byte{0x11, 0, 0, 0, 200, 0, 0, 15, 161, 0x40, 0, 40, 7, 0, 0x10, 0, 0, 0, 1, 0, 0, 15, 162, 0, 0, 255, 2, 0})
	}
	f.Fuzz(run)
}

func run(t *testing.T, state, options byte, in []byte) {
	st := SynSent + State(state)%(TimeWait-SynSent+1)
	c, h, now := reach(t, st, options)
	out := outSegment()
	for steps := 0; len(in) >= 14 && steps < 200; steps++ {
		s := packet.Segment{
			Src: serverAddr, Dst: clientAddr,
			Flags: packet.Flags(in[0]), Seq: peerISN + binary.BigEndian.Uint32(in[1:]), Ack: ourISN + binary.BigEndian.Uint32(in[5:]),
			Window: binary.BigEndian.Uint16(in[9:]), TOS: in[12],
		}
		n, opts := int(in[11])*8, min(int(in[13]), packet.MaxOptions)
		what := in[12] >> 2
		in = in[14:]
		opts = min(opts, len(in))
		s.Options, in = in[:opts], in[opts:]
		var ref pool.Ref
		if n > 0 {
			ref = pool.Copy(make([]byte, n))
			s.Payload = ref.B
		}
		c.HandleSegment(now, &s, ref)
		drainAll(t, c, now, &out)
		now += program(c, h, now, what)
		drainAll(t, c, now, &out)
		require.LessOrEqual(t, c.snd.una, c.snd.nxt)
		require.LessOrEqual(t, c.rcv.q.memory, 2*c.rcv.limit+pool.MaxSize)
		require.LessOrEqual(t, len(c.rcv.q.islands), maxIslands+1)
	}
	for range 400 { // left alone, it comes to rest
		at, ok := c.Next()
		if !ok {
			break
		}
		now = max(now, at)
		c.HandleTimeout(now)
		drainAll(t, c, now, &out)
	}
	c.Abort(now)
	drainAll(t, c, now, &out)
	require.True(t, c.Done())
}

// program is what happens between two segments: a call, an ICMP error, or time.
func program(c *Conn, _ *sink, now time.Duration, what byte) time.Duration {
	switch what {
	case 1:
		c.Queue(now, pool.Copy(make([]byte, 3000)))
	case 2:
		c.Close(now)
	case 3:
		c.CloseRead(now)
	case 4:
		c.AckNow(now)
	case 5:
		c.KeepAlive(now)
	case 6:
		c.Ack(now)
	case 7:
		e := packet.ICMPError{Trouble: packet.TroubleTooBig, MTU: 600, Seq: ourISN + uint32(c.snd.una)}
		c.HandleICMP(now, &e)
	case 8:
		c.Limit(2000)
	case 9:
		c.Limit(0)
	case 10:
		c.Consumed(now, 1<<20)
	case 11:
		c.SetSuper(20_000)
		c.SetSuper(0)
	case 12:
		c.Abort(now)
	default:
		step := time.Duration(what) * time.Duration(what) * 10 * time.Millisecond
		c.HandleTimeout(now + step)
		return step
	}
	return 0
}

// FuzzHeader eats options.
func FuzzHeader(f *testing.F) {
	f.Add([]byte{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7}, true)
	f.Add([]byte{1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2}, false)
	f.Fuzz(func(t *testing.T, b []byte, syn bool) {
		var h header
		h.parse(b, syn)
		require.LessOrEqual(t, h.scale, uint8(maxScale))
		require.LessOrEqual(t, h.sack.N, uint8(4))
		if !syn {
			require.False(t, h.sackOK || h.hasScale || h.mss != 0)
		}
	})
}

// FuzzListener feeds arbitrary segments to a listener that sends cookies: nothing but its own cookie passes.
func FuzzListener(f *testing.F) {
	f.Add([]byte{0x10, 0, 0, 0, 1, 0, 0, 0, 1}, uint32(0))
	f.Add([]byte{0x02, 0, 0, 0, 1, 0, 0, 0, 1, 2, 4, 5, 180}, uint32(70))
	f.Fuzz(func(t *testing.T, b []byte, at uint32) {
		if len(b) < 9 {
			return
		}
		l := NewListener(listenConfig())
		l.syns = 2
		now := time.Duration(at) * time.Second
		out := outSegment()
		first := synFrom(5, modern)
		l.HandleSegment(now, &first, &out)
		cookie := out.Seq
		s := packet.Segment{
			Src: first.Src, Dst: first.Dst, Flags: packet.Flags(b[0]), Seq: binary.BigEndian.Uint32(b[1:]),
			Ack: binary.BigEndian.Uint32(b[5:]), Options: b[9:min(len(b), 49)],
		}
		out = outSegment()
		v, _ := l.HandleSegment(now, &s, &out)
		require.LessOrEqual(t, len(out.Options), packet.MaxOptions)
		require.NotEqual(t, Admit, v)
		if v == Restore {
			require.Equal(t, cookie+1, s.Ack)
			require.Equal(t, first.Seq+1, s.Seq)
		}
		if v == Reply && s.Flags.Has(packet.SYN) && !s.Flags.Has(packet.ACK) {
			require.Equal(t, s.Seq+1, out.Ack)
			require.NotEqual(t, cookie, out.Seq^1)
		}
	})
}
