package tcp

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

func listenConfig() ListenConfig {
	return ListenConfig{
		Secret: testSecret, SYNs: 2, Backlog: 3,
		Conn: Config{MTU: 1500, Controller: newController(), RecvBuffer: 1 << 20, ECN: true},
	}
}

func synFrom(port uint16, o synOptions) packet.Segment {
	return packet.Segment{
		Src: netip.AddrPortFrom(clientAddr.Addr(), port), Dst: serverAddr,
		Seq: 1000 + uint32(port), Flags: packet.SYN, Window: 5000, Options: o.append(nil),
	}
}

var modern = synOptions{mss: 1460, scale: 7, hasScale: true, sack: true, ts: true, tsVal: 4711}

func outSegment() packet.Segment {
	return packet.Segment{Options: make([]byte, 0, packet.MaxOptions)}
}

func TestHandshakesUnderWayAreLimited(t *testing.T) {
	cfg := listenConfig()
	cfg.NoCookies = true
	l := NewListener(cfg)
	out := outSegment()
	var got []Verdict
	for i := range 4 {
		syn := synFrom(uint16(i+1), modern)
		v, _ := l.HandleSegment(0, &syn, &out)
		got = append(got, v)
	}
	require.Equal(t, []Verdict{Admit, Admit, Ignore, Ignore}, got)
	l.Failed()
	l.Established()
	syn := synFrom(9, modern)
	v, _ := l.HandleSegment(0, &syn, &out)
	require.Equal(t, Admit, v, "there is room again")
	syns, waiting := l.Pending()
	require.Equal(t, [2]int{1, 1}, [2]int{syns, waiting})
}

func TestTheBacklogIsLimited(t *testing.T) {
	l := NewListener(listenConfig())
	out := outSegment()
	for i := range 3 {
		syn := synFrom(uint16(i+1), modern)
		v, _ := l.HandleSegment(0, &syn, &out)
		require.Equal(t, Admit, v)
		l.Established()
	}
	syn := synFrom(9, modern)
	v, _ := l.HandleSegment(0, &syn, &out)
	require.Equal(t, Ignore, v, "the peer tries again")
	require.EqualValues(t, 1, l.Counters.ListenOverflows)
	l.Accepted()
	v, _ = l.HandleSegment(0, &syn, &out)
	require.Equal(t, Admit, v)
}

func TestStraysAreReset(t *testing.T) {
	l := NewListener(listenConfig())
	for _, c := range []struct {
		f    packet.Flags
		want Verdict
	}{
		{packet.RST, Ignore}, {packet.RST | packet.ACK, Ignore}, {packet.ACK, Reply}, {packet.FIN | packet.ACK, Reply},
		{packet.SYN | packet.ACK, Reply}, {0, Ignore}, {packet.FIN, Ignore}, {packet.SYN | packet.FIN, Ignore},
	} {
		out := outSegment()
		s := packet.Segment{Src: clientAddr, Dst: serverAddr, Seq: 5, Ack: 77, Flags: c.f}
		v, _ := l.HandleSegment(0, &s, &out)
		require.Equal(t, c.want, v, "%v: RFC 9293 section 3.10.7.2", c.f)
		if v == Reply {
			require.Equal(t, packet.RST, out.Flags)
			require.EqualValues(t, 77, out.Seq)
			require.Equal(t, clientAddr, out.Dst)
		}
	}
}

func TestResetsAreLimited(t *testing.T) {
	l := NewListener(listenConfig())
	n := 0
	for range 10_000 {
		out := outSegment()
		s := packet.Segment{Src: clientAddr, Dst: serverAddr, Ack: 77, Flags: packet.ACK}
		if v, _ := l.HandleSegment(0, &s, &out); v == Reply {
			n++
		}
	}
	require.Equal(t, 1000, n)
}

// full is a listener that answers with cookies.
func full(t *testing.T, cfg ListenConfig) *Listener {
	l := NewListener(cfg)
	out := outSegment()
	for i := range 2 {
		syn := synFrom(uint16(i+1), modern)
		v, _ := l.HandleSegment(0, &syn, &out)
		require.Equal(t, Admit, v)
	}
	return l
}

// Whatever a client asks for, a connection made of a cookie agrees with it on what matters.
func TestCookieConnectionAgreesWithItsPeer(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mss := rapid.IntRange(536, 9000).Draw(rt, "mtu") // the client's MTU less headers
		flag := func(name string) bool { return rapid.Bool().Draw(rt, name) }
		ccfg := Config{
			Local: clientAddr, Remote: serverAddr, MTU: mss + 40, ISN: rapid.Uint32().Draw(rt, "isn"), TSOffset: rapid.Uint32().Draw(rt, "ts"),
			NoTimestamps: flag("ts off"), NoSACK: flag("sack off"), NoScale: flag("scale off"), ECN: flag("ecn"), Controller: newController(),
		}
		start := time.Duration(rapid.Int64Range(0, int64(100*time.Hour)).Draw(rt, "now"))
		lcfg := listenConfig()
		lcfg.Conn.RecvBuffer = rapid.SampledFrom([]int{0, 64 << 10, 1 << 20}).Draw(rt, "buffer")
		l := full(t, lcfg)
		w := newWorld(t, 1)
		a, b := w.ends[0], w.ends[1]
		a.cfg = ccfg
		a.c = Dial(start, ccfg, a)
		syn, synack := outSegment(), outSegment()
		require.True(rt, a.c.Poll(start, &syn))
		v, _ := l.HandleSegment(start, &syn, &synack)
		require.Equal(rt, Reply, v)
		now := start + 50*time.Millisecond
		a.c.HandleSegment(now, &synack, pool.Ref{})
		require.Equal(rt, Established, a.c.State())
		ack := outSegment()
		require.True(rt, a.c.Poll(now, &ack))
		v, k := l.HandleSegment(now, &ack, &synack)
		require.Equal(rt, Restore, v)
		cfg := lcfg.Conn
		cfg.Local, cfg.Remote, cfg.TSOffset = serverAddr, clientAddr, TSOffset(&testSecret, serverAddr, clientAddr)
		cfg.Controller = newController()
		b.c = Resume(now, cfg, b, &ack, k)
		b.c.HandleSegment(now, &ack, pool.Ref{})
		require.Equal(rt, Established, b.c.State())
		x, y := a.c.Stats().Stack, b.c.Stats().Stack
		require.Equal(rt, x.TimeStamps, y.TimeStamps)
		require.Equal(rt, x.SACK, y.SACK)
		require.Equal(rt, x.ECN, y.ECN)
		require.LessOrEqual(rt, b.c.snd.mss, mss)
		if mss >= 1220 {
			require.GreaterOrEqual(rt, b.c.snd.mss, min(mss, 1460)*85/100, "little is lost where links are common")
		}
		if x.TimeStamps {
			require.Equal(rt, x.WinScaleSent, y.WinScaleRcvd)
			require.Equal(rt, x.WinScaleRcvd, y.WinScaleSent)
		} else {
			require.Zero(rt, y.WinScaleRcvd+y.WinScaleSent)
		}
		w.now = now
		a.send, b.send = pattern(5000, 1), pattern(5000, 2)
		a.fill(now)
		b.fill(now)
		w.flush(0)
		w.flush(1)
		require.True(rt, w.run(10*time.Second, func() bool { return len(a.got) == 5000 && len(b.got) == 5000 }))
		require.True(rt, bytes.Equal(a.got, pattern(5000, 2)) && bytes.Equal(b.got, pattern(5000, 1)))
		w.finish()
	})
}

func TestCookieAnnouncesTheMTU(t *testing.T) {
	l := full(t, listenConfig())
	for _, mtu := range []int{1500, 1300} {
		l.SetMTU(mtu)
		syn, out := synFrom(7, modern), outSegment()
		v, _ := l.HandleSegment(0, &syn, &out)
		require.Equal(t, Reply, v)
		var h header
		h.parse(out.Options, true)
		require.Equal(t, mtu-40, h.mss)
	}
}

func TestCookiesCannotBeForged(t *testing.T) {
	l := full(t, listenConfig())
	syn, out := synFrom(7, modern), outSegment()
	v, _ := l.HandleSegment(time.Hour, &syn, &out)
	require.Equal(t, Reply, v)
	good := packet.Segment{Src: syn.Src, Dst: syn.Dst, Seq: syn.Seq + 1, Ack: out.Seq + 1, Flags: packet.ACK, Options: appendTimestamps(nil, 1, 2)}
	check := func(at time.Duration, change func(*packet.Segment)) Verdict {
		s := good
		change(&s)
		o := outSegment()
		v, _ := l.HandleSegment(at, &s, &o)
		return v
	}
	require.Equal(t, Restore, check(time.Hour, func(*packet.Segment) {}))
	l.Accepted()
	require.Equal(t, Restore, check(time.Hour+cookieLife*cookieTick, func(*packet.Segment) {}), "it lives that long")
	l.Accepted()
	require.Equal(t, Reply, check(time.Hour+(cookieLife+1)*cookieTick, func(*packet.Segment) {}), "and no longer")
	require.Equal(t, Reply, check(time.Hour, func(s *packet.Segment) { s.Seq++ }))
	require.Equal(t, Reply, check(time.Hour, func(s *packet.Segment) { s.Src = clientAddr }))
	require.Equal(t, Reply, check(time.Hour, func(s *packet.Segment) { s.Dst = clientAddr }))
	for bit := range 32 {
		require.Equal(t, Reply, check(time.Hour, func(s *packet.Segment) { s.Ack = (s.Ack - 1 ^ 1<<bit) + 1 }), "bit %d", bit)
	}
}

func TestNoCookieIsTastedWhereNoneWasBaked(t *testing.T) {
	l := full(t, listenConfig())
	syn, out := synFrom(7, modern), outSegment()
	l.HandleSegment(0, &syn, &out)
	other := NewListener(listenConfig()) // the same secret
	ack := packet.Segment{Src: syn.Src, Dst: syn.Dst, Seq: syn.Seq + 1, Ack: out.Seq + 1, Flags: packet.ACK}
	v, _ := other.HandleSegment(0, &ack, &out)
	require.Equal(t, Reply, v, "an attacker has as many tries as it sends segments: only while there is a flood")
}

// offer is an extension that keeps its part of the state in the options.
type offer struct{ refuse bool }

func (o offer) Offer(_ time.Duration, syn *packet.Segment, dst []byte, budget int) ([]byte, bool) {
	if o.refuse {
		return dst, false
	}
	return append(dst, options.Kind, 12, 0x01, 0x81, 1, 2, 3, 4, 5, 6, 7, byte(budget)), true
}

func TestCookieCarriesTheExtensionsOptions(t *testing.T) {
	cfg := listenConfig()
	cfg.Stateless = offer{}
	l := full(t, cfg)
	syn, out := synFrom(7, modern), outSegment()
	v, _ := l.HandleSegment(0, &syn, &out)
	require.Equal(t, Reply, v)
	require.Equal(t, []byte{options.Kind, 12, 0x01, 0x81, 1, 2, 3, 4, 5, 6, 7, 20}, out.Options[20:])

	cfg.Stateless = offer{refuse: true}
	l = full(t, cfg)
	v, _ = l.HandleSegment(0, &syn, &out)
	require.Equal(t, Ignore, v, "a join needs state")
	require.EqualValues(t, 1, l.Counters.ListenDrops)
}

func TestAFloodKeepsNothing(t *testing.T) {
	l := full(t, listenConfig())
	out := outSegment()
	syn := synFrom(1, modern)
	n := testing.AllocsPerRun(1000, func() {
		syn.Seq++
		out.Options = out.Options[:0]
		if v, _ := l.HandleSegment(time.Second, &syn, &out); v != Reply {
			t.Fatal(v)
		}
	})
	require.Zero(t, n)
}

func BenchmarkCookie(b *testing.B) {
	l := NewListener(ListenConfig{SYNs: 1, Conn: Config{MTU: 1500, Controller: newController()}})
	l.syns = 1
	out := outSegment()
	syn := synFrom(1, modern)
	b.ReportAllocs()
	for b.Loop() {
		syn.Seq++
		out.Options = out.Options[:0]
		l.HandleSegment(time.Second, &syn, &out)
	}
}
