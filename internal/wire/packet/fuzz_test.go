package packet

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParse eats a packet: what parses is written again, with right checksums, and parses to the same
// value.
func FuzzParse(f *testing.F) {
	captured(f, func(_ string, n int, b []byte) {
		if n%7 == 0 {
			f.Add(b)
		}
	})
	for _, s := range []Segment{{Src: client4, Dst: server4}, {Src: client6, Dst: server6}} {
		b, err := s.Append(nil, PseudoChecksum)
		require.NoError(f, err)
		f.Add(b)
		if s.Src.Addr().Is6() {
			f.Add(withExtensions(b, extFragment, []byte{ProtoTCP, 0, 0, 0, 0, 0, 0, 0}))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b) // no spare capacity: a read beyond the end panics
		s, err := Parse(b[:len(b):len(b)])
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(s.Options), MaxOptions)
		require.LessOrEqual(t, len(s.Options)+len(s.Payload)+TCPHeaderLen, len(b))
		apart(t, b, s)
		if s.TTL == 0 {
			s.TTL = DefaultTTL // what a zero means to Append
		}
		again, err := s.Append(nil, FullChecksum)
		require.NoError(t, err)
		requireRightChecksums(t, again)
		got, err := Parse(again)
		require.NoError(t, err)
		require.Equal(t, s, got)
	})
}

// FuzzParseICMP eats a packet that may carry an ICMP error.
// apart parses the packet b, which is s, once more with its payload in a place of its own.
func apart(t *testing.T, b []byte, s Segment) {
	t.Helper()
	if s.Src.Addr().Is6() || IPv4(b).TotalLen() != len(b) || len(s.Payload) == 0 {
		return
	}
	head := len(b) - len(s.Payload)
	payload := bytes.Clone(s.Payload)
	again, err := Parse4Apart(bytes.Clone(b[:head]), payload)
	require.NoError(t, err)
	require.Equal(t, s, again)
	require.Same(t, &payload[0], &again.Payload[0])
	from := IPv4(b).HeaderLen()
	again, err = ParseTCPApart(s.Src.Addr(), s.Dst.Addr(), b[from:head], payload)
	again.TTL, again.TOS = s.TTL, s.TOS
	require.NoError(t, err)
	require.Equal(t, s, again)
	for _, cut := range []int{head - 1, head + 1, from, 0} { // where the payload does not begin
		if cut >= len(b) {
			continue
		}
		_, err = Parse4Apart(b[:cut:cut], b[cut:])
		require.Error(t, err)
	}
	_, err = Parse4Apart(b[:head:head], payload[1:])
	require.Error(t, err)
}

func FuzzParseICMP(f *testing.F) {
	for _, s := range []Segment{{Src: client4, Dst: server4}, {Src: client6, Dst: server6}} {
		f.Add(icmp(f, s, 3, 4, 1400, 60))
		f.Add(icmp(f, s, 1, 0, 0, 60))
		f.Add(icmp(f, s, 2, 0, 1400, 60))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		e, err := ParseICMP(b[:len(b):len(b)])
		if err != nil {
			return
		}
		require.NotZero(t, e.Trouble)
		require.NotEqual(t, "unknown", e.Trouble.String())
		require.True(t, e.From.IsValid() && e.Src.IsValid() && e.Dst.IsValid())
		require.Equal(t, e.Src.Addr().BitLen(), e.From.BitLen())
		require.LessOrEqual(t, e.MTU, MaxPacket)
		require.True(t, e.MTU == 0 || e.Trouble == TroubleTooBig)
	})
}

// FuzzSum compares with the naive sum, whatever the pieces.
func FuzzSum(f *testing.F) {
	f.Add([]byte{1, 2, 3}, 1)
	f.Add(bytes.Repeat([]byte{0xFF}, 200), 65)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		cut = int(uint(cut) % uint(len(b)+1))
		var s Sum
		dst := make([]byte, len(b))
		s.Add(b[:cut])
		s.Copy(dst[cut:], b[cut:])
		require.Equal(t, naive(b), s.Fold())
		require.Equal(t, b[cut:], dst[cut:])
	})
}
