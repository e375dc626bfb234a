package onpath

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// Translating there and back gives the very packets, and outside nobody sees the inside's address.
func TestNATOnCaptures(t *testing.T) {
	for _, file := range everyCapture(t) {
		in := captured(t, file)
		public := netip.MustParseAddr("192.0.2.1")
		if len(in) > 0 && !netip.AddrFrom4([4]byte(in[0].p[12:])).IsPrivate() && in[0].p[0]>>4 == 6 {
			public = netip.MustParseAddr("2001:db8::1")
		}
		n := &NAT{Public: public}
		for i, k := range in {
			if k.d == Back {
				continue
			}
			out := through(n, []travelling{k})
			require.Len(t, out, 1)
			s := seg(t, out[0])
			require.True(t, rightSums(out[0].p), "%s %d", file, i)
			require.Equal(t, public, s.Src.Addr())
			require.NotEqual(t, seg(t, k).Src.Port(), s.Src.Port())
			answer := seg(t, k)
			answer.Src, answer.Dst = s.Dst, s.Src
			back := through(n, []travelling{{render(&answer), Back}})
			require.Equal(t, seg(t, k).Src, seg(t, back[0]).Dst)
			require.True(t, rightSums(back[0].p))
		}
	}
}

func TestNATForgetsAndRebinds(t *testing.T) {
	for _, reset := range []bool{false, true} {
		n := &NAT{Public: netip.MustParseAddr("192.0.2.1"), Idle: time.Minute, Reset: reset}
		var out []travelling
		at := func(now time.Duration, k travelling) []travelling {
			out = nil
			n.Process(now, bytes.Clone(k.p), k.d, func(p []byte, d Dir) { out = append(out, travelling{p, d}) })
			return out
		}
		syn := made(t, Forward, packet.Segment{Seq: 1, Flags: packet.SYN})
		data := made(t, Forward, packet.Segment{Seq: 2, Ack: 77, Flags: packet.ACK, Payload: []byte("x")})
		first := seg(t, at(0, syn)[0]).Src
		answer := packet.Segment{Src: far, Dst: first, Flags: packet.ACK, Seq: 9, Ack: 3}
		require.Equal(t, near, seg(t, at(50*time.Second, travelling{render(&answer), Back})[0]).Dst)
		require.Equal(t, first, seg(t, at(100*time.Second, data)[0]).Src, "used 50 s ago, by the answer")
		gone := at(161*time.Second, data)
		if reset {
			require.Equal(t, Back, gone[0].d)
			require.Equal(t, packet.RST, seg(t, gone[0]).Flags)
			require.EqualValues(t, 77, seg(t, gone[0]).Seq)
		} else {
			require.Empty(t, gone, "silence")
		}
		if !reset {
			require.Empty(t, at(161*time.Second, travelling{render(&answer), Back}))
		}
		again := seg(t, at(162*time.Second, syn)[0]).Src
		require.NotEqual(t, first, again, "a new connection, a new port")
		n.Idle = 0
		n.Rebind()
		require.NotEqual(t, again, seg(t, at(163*time.Second, data)[0]).Src)
	}
}

// A load balancer that sends joins to another machine, whose answers come from the address that was asked.
func TestBalanceSendsJoinsElsewhere(t *testing.T) {
	other := netip.MustParseAddrPort("10.77.9.9:8002")
	joins := Carries(OfSubtype(options.SubMPJoin))
	e := Balance(func(syn *packet.Segment) netip.AddrPort {
		if joins(render(syn), Forward) {
			return other
		}
		return netip.AddrPort{}
	})
	in := captured(t, "02-join-client.pcap")
	out := through(e, in)
	moved := flow{}
	for i, k := range in {
		if IsSYN(k.p, k.d) && joins(k.p, k.d) {
			moved = flow{seg(t, k).Src, seg(t, k).Dst}
		}
		require.True(t, rightSums(out[i].p))
		s := seg(t, k)
		if k.d == Forward && (flow{s.Src, s.Dst}) == moved {
			require.Equal(t, other, seg(t, out[i]).Dst)
		} else {
			require.Equal(t, k, out[i], "the first connection stays where it is")
		}
	}
	require.NotZero(t, moved)
	answer := packet.Segment{Src: other, Dst: moved.near, Flags: packet.ACK | packet.SYN}
	require.Equal(t, moved.far, seg(t, through(e, []travelling{{render(&answer), Back}})[0]).Src)
}

// A firewall that keeps the sequence space contiguous.
func TestNoHoles(t *testing.T) {
	for _, file := range everyCapture(t) {
		end := map[flow]uint32{} // naively: nothing begins beyond what has passed
		lossy := NewChain(Drop(And(IsData, Nth(2, 5, 6))), &NoHoles{})
		for _, k := range through(lossy, captured(t, file)) {
			if k.d == Back {
				continue // those meet the losses behind the firewall
			}
			g := seg(t, k)
			f := flow{g.Src, g.Dst}
			last, known := end[f]
			if known && !g.Flags.Has(packet.SYN) && !g.Flags.Has(packet.RST) {
				require.LessOrEqual(t, int32(g.Seq-last), int32(0), file)
			}
			if next := g.Seq + uint32(g.SeqLen()); !known || g.Flags.Has(packet.SYN) || int32(next-last) > 0 {
				end[f] = next
			}
		}
	}
	d := func(seq uint32) travelling {
		return made(t, Forward, packet.Segment{Seq: seq, Flags: packet.ACK, Payload: make([]byte, 10)})
	}
	n := &NoHoles{}
	out := through(n, []travelling{made(t, Forward, packet.Segment{Seq: 9, Flags: packet.SYN}), d(10), d(30), d(20), d(30), d(10), d(40)})
	var got []uint32
	for _, k := range out {
		got = append(got, seg(t, k).Seq)
	}
	require.Equal(t, []uint32{9, 10, 20, 30, 10, 40}, got)
	require.EqualValues(t, 1, n.Dropped)
}

// What was said first is what is heard, however a retransmission is cut and whatever it says.
func TestNormalizerRepeatsItself(t *testing.T) {
	n := &Normalizer{}
	d := func(seq uint32, text string) travelling {
		return made(t, Forward, packet.Segment{Seq: seq, Flags: packet.ACK, Payload: []byte(text)})
	}
	out := through(n, []travelling{d(100, "abcdef"), d(100, "abcdef"), d(98, "??abcdXYgh"), d(200, "zz"), d(103, "???")})
	var got []string
	for _, k := range out {
		got = append(got, string(seg(t, k).Payload))
		require.True(t, rightSums(k.p))
	}
	require.Equal(t, []string{"abcdef", "abcdef", "??abcdefgh", "zz", "???"}, got, "what lies before its memory passes")
	require.EqualValues(t, 1, n.Rewritten)
	damaged := through(ChecksumWrong, []travelling{d(206, "damage")})[0]
	out = through(n, []travelling{damaged, d(206, "repair")})
	require.Equal(t, "repair", string(seg(t, out[1]).Payload), "what is damaged has said nothing")
	for _, file := range everyCapture(t) {
		n, in := &Normalizer{}, captured(t, file)
		if file == "32-mp-fail-single.pcap" || file == "33-bad-csum-first.pcap" || file == "34-mp-fail-multi.pcap" {
			continue // a box changed payload there
		}
		require.Equal(t, in, through(n, in), file)
		require.Zero(t, n.Rewritten, "Linux says the same thing again")
	}
}

// A proxy that acknowledges: the sender's copy may go, the proxy's goes when the receiver has it.
func TestEarlyAck(t *testing.T) {
	var out []travelling
	emit := func(p []byte, d Dir) { out = append(out, travelling{p, d}) }
	put := func(e Element, now time.Duration, k travelling) []travelling {
		out = nil
		e.Process(now, bytes.Clone(k.p), k.d, emit)
		return out
	}
	e := &EarlyAck{}
	open := func() {
		put(e, 0, made(t, Forward, packet.Segment{Seq: 9, Flags: packet.SYN}))
		put(e, 0, made(t, Back, packet.Segment{Seq: 99, Ack: 10, Flags: packet.SYN | packet.ACK, Window: 500}))
	}
	open()
	data := made(t, Forward, packet.Segment{Seq: 10, Ack: 100, Flags: packet.ACK, Options: []byte{30, 4, 0, 0}, Payload: make([]byte, 50)})
	got := put(e, 1e6, data)
	require.Len(t, got, 2)
	ack := seg(t, got[0])
	require.Equal(t, Back, got[0].d)
	require.Equal(t, packet.Segment{Src: far, Dst: near, Seq: 100, Ack: 60, Flags: packet.ACK, TTL: 64, Window: 450, Options: []byte{}, Payload: []byte{}}, ack)
	require.Equal(t, data, got[1])
	require.Len(t, put(e, 2e6, data), 2, "sent again: acknowledged again")
	hole := made(t, Forward, packet.Segment{Seq: 70, Ack: 100, Flags: packet.ACK, Payload: make([]byte, 50)})
	require.Len(t, put(e, 3e6, hole), 1, "beyond a hole it acknowledges nothing")

	at, ok := e.Next()
	require.True(t, ok)
	require.Equal(t, 201*time.Millisecond, at)
	out = nil
	e.Tick(at, emit)
	require.Equal(t, []travelling{data}, out, "it sends by itself")
	put(e, at+1, made(t, Back, packet.Segment{Seq: 100, Ack: 60, Flags: packet.ACK}))
	_, ok = e.Next()
	require.False(t, ok, "delivered")

	open()
	put(e, 0, data)
	for n := range 3 {
		got = put(e, time.Duration(n), made(t, Back, packet.Segment{Seq: 100, Ack: 10, Flags: packet.ACK}))
		require.Len(t, got, 1+n/2, "the third acknowledgment of one number: it sends again")
	}

	open()
	put(e, 0, data)
	e.Die()
	require.Empty(t, put(e, 1, data))
	_, ok = e.Next()
	require.False(t, ok, "what it had acknowledged is gone")
}

// An unanswered proxy gives up; a SYN on the same ports begins anew.
func TestEarlyAckIsBounded(t *testing.T) {
	e := &EarlyAck{}
	data := made(t, Forward, packet.Segment{Seq: 10, Ack: 100, Flags: packet.ACK, Payload: make([]byte, 50)})
	syn := made(t, Forward, packet.Segment{Seq: 9, Flags: packet.SYN})
	synack := made(t, Back, packet.Segment{Seq: 99, Ack: 10, Flags: packet.SYN | packet.ACK, Window: 500})
	in := []travelling{syn, synack, data, syn, synack, data}
	out := through(e, in)
	again := 0
	for _, k := range out {
		if bytes.Equal(k.p, data.p) {
			again++
		}
	}
	require.Equal(t, 2+pepTries, again)
}

func TestSplitProxyLooksLikeStrippedOptions(t *testing.T) {
	in := captured(t, "13-repeated-mapping.pcap")
	out := through(SplitProxy(1000, 400), in)
	require.Equal(t, countMPTCP(t, in, HasSYN), countMPTCP(t, out, HasSYN))
	require.Zero(t, countMPTCP(t, out, NoSYN))
	want, got := said(t, in), said(t, out)
	for f, b := range want {
		shift := uint32(1000)
		if got[f] == nil || f.near.Port() == 8013 {
			shift = ^uint32(1000)
		}
		for n, c := range b {
			require.Equal(t, c, got[f][n+shift])
		}
	}
}

func TestThinAcks(t *testing.T) {
	ack := func(n uint32, p string) travelling {
		return made(t, Back, packet.Segment{Ack: n, Flags: packet.ACK, Payload: []byte(p)})
	}
	out := through(ThinAcks(Back, 3), []travelling{ack(1, ""), ack(2, ""), ack(3, ""), ack(4, ""), ack(4, ""), ack(4, ""), ack(5, "x"), ack(6, "")})
	var got []uint32
	for _, k := range out {
		got = append(got, seg(t, k).Ack)
	}
	require.Equal(t, []uint32{3, 4, 4, 5}, got, "one of three, duplicates and data whole")
}

// A box sees one path of two: Linux acknowledges on each what was sent there.
func TestUnseenAcks(t *testing.T) {
	for _, file := range []string{"01-handshake-v4.pcap", "02-join-client.pcap", "08-data-fin-halfclose.pcap", "12-checksum.pcap", "45-fullmesh.pcap"} {
		u := &UnseenAcks{}
		in := captured(t, file)
		require.Len(t, through(u, in), len(in)-int(u.Dropped))
		require.Zero(t, u.Dropped, file)
	}
	u := &UnseenAcks{}
	out := through(u, []travelling{
		made(t, Forward, packet.Segment{Seq: 10, Flags: packet.ACK, Payload: make([]byte, 5)}),
		made(t, Back, packet.Segment{Seq: 1, Ack: 15, Flags: packet.ACK}),
		made(t, Back, packet.Segment{Seq: 1, Ack: 16, Flags: packet.ACK}),
	})
	require.Len(t, out, 2)
	require.EqualValues(t, 1, u.Dropped)
}

func TestShrinkWindow(t *testing.T) {
	for _, tc := range []struct{ shift, want int }{{-1, 4096}, {0, 4096}, {7, 32}, {14, 0}} {
		var area []byte
		if tc.shift >= 0 {
			area = []byte{1, options.KindWindowScale, 3, byte(tc.shift)}
		}
		in := []travelling{
			made(t, Back, packet.Segment{Flags: packet.SYN | packet.ACK, Window: 65535, Options: area}),
			made(t, Back, packet.Segment{Flags: packet.ACK, Window: 65535}),
			made(t, Back, packet.Segment{Flags: packet.ACK, Window: 0}),
			made(t, Forward, packet.Segment{Flags: packet.ACK, Window: 65535}),
		}
		var got []int
		for _, k := range through(ShrinkWindow(Back, 4096), in) {
			require.True(t, rightSums(k.p))
			got = append(got, int(seg(t, k).Window))
		}
		require.Equal(t, []int{4096, tc.want, 0, 65535}, got)
	}
}

// A box against floods between the two ends of a plain connection: each sees the other's bytes in numbers that
// it understands, and no options but the segment size.
func TestSYNProxy(t *testing.T) {
	y := &SYNProxy{Secret: 42}
	step := func(k travelling) []travelling { return through(y, []travelling{k}) }
	mptcp := []byte{30, 4, 1, 1}
	out := step(made(t, Forward, packet.Segment{Seq: 1000, Flags: packet.SYN, Options: mptcp}))
	require.Len(t, out, 1)
	synack := seg(t, out[0])
	require.Equal(t, Back, out[0].d)
	require.Equal(t, packet.SYN|packet.ACK, synack.Flags)
	require.EqualValues(t, 1001, synack.Ack)
	require.Equal(t, []byte{2, 4, 5, 180}, synack.Options)
	out = step(made(t, Forward, packet.Segment{Seq: 1001, Ack: synack.Seq + 1, Flags: packet.ACK}))
	syn := seg(t, out[0])
	require.Equal(t, Forward, out[0].d)
	require.Equal(t, packet.SYN, syn.Flags)
	require.EqualValues(t, 1000, syn.Seq)
	out = step(made(t, Back, packet.Segment{Seq: 5000, Ack: 1001, Flags: packet.SYN | packet.ACK}))
	require.Equal(t, Forward, out[0].d, "the client knows already")
	require.EqualValues(t, 5001, seg(t, out[0]).Ack)
	out = step(made(t, Back, packet.Segment{Seq: 5001, Ack: 1001, Flags: packet.ACK, Payload: []byte("hello")}))
	require.Equal(t, synack.Seq+1, seg(t, out[0]).Seq)
	out = step(made(t, Forward, packet.Segment{Seq: 1001, Ack: synack.Seq + 6, Flags: packet.ACK}))
	require.EqualValues(t, 5006, seg(t, out[0]).Ack)
	require.True(t, rightSums(out[0].p))
}

func TestSYNData(t *testing.T) {
	in := captured(t, "28-tfo.pcap")
	for _, keep := range []int{0, 100, 1000} {
		out := through(SYNData(keep), in)
		found := false
		for i := range in {
			if !HasSYN(in[i].p, in[i].d) {
				require.Equal(t, in[i], out[i])
				continue
			}
			want := seg(t, in[i]).Payload
			found = found || len(want) == 300
			require.Equal(t, want[:min(keep, len(want))], seg(t, out[i]).Payload)
			require.True(t, rightSums(out[i].p))
		}
		require.True(t, found)
	}
	cookies := through(Strip(Any, OfKind(KindFastOpen)), in)
	for _, k := range cookies {
		require.False(t, Carries(OfKind(KindFastOpen))(k.p, k.d))
	}
}
