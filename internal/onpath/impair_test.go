package onpath

import (
	"bytes"
	"math"
	"math/bits"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// numbered are n packets of size bytes that carry their number.
func numbered(t testing.TB, n, size int) (all []travelling) {
	for i := range n {
		all = append(all, made(t, Forward, packet.Segment{Seq: uint32(i), Flags: packet.ACK, TOS: packet.ECNECT0, Payload: make([]byte, size-40)}))
	}
	return all
}

func numbers(t testing.TB, all []travelling) (list []uint32) {
	for _, k := range all {
		list = append(list, seg(t, k).Seq)
	}
	return list
}

// times sends packets at once and notes when they arrive.
func times(e Timed, all []travelling) (at []time.Duration, out []travelling) {
	now := time.Duration(0)
	emit := func(p []byte, d Dir) { at, out = append(at, now), append(out, travelling{p, d}) }
	for _, k := range all {
		e.Process(0, k.p, k.d, emit)
	}
	for {
		next, ok := e.Next()
		if !ok {
			return at, out
		}
		now = next
		e.Tick(now, emit)
	}
}

// Formula: packet i of size s arrives at (i+1)*s/rate + delay, and the queue holds what it may.
func TestLinkRateDelayAndQueue(t *testing.T) {
	l := NewLink(LinkConfig{Rate: 100_000, Delay: 30 * time.Millisecond, Queue: 10_000}, nil)
	at, out := times(l, numbered(t, 15, 1000))
	require.Len(t, out, 10)
	require.EqualValues(t, 5, l.Stats().Dropped)
	for i := range at {
		require.InDelta(t, float64(time.Duration(i+1)*10*time.Millisecond+30*time.Millisecond), float64(at[i]), 10)
	}
	require.True(t, slices.IsSorted(numbers(t, out)))
	at, _ = times(NewLink(LinkConfig{Delay: time.Second}, nil), numbered(t, 3, 1000))
	require.Equal(t, []time.Duration{time.Second, time.Second, time.Second}, at, "no rate: no queue")
	at, _ = times(NewLink(LinkConfig{}, nil), numbered(t, 3, 1000))
	require.Equal(t, []time.Duration{0, 0, 0}, at)
}

func TestLinkDirectionsAreIndependent(t *testing.T) {
	l := NewLink(LinkConfig{Rate: 1000}, nil)
	l.Set(Back, LinkConfig{Delay: time.Second})
	require.Equal(t, time.Second, l.Config(Back).Delay)
	f, b := made(t, Forward, packet.Segment{Payload: make([]byte, 460)}), made(t, Back, packet.Segment{})
	at, out := times(l, []travelling{f, b})
	require.Equal(t, []time.Duration{500 * time.Millisecond, time.Second}, at)
	require.Equal(t, Back, out[1].d)
}

// Jitter spreads over its whole extent, and packets keep their order.
func TestLinkJitter(t *testing.T) {
	l := NewLink(LinkConfig{Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond}, random(1))
	var at []time.Duration
	for i := range 1000 {
		sent := time.Duration(i) * 20 * time.Millisecond
		l.Process(sent, numbered(t, 1, 100)[0].p, Forward, nil)
		due, ok := l.Next()
		require.True(t, ok)
		at = append(at, due-sent)
		l.Tick(due, func([]byte, Dir) {})
	}
	slices.Sort(at)
	require.InDelta(t, 10, at[0].Seconds()*1000, 0.2)
	require.InDelta(t, 15, at[500].Seconds()*1000, 1)
	require.InDelta(t, 20, at[999].Seconds()*1000, 0.2)
	_, out := times(NewLink(LinkConfig{Jitter: time.Second}, random(2)), numbered(t, 200, 100))
	require.True(t, slices.IsSorted(numbers(t, out)))
}

// RFC 3168: marked instead of lost, when the transport knows and the queue is long.
func TestLinkMarks(t *testing.T) {
	l := NewLink(LinkConfig{Rate: 100_000, Mark: 5000}, nil)
	in := numbered(t, 10, 1000)
	setTrafficClass(in[8].p, 0)
	_, out := times(l, in)
	var marks []uint8
	for _, k := range out {
		require.True(t, rightSums(k.p))
		marks = append(marks, seg(t, k).TOS)
	}
	require.Equal(t, []uint8{2, 2, 2, 2, 2, 2, 3, 3, 0, 3}, marks)
	require.EqualValues(t, 3, l.Stats().Marked)
}

// Binomial and geometric: within four standard deviations, with a fixed seed.
func TestLossRates(t *testing.T) {
	in := numbered(t, 20_000, 40)
	for _, p := range []float64{0, 0.01, 0.3, 1} {
		out := through(Loss(p, random(1)), in)
		n := float64(len(in))
		require.InDelta(t, n*(1-p), len(out), 4*math.Sqrt(n*p*(1-p))+0.1)
	}
	out := through(&Bursts{ToBad: 0.01, ToGood: 0.2, LossBad: 1, Random: random(2)}, in)
	lost := map[uint32]bool{}
	for i := range in {
		lost[uint32(i)] = true
	}
	for _, n := range numbers(t, out) {
		delete(lost, n)
	}
	bursts := 0
	for n := range lost {
		if !lost[n-1] {
			bursts++
		}
	}
	require.InDelta(t, 20_000*0.01/0.21, len(lost), 200, "ToBad/(ToBad+ToGood)")
	require.InDelta(t, 5, float64(len(lost))/float64(bursts), 1, "a mean of 1/ToGood")
}

func TestExactLosses(t *testing.T) {
	in := numbered(t, 10, 40)
	require.Equal(t, []uint32{0, 1, 3, 4, 5, 7, 8, 9}, numbers(t, through(Drop(Nth(3, 7)), in)))
	require.Equal(t, []uint32{0, 1, 2}, numbers(t, through(Drop(From(4)), in)))
	b := &Blackhole{On: true}
	require.Empty(t, through(b, in))
	require.EqualValues(t, 10, b.Swallowed)
	b.On = false
	require.Len(t, through(b, in), 10)
}

func TestReorder(t *testing.T) {
	in := numbered(t, 2000, 40)
	out := through(&Reorder{Probability: 0.1, By: 3500 * time.Microsecond, Random: random(1)}, in)
	require.Len(t, out, len(in))
	late := 0
	highest := uint32(0)
	for i, n := range numbers(t, out) {
		require.LessOrEqual(t, math.Abs(float64(int(n)-i)), 4.0)
		if n < highest {
			late++
		}
		highest = max(highest, n)
	}
	require.InDelta(t, 200, late, 60)

	out = through(&Swap{Which: Nth(2), After: 3, Wait: time.Second}, in[:6])
	require.Equal(t, []uint32{0, 2, 3, 4, 1, 5}, numbers(t, out))
	out = through(&Swap{Which: Nth(5), After: 300, Wait: time.Second}, in[:6])
	require.Equal(t, []uint32{0, 1, 2, 3, 5, 4}, numbers(t, out), "nothing follows: it waits no longer")
}

func TestDuplicate(t *testing.T) {
	in := numbered(t, 4, 40)
	require.Equal(t, []uint32{0, 1, 1, 1, 2, 3}, numbers(t, through(Duplicate(Nth(2), 2), in)))
	out := through(Duplicate(Sometimes(0.5, random(1)), 1), numbered(t, 2000, 40))
	require.InDelta(t, 3000, len(out), 100)
	require.NotSame(t, &through(Duplicate(Any, 1), in)[0].p[0], &through(Duplicate(Any, 1), in)[1].p[0])
}

func TestCorrupt(t *testing.T) {
	in := numbered(t, 500, 60)
	changed := 0
	for i, k := range through(Corrupt(Sometimes(0.5, random(1)), random(2)), in) {
		flipped := 0
		for j := range k.p {
			flipped += bits.OnesCount8(k.p[j] ^ in[i].p[j])
		}
		require.LessOrEqual(t, flipped, 1)
		require.Equal(t, flipped == 0, rightSums(k.p))
		require.Equal(t, in[i].p[:20], k.p[:20])
		changed += flipped
	}
	require.InDelta(t, 250, changed, 50)
}

func TestChecksums(t *testing.T) {
	for _, file := range []string{"01-handshake-v4.pcap", "23-ipv6-add-addr-join.pcap"} {
		in := captured(t, file)
		for _, c := range []Checksum{ChecksumWrong, ChecksumZero, ChecksumPartial} {
			out := through(c, in)
			require.False(t, rightSums(out[0].p))
			_, err := packet.Parse(out[0].p)
			require.Equal(t, c == ChecksumPartial, err == nil, "the sum of the pseudo-header is how offload looks")
			require.Equal(t, in, through(ChecksumRight, out), "and a box that computes it anew mends it")
		}
		wrong := through(ChecksumWrong, in)
		out := through(Renumber{Forward: 77, Back: 99}.Element(), wrong)
		for _, k := range out {
			require.False(t, rightSums(k.p), "a box that updates it does not")
		}
	}
}

func TestMTU(t *testing.T) {
	in := captured(t, "13-repeated-mapping.pcap")
	in = append(in, captured(t, "23-ipv6-add-addr-join.pcap")...)
	long := 0
	for _, tell := range []bool{false, true} {
		for _, k := range in {
			out := through(MTU{300, tell}, []travelling{k})
			switch {
			case len(k.p) <= 300:
				require.Equal(t, []travelling{k}, out)
			case !tell:
				require.Empty(t, out)
			default:
				long++
				require.Len(t, out, 1)
				require.Equal(t, k.d.Reverse(), out[0].d)
				e, err := packet.ParseICMP(out[0].p)
				require.NoError(t, err)
				s := seg(t, k)
				require.Equal(t, packet.TroubleTooBig, e.Trouble)
				require.Equal(t, 300, e.MTU)
				require.Equal(t, []any{s.Src, s.Dst, s.Seq}, []any{e.Src, e.Dst, e.Seq})
			}
		}
	}
	require.Greater(t, long, 15)
}

func TestECNAndFlags(t *testing.T) {
	in := numbered(t, 3, 40)
	require.EqualValues(t, 0, seg(t, through(BleachECN(), in)[0]).TOS)
	require.EqualValues(t, packet.ECNCE, seg(t, through(MarkECN(Any), in)[0]).TOS)
	require.EqualValues(t, 46<<2|2, seg(t, through(TrafficClass(Any, 3, 46<<2), in)[0]).TOS)
	six := captured(t, "23-ipv6-add-addr-join.pcap")
	out := through(TrafficClass(Any, 3, 46<<2), six)
	require.EqualValues(t, 46<<2, seg(t, out[0]).TOS)
	require.True(t, rightSums(out[0].p))
	require.Equal(t, six, through(TrafficClass(Any, 0, 0), out))

	syn := made(t, Forward, packet.Segment{Flags: packet.SYN | packet.ECE | packet.CWR})
	require.Equal(t, packet.SYN, seg(t, through(Flags(HasSYN, packet.ECE|packet.CWR, 0), []travelling{syn})[0]).Flags)
	u := seg(t, through(Urgent(IsData), captured(t, "01-handshake-v4.pcap"))[3])
	require.True(t, u.Flags.Has(packet.URG))
	require.EqualValues(t, len(u.Payload), u.Urgent)
}

// The heap against a sorted list.
func TestHeldKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h held
		type entry struct {
			at time.Duration
			n  byte
		}
		var want []entry
		for i := range rapid.IntRange(0, 60).Draw(t, "n") {
			at := time.Duration(rapid.IntRange(0, 10).Draw(t, "at"))
			require.True(t, h.put(at, []byte{byte(i)}, Forward))
			want = append(want, entry{at, byte(i)})
		}
		slices.SortStableFunc(want, func(a, b entry) int { return int(a.at - b.at) })
		for _, w := range want {
			k := h.pop()
			require.Equal(t, w, entry{k.at, k.p[0]})
		}
	})
	var h held
	for range maxHeld {
		h.put(0, nil, Forward)
	}
	require.False(t, h.put(0, nil, Forward), "bounded")
}

// Elements in a row: forward from the first, back from the last, and what is emitted the other way goes
// through those on that side.
func TestChain(t *testing.T) {
	trace := func(c byte) Element {
		return Func(func(p []byte, d Dir, emit Emit) { emit(append(p, c), d) })
	}
	bounce := Func(func(p []byte, d Dir, emit Emit) {
		emit(append(bytes.Clone(p), '!'), d.Reverse())
		emit(p, d)
	})
	c := NewChain(trace('a'), bounce, trace('b'), NewLink(LinkConfig{Delay: 1}, nil), trace('c'))
	require.Equal(t, []travelling{{[]byte("xa!a"), Back}, {[]byte("xabc"), Forward}}, through(c, []travelling{{[]byte("x"), Forward}}))
	require.Equal(t, []travelling{{[]byte("xcba"), Back}, {[]byte("xcb!bc"), Forward}}, through(c, []travelling{{[]byte("x"), Back}}))
	nested := NewChain(c, Only(Forward, trace('d')))
	require.Equal(t, []travelling{{[]byte("xa!a"), Back}, {[]byte("xabcd"), Forward}}, through(nested, []travelling{{[]byte("x"), Forward}}))
	require.Equal(t, []travelling{{[]byte("x"), Back}}, through(NewChain(), []travelling{{[]byte("x"), Back}}))
}
