package options

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNextWalksAnArea(t *testing.T) {
	area := unhex(t, "0101 080a0102030405060708 1e0350 01 00 deadbeef")
	var kinds []uint8
	for b := area; len(b) > 0; {
		r, rest, err := Next(b)
		require.NoError(t, err)
		kinds, b = append(kinds, r.Kind()), rest
	}
	require.Equal(t, []uint8{1, 1, 8, 30, 1, 0}, kinds, "what follows EOL is padding")
}

func TestNextOnNothing(t *testing.T) {
	r, rest, err := Next(nil)
	require.NoError(t, err)
	require.Nil(t, r)
	require.Empty(t, rest)
	require.EqualValues(t, KindEOL, r.Kind())
}

// A view can't be grown over the option behind it.
func TestRawIsCapped(t *testing.T) {
	area := unhex(t, "1e0350 1e0351")
	r, _, err := Next(area)
	require.NoError(t, err)
	_ = append(r, 0xff)
	require.Equal(t, unhex(t, "1e0350 1e0351"), area)
}

func TestNextOnHostileBytes(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		offset    int
		truncated bool
	}{
		{"no length byte", "1e", 1, true},
		{"length 0 would loop for ever", "1e00", 1, false},
		{"length 1 lies inside the header", "1e01", 1, false},
		{"length beyond the area", "1e0c6000", 1, true},
		{"length beyond any header", "1e29 00", 1, false},
		{"length 255", "08ff 00", 1, false},
		{"unknown kind without a length", "fd", 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.hex)
			r, rest, err := Next(b)
			require.Nil(t, r)
			require.Nil(t, rest)
			e := requireParseError(t, err)
			require.Equal(t, b[0], e.Kind)
			require.Equal(t, c.offset, e.Offset)
			require.Equal(t, c.truncated, e.Truncated)
		})
	}
}

// In a stream an option comes in any cut: its length is known from the second byte on.
func TestSize(t *testing.T) {
	for _, c := range []struct {
		hex  string
		want int
	}{
		{"", 0}, {"1e", 0}, {"1e0c", 12}, {"1e0c6000", 12}, {"00", 1}, {"01ff", 1},
		{"1e00", -1}, {"1e01", -1}, {"1e02", 2}, {"1e28", 40}, {"1e29", -1}, {"1eff", -1},
	} {
		require.Equal(t, c.want, Size(unhex(t, c.hex)), c.hex)
	}
}

// A Raw that did not come from Next may be anything.
func TestParsersRefuseForeignViews(t *testing.T) {
	views := []Raw{
		nil, {Kind}, {Kind, 2}, {Kind, 4, 0x20}, // too short, or shorter than it says
		unhex(t, "1e0c2003 571dbf14ceaf1116 00"), // longer than it says
		unhex(t, "080a0102030405060708"),         // not MPTCP
		unhex(t, "1e059a0102"),                   // another subtype
	}
	parsers := []func(Raw) error{
		func(r Raw) error { _, err := ParseMPCapable(r); return err },
		func(r Raw) error { _, err := ParseMPJoin(r); return err },
		func(r Raw) error { _, err := ParseDSS(r); return err },
		func(r Raw) error { _, err := ParseAddAddr(r); return err },
		func(r Raw) error { _, err := ParseRemoveAddr(r); return err },
		func(r Raw) error { _, err := ParseMPPrio(r); return err },
		func(r Raw) error { _, err := ParseMPFail(r); return err },
		func(r Raw) error { _, err := ParseFastclose(r); return err },
		func(r Raw) error { _, err := ParseTCPRst(r); return err },
		func(r Raw) error { _, err := ParsePrivate(r); return err },
	}
	for _, r := range views {
		for _, parse := range parsers {
			requireParseError(t, parse(r))
		}
	}
	for _, r := range views[:5] {
		o, err := Decode(r)
		require.Nil(t, o)
		requireParseError(t, err)
	}
}

func TestParseErrorSaysWhatAndWhere(t *testing.T) {
	_, err := ParseMPJoin(append(Raw{Kind, 13, 0x10}, make([]byte, 10)...))
	require.EqualError(t, err, "options: MP_JOIN, byte 1: a length that this option does not have (13)")
	_, _, err = Next([]byte{8, 10, 0})
	require.EqualError(t, err, "options: kind 8, byte 1: a length beyond the bytes there are (10)")
}

func TestSubtypeNames(t *testing.T) {
	require.Equal(t, "MP_CAPABLE", SubMPCapable.String())
	require.Equal(t, "MP_TCPRST", SubTCPRst.String())
	require.Equal(t, "PRIVATE", SubPrivate.String())
	require.Equal(t, "subtype 0x9", Subtype(9).String())
	require.Equal(t, "subtype 0xE", Subtype(14).String())
}
