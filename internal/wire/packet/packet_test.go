package packet

import (
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/internal/pcapw"
)

var (
	client4 = netip.MustParseAddrPort("10.77.1.1:40094")
	server4 = netip.MustParseAddrPort("10.77.1.2:8001")
	client6 = netip.MustParseAddrPort("[fd77::1]:40094")
	server6 = netip.MustParseAddrPort("[fd77::2]:8001")
)

// captured calls f with every packet of every capture of Linux's, from its IP header on.
func captured(t testing.TB, f func(file string, n int, b []byte)) {
	t.Helper()
	files, err := filepath.Glob("../../../options/testdata/*.pcap")
	require.NoError(t, err)
	require.Greater(t, len(files), 40)
	for _, file := range files {
		in, err := os.Open(file)
		require.NoError(t, err)
		r, err := pcapw.NewReader(in)
		require.NoError(t, err)
		for n := 1; ; n++ {
			p, err := r.Next()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			if b, ok := r.IP(p); ok && p.Len == len(p.Data) {
				f(filepath.Base(file), n, b)
			}
		}
		require.NoError(t, in.Close())
	}
}

// Every segment that the kernel has sent parses, its checksum included, and is written again byte for byte
// but for what a Segment does not hold: IPv4's ID with its checksum, and IPv6's flow label.
func TestCapturesRoundTrip(t *testing.T) {
	segments := map[int]int{}
	captured(t, func(file string, n int, b []byte) {
		proto := b[9]
		version := int(b[0] >> 4)
		if version == 6 {
			proto = b[6]
		}
		s, err := Parse(b)
		if proto != ProtoTCP {
			require.ErrorIs(t, err, ErrProtocol, "%s packet %d", file, n)
			return
		}
		require.NoError(t, err, "%s packet %d", file, n)
		segments[version]++
		again, err := s.Append(nil, FullChecksum)
		require.NoError(t, err)
		want := append([]byte(nil), b[:s.Len()]...)
		if version == 4 {
			was := IPv4(want)
			sum := Update(was.Checksum(), was.ID(), 0)
			want[4], want[5], want[10], want[11] = 0, 0, byte(sum>>8), byte(sum)
		} else {
			want[1], want[2], want[3] = want[1]&0xF0, 0, 0
		}
		require.Equal(t, want, again, "%s packet %d", file, n)
	})
	require.Greater(t, segments[4], 500)
	require.Greater(t, segments[6], 50)
}

func drawSegment(t *rapid.T) Segment {
	s := Segment{Src: client4, Dst: server4}
	if rapid.Bool().Draw(t, "v6") {
		s.Src, s.Dst = client6, server6
	}
	s.Seq, s.Ack = rapid.Uint32().Draw(t, "seq"), rapid.Uint32().Draw(t, "ack")
	s.Flags = Flags(rapid.Byte().Draw(t, "flags"))
	s.Window, s.Urgent = rapid.Uint16().Draw(t, "window"), rapid.Uint16().Draw(t, "urgent")
	s.TTL, s.TOS = rapid.ByteRange(1, 255).Draw(t, "ttl"), rapid.Byte().Draw(t, "tos")
	s.Options = make([]byte, 4*rapid.IntRange(0, 10).Draw(t, "options"))
	for i := range s.Options {
		s.Options[i] = byte(i + 1)
	}
	for range rapid.IntRange(0, MaxPieces).Draw(t, "pieces") {
		require.True(t, s.AddPiece(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "piece")))
	}
	return s
}

// flat is what a segment looks like to its receiver.
func flat(s Segment) Segment {
	s.Payload = s.AppendPayload([]byte{})
	s.More, s.SegSize = [MaxPieces - 1][]byte{}, 0
	return s
}

func TestSegmentRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSegment(t)
		for _, cover := range []Coverage{FullChecksum, PseudoChecksum} {
			b, err := s.Append([]byte{}, cover)
			require.NoError(t, err)
			require.Len(t, b, s.Len())
			got, err := Parse(append(b, 0xEE, 0xEE))
			require.NoError(t, err)
			require.Equal(t, flat(s), got)
			if cover == FullChecksum {
				requireRightChecksums(t, b)
			}
		}
	})
}

// requireRightChecksums looks at a packet without extension headers with the naive sum.
func requireRightChecksums(t require.TestingT, b []byte) {
	var pseudo []byte
	n := IPv6HeaderLen
	if b[0]>>4 == 4 {
		n = IPv4HeaderLen
		require.Equal(t, uint16(0xFFFF), naive(b[:n]))
		pseudo = append(pseudo, b[12:20]...)
	} else {
		pseudo = append(pseudo, b[8:40]...)
	}
	l := len(b) - n
	pseudo = append(pseudo, 0, ProtoTCP, byte(l>>8), byte(l))
	require.Equal(t, uint16(0xFFFF), naive(append(pseudo, b[n:]...)))
}

// What the header writers append behind is not touched, and a corrupt bit anywhere in the segment is seen.
func TestChecksumSeesEveryBit(t *testing.T) {
	for _, pair := range [][2]netip.AddrPort{{client4, server4}, {client6, server6}} {
		s := Segment{Src: pair[0], Dst: pair[1], Seq: 1, Ack: 2, Flags: ACK, Window: 9, Options: []byte{1, 1, 1, 1}, Payload: []byte("abc")}
		b, err := s.Append([]byte("before"), FullChecksum)
		require.NoError(t, err)
		require.Equal(t, "before", string(b[:6]))
		b = b[6:]
		first := s.HeaderLen() - TCPHeaderLen - 4
		for i := first; i < len(b); i++ {
			for bit := range 8 {
				b[i] ^= 1 << bit
				_, err := Parse(b)
				require.Error(t, err, "byte %d bit %d", i, bit)
				b[i] ^= 1 << bit
			}
		}
		_, err = Parse(b)
		require.NoError(t, err)
	}
}

func TestOptionsArePadded(t *testing.T) {
	for n := range MaxOptions + 1 {
		s := Segment{Src: client4, Dst: server4, Options: make([]byte, n), Payload: []byte{7}}
		for i := range s.Options {
			s.Options[i] = 1
		}
		b, err := s.Append(nil, FullChecksum)
		require.NoError(t, err)
		got, err := Parse(b)
		require.NoError(t, err)
		require.Equal(t, (n+3)/4*4, len(got.Options))
		require.Equal(t, s.Options, got.Options[:n])
		for _, x := range got.Options[n:] {
			require.Zero(t, x)
		}
		require.Equal(t, uint8(DefaultTTL), got.TTL)
	}
}

func TestAppendRefuses(t *testing.T) {
	long := make([]byte, MaxPacket)
	for _, c := range []struct {
		name string
		s    Segment
		want error
	}{
		{"mixed families", Segment{Src: client4, Dst: server6}, ErrAddress},
		{"no addresses", Segment{}, ErrAddress},
		{"41 bytes of options", Segment{Src: client4, Dst: server4, Options: make([]byte, 41)}, ErrOptions},
		{"IPv4 total length", Segment{Src: client4, Dst: server4, Payload: long[:MaxPacket-39]}, ErrTooLong},
		{"IPv6 payload length", Segment{Src: client6, Dst: server6, Payload: long[:MaxPacket-19]}, ErrTooLong},
	} {
		b, err := c.s.AppendHeaders([]byte{1}, FullChecksum)
		require.ErrorIs(t, err, c.want, c.name)
		require.Equal(t, []byte{1}, b)
		_, err = c.s.Append(nil, PseudoChecksum)
		require.ErrorIs(t, err, c.want, c.name)
	}
	for _, s := range []Segment{
		{Src: client4, Dst: server4, Payload: long[:MaxPacket-40]},
		{Src: client6, Dst: server6, Payload: long[:MaxPacket-20]},
	} {
		b, err := s.Append(nil, FullChecksum)
		require.NoError(t, err)
		got, err := Parse(b)
		require.NoError(t, err)
		require.Len(t, got.Payload, len(s.Payload))
	}
	var s Segment
	for i := range MaxPieces {
		require.True(t, s.AddPiece(long[:i+1]))
	}
	require.False(t, s.AddPiece(long[:1]))
	require.True(t, s.AddPiece(nil))
	require.Equal(t, 36, s.PayloadLen())
	require.Equal(t, 36, s.SeqLen())
	s.Flags = SYN | FIN
	require.Equal(t, 38, s.SeqLen())
	require.Equal(t, "FIN|SYN", s.Flags.String())
}

// Every way for a packet to be wrong has its error.
func TestParseRefuses(t *testing.T) {
	s4 := Segment{Src: client4, Dst: server4, Flags: SYN, Payload: []byte("hello")}
	s6 := Segment{Src: client6, Dst: server6, Flags: SYN, Payload: []byte("hello")}
	v4 := func(change func(b []byte)) []byte { return changed(t, s4, change) }
	v6 := func(change func(b []byte)) []byte { return changed(t, s6, change) }
	header := func(b []byte) {
		b[10], b[11] = 0, 0
		sum := ^naive(b[:int(b[0]&15)*4])
		b[10], b[11] = byte(sum>>8), byte(sum)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrTruncated},
		{"version 5", []byte{0x50}, ErrVersion},
		{"half a header", v4(nil)[:19], ErrTruncated},
		{"half an IPv6 header", v6(nil)[:39], ErrTruncated},
		{"IHL 4", v4(func(b []byte) { b[0] = 0x44 }), ErrHeaderLength},
		{"IHL beyond the packet", v4(func(b []byte) { b[0] = 0x4F })[:50], ErrTruncated},
		{"total length less than the header", v4(func(b []byte) { b[2], b[3] = 0, 19 }), ErrHeaderLength},
		{"total length beyond the packet", v4(nil)[:44], ErrTruncated},
		{"IPv6 payload length beyond the packet", v6(nil)[:64], ErrTruncated},
		{"header checksum", v4(func(b []byte) { b[10]++ }), ErrChecksum},
		{"more fragments", v4(func(b []byte) { b[6] = 0x20; header(b) }), ErrFragment},
		{"fragment offset", v4(func(b []byte) { b[7] = 1; header(b) }), ErrFragment},
		{"UDP", v4(func(b []byte) { b[9] = 17; header(b) }), ErrProtocol},
		{"UDP over IPv6", v6(func(b []byte) { b[6] = 17 }), ErrProtocol},
		{"no room for TCP", v4(func(b []byte) { b[2], b[3] = 0, 39; header(b) }), ErrTruncated},
		{"data offset 4", v4(func(b []byte) { b[32] = 0x40 }), ErrHeaderLength},
		{"data offset beyond the segment", v4(func(b []byte) { b[32] = 0x70 }), ErrHeaderLength},
		{"TCP checksum", v4(func(b []byte) { b[44]++ }), ErrChecksum},
		{"TCP checksum over IPv6", v6(func(b []byte) { b[64]++ }), ErrChecksum},
	} {
		_, err := Parse(c.b)
		require.ErrorIs(t, err, c.want, c.name)
	}
	_, err := Parse4(v6(nil))
	require.ErrorIs(t, err, ErrVersion)
	_, err = Parse6(v4(nil))
	require.ErrorIs(t, err, ErrVersion)
}

func changed(t testing.TB, s Segment, change func(b []byte)) []byte {
	b, err := s.Append(nil, FullChecksum)
	require.NoError(t, err)
	if change != nil {
		change(b)
	}
	return b
}

// withExtensions puts headers between the IPv6 header and the segment.
func withExtensions(b []byte, first uint8, ext []byte) []byte {
	out := append([]byte(nil), b[:IPv6HeaderLen]...)
	out = append(append(out, ext...), b[IPv6HeaderLen:]...)
	n := len(out) - IPv6HeaderLen
	out[4], out[5], out[6] = byte(n>>8), byte(n), first
	return out
}

func TestExtensionHeaders(t *testing.T) {
	s := Segment{Src: client6, Dst: server6, TTL: 3, TOS: 0xB9, Flags: SYN, Options: []byte{}, Payload: []byte("hello")}
	plain := changed(t, s, nil)
	hop := func(next uint8) []byte { return []byte{next, 0, 1, 4, 0, 0, 0, 0} }
	long := append([]byte{ProtoTCP, 1}, make([]byte, 14)...)
	fragment := func(low byte) []byte { return []byte{ProtoTCP, 0, 0, low, 1, 2, 3, 4} }
	good := map[string][]byte{
		"hop by hop":      withExtensions(plain, extHopByHop, hop(ProtoTCP)),
		"two":             withExtensions(plain, extHopByHop, append(hop(extDestination), long...)),
		"atomic fragment": withExtensions(plain, extFragment, fragment(0)),
	}
	for name, b := range good {
		got, err := Parse(b)
		require.NoError(t, err, name)
		require.Equal(t, s, got, name)
	}
	many := append([]byte(nil), hop(ProtoTCP)...)
	for range maxExtensions {
		many = append(hop(extDestination), many...)
	}
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"first fragment", withExtensions(plain, extFragment, fragment(1)), ErrFragment},
		{"later fragment", withExtensions(plain, extFragment, fragment(8)), ErrFragment},
		{"too many", withExtensions(plain, extDestination, many), ErrProtocol},
		{"longer than the packet", withExtensions(plain, extRouting, []byte{ProtoTCP, 255, 0, 0, 0, 0, 0, 0}), ErrTruncated},
		{"another protocol", withExtensions(plain, extHopByHop, hop(50)), ErrProtocol},
	} {
		_, err := Parse(c.b)
		require.ErrorIs(t, err, c.want, c.name)
	}
}

// The pieces of a super-segment are its bytes, in order, under its flags.
func TestCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSegment(t)
		s.Flags = ACK | PSH | CWR | FIN
		s.SegSize = rapid.IntRange(1, 300).Draw(t, "size")
		whole, at := s.AppendPayload(nil), 0
		var got []byte
		for at < len(whole) {
			n := min(s.SegSize, len(whole)-at)
			c := s.Cut(at, n)
			require.Equal(t, n, c.PayloadLen())
			require.Equal(t, s.Seq+uint32(at), c.Seq)
			require.Equal(t, at == 0, c.Flags.Has(CWR))
			require.Equal(t, at+n == len(whole), c.Flags.Has(PSH|FIN))
			require.True(t, c.Flags.Has(ACK))
			require.Zero(t, c.SegSize)
			require.Equal(t, s.Options, c.Options)
			got = c.AppendPayload(got)
			at += n
		}
		require.Equal(t, whole, got)
	})
}
