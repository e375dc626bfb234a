package onpath

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// Stripping, on every capture: where it applies no MPTCP option is left and all else is as it was, elsewhere
// packets are untouched, and every checksum is right.
func TestStripOnCaptures(t *testing.T) {
	for _, m := range []Match{IsSYN, IsSYNACK, NoSYN, And(NoSYN, Going(Forward)), And(NoSYN, Going(Back)), IsData, Any} {
		stripped := 0
		for _, file := range everyCapture(t) {
			in := captured(t, file)
			out := through(Strip(m, MPTCP), in)
			require.Len(t, out, len(in))
			for i := range in {
				if !m(in[i].p, in[i].d) || !Carries(MPTCP)(in[i].p, in[i].d) {
					require.Equal(t, in[i], out[i], file)
					continue
				}
				stripped++
				require.True(t, rightSums(out[i].p), file)
				var want []options.Raw
				for _, r := range optionsOf(t, in[i]) {
					if r.Kind() != options.Kind {
						want = append(want, r)
					}
				}
				require.Equal(t, want, optionsOf(t, out[i]), file)
				a, b := seg(t, in[i]), seg(t, out[i])
				a.Options, b.Options = nil, nil
				require.Equal(t, a, b, "nothing but options has changed")
			}
		}
		require.Greater(t, stripped, 20)
	}
}

// The capture in which a box between two kernels did the same thing, with NOPs.
func TestBlankIsWhatTheCapturedBoxDid(t *testing.T) {
	in := captured(t, "01-handshake-v4.pcap")
	out := through(EditOptions(IsSYN, MPTCP, Blank), in)
	fallen := captured(t, "15-fallback-syn-stripped.pcap")
	require.Equal(t, countMPTCP(t, fallen[:1], Any), countMPTCP(t, out[:1], Any))
	s := seg(t, out[0])
	require.Equal(t, []byte{1, 1, 1, 1}, s.Options[len(s.Options)-4:])
	require.Len(t, s.Options, len(seg(t, in[0]).Options), "the header is as long as it was")
	require.True(t, rightSums(out[0].p))
}

func TestEditsKeepChecksumsAndHeader(t *testing.T) {
	for _, how := range []Edit{Blank, End, BadLength, Garble, Twice} {
		changed := 0
		for _, file := range everyCapture(t) {
			in := captured(t, file)
			out := through(EditOptions(Any, MPTCP, how), in)
			require.Len(t, out, len(in))
			for i := range out {
				require.True(t, rightSums(out[i].p), "%s packet %d", file, i+1)
				a, b := seg(t, in[i]), seg(t, out[i])
				if how != Twice {
					require.Len(t, b.Options, len(a.Options))
				}
				if string(a.Options) != string(b.Options) {
					changed++
				}
				a.Options, b.Options = nil, nil
				require.Equal(t, a, b)
			}
		}
		require.Greater(t, changed, 200, "%d", how)
	}
}

func TestEditsOneByOne(t *testing.T) {
	area := []byte{1, 30, 4, 0x12, 0x34, 8, 2, 0}
	in := made(t, Forward, packet.Segment{Flags: packet.ACK, Options: area})
	for how, want := range map[Edit][]byte{
		Remove:    {1, 8, 2, 0},
		Blank:     {1, 1, 1, 1, 1, 8, 2, 0},
		End:       {1, 0, 4, 0x12, 0x34, 8, 2, 0},
		BadLength: {1, 30, 0xFF, 0x12, 0x34, 8, 2, 0},
		Garble:    {1, 30, 4, 0x12, 0x35, 8, 2, 0},
		Twice:     {1, 30, 4, 0x12, 0x34, 30, 4, 0x12, 0x34, 8, 2, 0},
	} {
		out := through(EditOptions(Any, MPTCP, how), []travelling{in})
		require.Len(t, out, 1)
		require.Equal(t, want, seg(t, out[0]).Options, "%d", how)
	}
	full := made(t, Forward, packet.Segment{Flags: packet.ACK, Options: append([]byte{30, 24}, make([]byte, 22)...)})
	out := through(EditOptions(Any, MPTCP, Twice), []travelling{full})
	require.Equal(t, full, out[0], "no room for another")
}

// Only the subtype that was asked for: ADD_ADDR lost, and everything else there.
func TestStripOneSubtype(t *testing.T) {
	in := captured(t, "03-add-addr-join.pcap")
	adds := Carries(OfSubtype(options.SubAddAddr))
	joins := Carries(OfSubtype(options.SubMPJoin))
	count := func(all []travelling, m Match) (n int) {
		for _, k := range all {
			if m(k.p, k.d) {
				n++
			}
		}
		return n
	}
	out := through(Strip(Any, OfSubtype(options.SubAddAddr)), in)
	require.Equal(t, 2, count(in, adds), "the announcement and its echo")
	require.Zero(t, count(out, adds))
	require.Equal(t, count(in, joins), count(out, joins))
	out = through(Drop(And(HasSYN, joins)), in)
	require.Len(t, out, len(in)-2, "SYN and SYN/ACK of the join")
}

// SACK blocks, timestamps, window scale: the other options are taken by their kind.
func TestStripByKind(t *testing.T) {
	in := captured(t, "01-handshake-v4.pcap")
	for _, kind := range []uint8{options.KindWindowScale, options.KindTimestamps, options.KindSACKPermitted} {
		out := through(Strip(Any, OfKind(kind)), in)
		had := 0
		for i := range out {
			require.False(t, Carries(OfKind(kind))(out[i].p, out[i].d))
			require.Equal(t, Carries(MPTCP)(in[i].p, in[i].d), Carries(MPTCP)(out[i].p, out[i].d))
			if Carries(OfKind(kind))(in[i].p, in[i].d) {
				had++
			}
		}
		require.Positive(t, had)
	}
}

// A box that loses SYNs with unknown options, and one that rejects them.
func TestUnknownOptionInSYN(t *testing.T) {
	in := captured(t, "43-syn-blackhole.pcap") // what came through such a box, and answers
	require.Len(t, through(Drop(And(HasSYN, Carries(MPTCP))), in), len(in), "no SYN of it has one")
	in = captured(t, "01-handshake-v4.pcap")
	out := through(Drop(And(HasSYN, Carries(MPTCP))), in[:3])
	require.Len(t, out, 1, "the third ACK")
	out = through(Answer(And(IsSYN, Carries(MPTCP))), in[:1])
	require.Len(t, out, 1)
	rst, syn := seg(t, out[0]), seg(t, in[0])
	require.Equal(t, Back, out[0].d)
	require.Equal(t, packet.RST|packet.ACK, rst.Flags)
	require.Equal(t, syn.Seq+1, rst.Ack)
	require.Equal(t, syn.Src, rst.Dst)
}
