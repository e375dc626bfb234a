package packet

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

var router4, router6 = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")

// icmp builds an ICMP error from a router about the segment; quoted is how much of its packet comes back.
func icmp(t testing.TB, s Segment, typ, code byte, mtu uint32, quoted int) []byte {
	t.Helper()
	q := changed(t, s, nil)
	m := append([]byte{typ, code, 0, 0, byte(mtu >> 24), byte(mtu >> 16), byte(mtu >> 8), byte(mtu)}, q[:min(quoted, len(q))]...)
	to := s.Src.Addr()
	if to.Is4() {
		c := ^naive(m)
		m[2], m[3] = byte(c>>8), byte(c)
		b := []byte{0x45, 0, 0, byte(20 + len(m)), 0, 1, 0, 0, 61, ProtoICMP, 0, 0}
		b = append(append(b, router4.AsSlice()...), to.AsSlice()...)
		c = ^naive(b)
		b[10], b[11] = byte(c>>8), byte(c)
		return append(b, m...)
	}
	b := append([]byte{0x60, 0, 0, 0, 0, byte(len(m)), ProtoICMPv6, 61}, router6.AsSlice()...)
	b = append(b, to.AsSlice()...)
	c := ^naive(append(append(append([]byte(nil), b[8:]...), 0, ProtoICMPv6, 0, byte(len(m))), m...))
	m[2], m[3] = byte(c>>8), byte(c)
	return append(b, m...)
}

func TestICMPErrors(t *testing.T) {
	s4 := Segment{Src: client4, Dst: server4, Seq: 0xCAFEBABE, Flags: ACK, Payload: make([]byte, 60)}
	s6 := Segment{Src: client6, Dst: server6, Seq: 0xCAFEBABE, Flags: ACK, Payload: make([]byte, 60)}
	for _, c := range []struct {
		s          Segment
		typ, code  byte
		mtu        uint32
		want       Trouble
		wantedMTU  int
		quotedMore int // beyond the eight bytes of TCP that RFC 792 promises
	}{
		{s4, 3, 0, 0, TroubleTransient, 0, 0},
		{s4, 3, 1, 0, TroubleTransient, 0, 50},
		{s4, 3, 2, 0, TroublePort, 0, 0},
		{s4, 3, 3, 0, TroublePort, 0, 0},
		{s4, 3, 4, 1280, TroubleTooBig, 1280, 0},
		{s4, 3, 4, 0, TroubleTooBig, 0, 0},
		{s4, 3, 13, 0, TroubleProhibited, 0, 0},
		{s4, 11, 0, 0, TroubleTransient, 0, 0},
		{s4, 12, 0, 0, TroubleParameter, 0, 0},
		{s6, 1, 0, 0, TroubleTransient, 0, 0},
		{s6, 1, 1, 0, TroubleProhibited, 0, 40},
		{s6, 1, 4, 0, TroublePort, 0, 0},
		{s6, 2, 0, 1400, TroubleTooBig, 1400, 0},
		{s6, 2, 0, 1 << 31, TroubleTooBig, MaxPacket, 0},
		{s6, 3, 0, 0, TroubleTransient, 0, 0},
		{s6, 4, 1, 0, TroubleParameter, 0, 0},
	} {
		want := ICMPError{
			From: router4, Trouble: c.want, Type: c.typ, Code: c.code, MTU: c.wantedMTU, Src: c.s.Src, Dst: c.s.Dst, Seq: c.s.Seq,
		}
		header := IPv4HeaderLen
		if c.s.Src.Addr().Is6() {
			want.From, header = router6, IPv6HeaderLen
		}
		b := icmp(t, c.s, c.typ, c.code, c.mtu, header+8+c.quotedMore)
		got, err := ParseICMP(b)
		require.NoError(t, err, "%v", want)
		require.Equal(t, want, got)

		for n := range b {
			_, err := ParseICMP(b[:n:n])
			require.Error(t, err, "cut off after %d bytes", n)
		}
		b[len(b)-1] ^= 1
		_, err = ParseICMP(b)
		require.ErrorIs(t, err, ErrChecksum)
	}
	require.Equal(t, "packet too big", TroubleTooBig.String())
	require.Equal(t, "unknown", Trouble(99).String())
}

func TestICMPRefuses(t *testing.T) {
	s4 := Segment{Src: client4, Dst: server4, Flags: ACK}
	for _, typ := range []byte{0, 4, 5, 8} { // echo reply, source quench, redirect, echo
		_, err := ParseICMP(icmp(t, s4, typ, 0, 0, 40))
		require.ErrorIs(t, err, ErrProtocol, "type %d", typ)
	}
	_, err := ParseICMP(icmp(t, s4, 3, 3, 0, 27))
	require.ErrorIs(t, err, ErrTruncated, "seven bytes of TCP")
	_, err = ParseICMP(changed(t, s4, nil))
	require.ErrorIs(t, err, ErrProtocol, "a segment")
	s6 := Segment{Src: client6, Dst: server6, Flags: ACK}
	_, err = ParseICMP(icmp(t, s6, 128, 0, 0, 60))
	require.ErrorIs(t, err, ErrProtocol, "an echo")
	_, err = ParseICMP(changed(t, s6, nil))
	require.ErrorIs(t, err, ErrProtocol, "a segment")

	quote := func(change func(q []byte)) []byte {
		m := icmp(t, s4, 3, 1, 0, 40)[IPv4HeaderLen:]
		change(m[icmpHeaderLen:])
		m[2], m[3] = 0, 0
		c := ^naive(m)
		m[2], m[3] = byte(c>>8), byte(c)
		return m
	}
	_, err = ParseICMPv4(router4, quote(func(q []byte) { q[9] = 17 }))
	require.ErrorIs(t, err, ErrProtocol, "UDP quoted")
	_, err = ParseICMPv4(router4, quote(func(q []byte) { q[7] = 9 }))
	require.ErrorIs(t, err, ErrFragment, "a later fragment quoted")
	_, err = ParseICMPv4(router4, quote(func(q []byte) { q[0] = 0x65 }))
	require.ErrorIs(t, err, ErrVersion)
}

// What comes with the captures of Linux's: there is no ICMP error about TCP in them, and nothing is taken
// for one.
func TestCapturesHoldNoICMPErrors(t *testing.T) {
	captured(t, func(file string, n int, b []byte) {
		_, err := ParseICMP(b)
		require.Error(t, err, "%s packet %d", file, n)
	})
}
