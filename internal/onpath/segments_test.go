package onpath

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// On every capture, cut anywhere, all that is said stays said; options are where they ought to be.
func TestSplitOnCaptures(t *testing.T) {
	for _, size := range []int{1, 100, 536, 1000} {
		for _, with := range []Pieces{AllPieces, FirstPiece, LastPiece} {
			for _, file := range []string{"09-data-fin-with-data.pcap", "12-checksum.pcap", "13-repeated-mapping.pcap", "23-ipv6-add-addr-join.pcap"} {
				in := captured(t, file)
				out := through(Split(size, with), in)
				require.Equal(t, said(t, in), said(t, out))
				fins := func(all []travelling) (n int) {
					for _, k := range all {
						if seg(t, k).Flags.Has(packet.FIN) {
							n++
						}
					}
					return n
				}
				require.Equal(t, fins(in), fins(out))
				for _, k := range out {
					require.True(t, rightSums(k.p))
					if s := seg(t, k); size > 1 && len(s.Payload) > 0 {
						require.LessOrEqual(t, len(s.Payload), size)
					}
				}
			}
		}
	}
	in := made(t, Forward, packet.Segment{Seq: 100, Flags: packet.ACK | packet.PSH | packet.FIN, Options: []byte{30, 4, 0, 0}, Payload: make([]byte, 25)})
	for with, want := range map[Pieces][]int{AllPieces: {4, 4, 4}, FirstPiece: {4, 0, 0}, LastPiece: {0, 0, 4}} {
		var got []int
		for i, k := range through(Split(10, with), []travelling{in}) {
			s := seg(t, k)
			got = append(got, len(s.Options))
			require.EqualValues(t, 100+10*i, s.Seq)
			require.Equal(t, i == 2, s.Flags.Has(packet.FIN|packet.PSH))
		}
		require.Equal(t, want, got)
	}
}

// Splitting and merging again gives everything said, in fewer segments, with one set of options each.
func TestCoalesceOnCaptures(t *testing.T) {
	for _, last := range []bool{false, true} {
		for _, file := range []string{"12-checksum.pcap", "13-repeated-mapping.pcap", "39-reinjection.pcap"} {
			in := through(Split(500, AllPieces), captured(t, file))
			out := through(&Coalesce{Bytes: 4000, Wait: 5 * time.Millisecond, KeepLast: last}, in)
			require.Equal(t, said(t, in), said(t, out))
			require.Less(t, len(out), len(in))
			for _, k := range out {
				require.True(t, rightSums(k.p))
				require.LessOrEqual(t, len(seg(t, k).Payload), 4000)
			}
		}
	}
	part := func(seq uint32, mark byte, flags packet.Flags) travelling {
		return made(t, Forward, packet.Segment{Seq: seq, Flags: packet.ACK | flags, Ack: seq, Options: []byte{30, 4, 0, mark}, Payload: bytes.Repeat([]byte{mark}, 10)})
	}
	in := []travelling{part(0, 1, 0), part(10, 2, 0), part(20, 3, packet.FIN), part(50, 4, 0), part(60, 5, 0)}
	for last, want := range map[bool][2]byte{false: {1, 4}, true: {3, 5}} {
		out := through(&Coalesce{Bytes: 100, Wait: time.Second, KeepLast: last}, in)
		require.Len(t, out, 2, "a hole begins anew")
		for i, k := range out {
			require.Equal(t, want[i], seg(t, k).Options[3])
		}
		require.Len(t, seg(t, out[0]).Payload, 30)
		require.True(t, seg(t, out[0]).Flags.Has(packet.FIN))
		require.EqualValues(t, 20, seg(t, out[0]).Ack, "the newest")
	}
}

// FTP's problem: another length in the middle. The receiver sees the new text and a stream without a hole, the
// sender acknowledgments of its own bytes; a retransmission is changed as its original was.
func TestALG(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		with := rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(r, "new")
		isn := rapid.Uint32().Draw(r, "isn")
		a := &ALG{Old: []byte("10.1.0.1"), New: with}
		text := []string{"USER x\r\n", "PORT 10.1.0.1,3\r\n", "LIST\r\n", "10.1.0.1", "", "QUIT\r\n"}
		var in []travelling
		seq := isn
		for _, line := range text {
			in = append(in, made(t, Forward, packet.Segment{Seq: seq, Ack: 7, Flags: packet.ACK, Payload: []byte(line)}))
			seq += uint32(len(line))
		}
		in = append(in, in[1], in[5]) // again
		out := through(a, in)
		require.Len(r, out, len(in))
		want := bytes.ReplaceAll([]byte("USER x\r\nPORT 10.1.0.1,3\r\nLIST\r\n10.1.0.1QUIT\r\n"), []byte("10.1.0.1"), with)
		heard := said(t, out)[flow{near, far}]
		require.Len(r, heard, len(want))
		for i, b := range want {
			require.Equal(r, b, heard[isn+uint32(i)])
		}
		require.Equal(r, out[1], out[6])
		require.Equal(r, out[5], out[7])

		last := isn + uint32(len(want))
		acks := through(a, []travelling{
			made(t, Back, packet.Segment{Seq: 7, Ack: last, Flags: packet.ACK}),
			made(t, Back, packet.Segment{Seq: 7, Ack: isn + 8, Flags: packet.ACK, Options: []byte{
				1, 1, options.KindSACK, 10, byte(last >> 24), byte(last >> 16), byte(last >> 8), byte(last), 0, 0, 0, 0,
			}}),
		})
		require.Equal(r, seq, seg(t, acks[0]).Ack, "all of it, in the sender's numbers")
		require.Equal(r, isn+8, seg(t, acks[1]).Ack)
		require.Equal(r, []byte{byte(seq >> 24), byte(seq >> 16), byte(seq >> 8), byte(seq)}, seg(t, acks[1]).Options[4:8])
		require.True(r, rightSums(acks[1].p))
	})
}

// A gateway that changes bytes and keeps the length: nothing but the payload and the checksum differ.
func TestPatchAndFlip(t *testing.T) {
	in := captured(t, "01-handshake-v4.pcap")
	var data int
	for i, k := range in {
		if IsData(k.p, k.d) {
			data = i
			break
		}
	}
	old := seg(t, in[data]).Payload
	for _, e := range []Element{Only(in[data].d, Patch(old[10:20], make([]byte, 10))), Flip(And(IsData, Nth(1)))} {
		out := through(e, in)
		for i := range in {
			require.True(t, rightSums(out[i].p))
			if i != data {
				require.Equal(t, in[i], out[i])
			}
		}
		a, b := seg(t, in[data]), seg(t, out[data])
		require.NotEqual(t, a.Payload, b.Payload)
		require.Len(t, b.Payload, len(a.Payload))
		a.Payload, b.Payload = nil, nil
		require.Equal(t, a, b)
	}
}

// Numbers are shifted in both directions, acknowledgments and SACK blocks back, around 2^32 as well; the same
// shift the other way round gives the very packets back.
func TestRenumberOnCaptures(t *testing.T) {
	const up = 0xF0000001
	for _, file := range everyCapture(t) {
		in := captured(t, file)
		out := through(Renumber{Forward: up, Back: 7}.Element(), in)
		for i := range in {
			a, b := seg(t, in[i]), seg(t, out[i])
			shift, back := uint32(up), uint32(7)
			if in[i].d == Back {
				shift, back = back, shift
			}
			require.Equal(t, a.Seq+shift, b.Seq)
			if a.Flags.Has(packet.ACK) {
				require.Equal(t, a.Ack-back, b.Ack)
			}
			require.True(t, rightSums(out[i].p))
		}
		again := through(Renumber{Forward: ^uint32(up - 1), Back: ^uint32(6)}.Element(), out)
		require.Equal(t, in, again, file)
	}
	sack := made(t, Back, packet.Segment{Flags: packet.ACK, Ack: 10, Options: []byte{1, options.KindSACK, 10, 0, 0, 0, 20, 0, 0, 0, 30, 0}})
	for leave, want := range map[bool]byte{false: 15, true: 20} {
		out := through(Renumber{Forward: 5, LeaveSACK: leave}.Element(), []travelling{sack})
		require.Equal(t, want, seg(t, out[0]).Options[6], "at an odd offset, too")
		require.EqualValues(t, 5, seg(t, out[0]).Ack)
		require.True(t, rightSums(out[0].p))
	}
}
