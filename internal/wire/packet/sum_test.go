package packet

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// naive adds big-endian words one by one, as the definition says.
func naive(b []byte) uint16 {
	var sum uint32
	for i, x := range b {
		if i%2 == 0 {
			sum += uint32(x) << 8
		} else {
			sum += uint32(x)
		}
		sum = sum&0xFFFF + sum>>16
	}
	return uint16(sum)
}

// The numeric example of RFC 1071 section 3: the bytes 00 01 f2 03 f4 f5 f6 f7 sum up to ddf2.
func TestSumExampleOfRFC1071(t *testing.T) {
	var s Sum
	s.Add([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7})
	require.Equal(t, uint16(0xddf2), s.Fold())
	require.Equal(t, ^uint16(0xddf2), s.Checksum())
}

// The examples of RFC 1624 section 4: a header whose word 0x5555 becomes 0x3285 has the checksum 0x0000
// afterwards, where the older equation would give 0xFFFF.
func TestUpdateExampleOfRFC1624(t *testing.T) {
	require.Equal(t, uint16(0x0000), Update(0xDD2F, 0x5555, 0x3285))
}

func TestSumOfPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, "bytes")
		if rapid.Bool().Draw(t, "ones") {
			for i := range b {
				b[i] = 0xFF
			}
		}
		var added, copied, joined Sum
		dst := make([]byte, 0, len(b))
		for at := 0; at < len(b); {
			n := rapid.IntRange(1, len(b)-at).Draw(t, "piece")
			p := b[at : at+n]
			added.Add(p)
			dst = dst[:at+n]
			require.Equal(t, n, copied.Copy(dst[at:], p))
			var one Sum
			one.Add(p)
			joined.Append(one)
			at += n
		}
		require.Equal(t, b, dst)
		for _, s := range []Sum{added, copied, joined} {
			require.Equal(t, naive(b), s.Fold())
			require.Equal(t, ^naive(b), s.Checksum())
		}
	})
}

func TestSumOfEveryShortLength(t *testing.T) {
	b := make([]byte, 300)
	for i := range b {
		b[i] = byte(i*31 + 7)
	}
	for n := range b {
		var s, c Sum
		s.Add(b[:n])
		require.Equal(t, naive(b[:n]), s.Fold(), "%d bytes", n)
		require.Equal(t, n, c.Copy(make([]byte, n+3), b[:n]))
		require.Equal(t, naive(b[:n]), c.Fold(), "%d bytes copied", n)
	}
	require.Equal(t, 5, new(Sum).Copy(make([]byte, 5), b), "the shorter of the two counts")
}

func TestSumOfNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Sum
		var b []byte
		for range rapid.IntRange(0, 9).Draw(t, "n") {
			v := rapid.Uint64().Draw(t, "v")
			switch rapid.IntRange(0, 3).Draw(t, "size") {
			case 0:
				s.AddUint16(uint16(v))
				b = binary.BigEndian.AppendUint16(b, uint16(v))
			case 1:
				s.AddUint32(uint32(v))
				b = binary.BigEndian.AppendUint32(b, uint32(v))
			case 2:
				s.AddUint64(v)
				b = binary.BigEndian.AppendUint64(b, v)
			default:
				s.Add([]byte{byte(v)})
				b = append(b, byte(v))
			}
		}
		require.Equal(t, naive(b), s.Fold())
	})
}

func TestUpdateIsRecomputing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 4, 40).Draw(t, "bytes")
		at := rapid.IntRange(0, len(b)/2-2).Draw(t, "word") * 2
		before := ^naive(b)
		old := binary.BigEndian.Uint32(b[at:])
		v := rapid.Uint32().Draw(t, "new")
		binary.BigEndian.PutUint32(b[at:], v)
		if naive(b) == 0 {
			t.Skip("only zeros: the one sum that has two representations")
		}
		require.Equal(t, ^naive(b), Update32(before, old, v))
		b[at], b[at+1] = 0xAB, 0xCD
		require.Equal(t, ^naive(b), Update(Update32(before, old, v), uint16(v>>16), 0xABCD))
	})
}

func TestPseudoHeader(t *testing.T) {
	src4, dst4 := netip.MustParseAddr("10.1.2.3"), netip.MustParseAddr("255.254.0.9")
	b := append(append(src4.AsSlice(), dst4.AsSlice()...), 0, ProtoTCP, 0x12, 0x34)
	require.Equal(t, naive(b), Pseudo(src4, dst4, ProtoTCP, 0x1234).Fold())

	src6, dst6 := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::ffff:1")
	b = append(append(src6.AsSlice(), dst6.AsSlice()...), 0, 0, 0x12, 0x34, 0, 0, 0, ProtoICMPv6)
	require.Equal(t, naive(b), Pseudo(src6, dst6, ProtoICMPv6, 0x1234).Fold())
}
