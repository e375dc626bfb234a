package options

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// The bytes are those of captures 01, 02 and 32.
func TestDSSForms(t *testing.T) {
	checkExamples(t, []example{
		{"8-byte DATA_ACK", "1e0c2003 571dbf14ceaf1116", DSS{HasAck: true, Ack64: true, DataAck: 0x571dbf14ceaf1116}, "DSS ack=0x571dbf14ceaf1116"},
		{"4-byte DATA_ACK", "1e082001 765eb4ad", DSS{HasAck: true, DataAck: 0x765eb4ad}, "DSS ack=0x765eb4ad"},
		{"4-byte DATA_ACK, 8-byte DSN", "1e16200d 765eb4ad 571dbf14ceaf1116 00000065 0384",
			DSS{HasAck: true, DataAck: 0x765eb4ad, HasMap: true, DSN64: true, DSN: 0x571dbf14ceaf1116, SSN: 101, DataLen: 900},
			"DSS ack=0x765eb4ad dsn=0x571dbf14ceaf1116 ssn=101 len=900"},
		{"DATA_FIN alone", "1e1a201f e0d41857765eb895 571dbf14ceaf149a 00000000 0001",
			DSS{HasAck: true, Ack64: true, DataAck: 0xe0d41857765eb895, HasMap: true, DSN64: true, DSN: 0x571dbf14ceaf149a, DataLen: 1, DataFIN: true},
			"DSS ack=0xe0d41857765eb895 dsn=0x571dbf14ceaf149a ssn=0 len=1 DATA_FIN"},
		{"4-byte DSN without DATA_ACK", "1e0e2004 ceaf1116 00000065 0384",
			DSS{HasMap: true, DSN: 0xceaf1116, SSN: 101, DataLen: 900}, "DSS dsn=0xceaf1116 ssn=101 len=900"},
		{"everything", "1e1c201f e0d41857765eb895 889643e8860d10cb 00000000 0001 9ca7",
			DSS{HasAck: true, Ack64: true, DataAck: 0xe0d41857765eb895, HasMap: true, DSN64: true, DSN: 0x889643e8860d10cb, DataLen: 1, HasChecksum: true, Checksum: 0x9ca7, DataFIN: true},
			"DSS ack=0xe0d41857765eb895 dsn=0x889643e8860d10cb ssn=0 len=1 csum=0x9ca7 DATA_FIN"},
		{"infinite mapping", "1e14200c 889643e8860d10cb 00000001 0000 0000",
			DSS{HasMap: true, DSN64: true, DSN: 0x889643e8860d10cb, SSN: 1, HasChecksum: true}, "DSS dsn=0x889643e8860d10cb ssn=1 len=0 (infinite) csum=0x0000"},
		{"nothing", "1e042000", DSS{}, "DSS"},
	})
}

// Every combination of flags against the table of lengths in figure 9, written out by hand: DATA_ACK
// adds 0, 4 or 8, a mapping 0, 10 or 14, a checksum 2 and only to a mapping.
func TestDSSLengthsForAllFlags(t *testing.T) {
	for flags := range 256 {
		want := 4
		switch flags & 3 {
		case 1:
			want += 4
		case 3:
			want += 8
		}
		switch flags >> 2 & 3 {
		case 1:
			want += 10
		case 3:
			want += 14
		}
		good := []int{want}
		if flags&4 != 0 {
			good = append(good, want+2)
		}
		checkDSSLengths(t, uint8(flags), good)
	}
}

func checkDSSLengths(t *testing.T, flags uint8, good []int) {
	t.Helper()
	checkLengths(t, []byte{Kind, 0, 0x20, flags}, good...)
}

func TestDSSInfinite(t *testing.T) {
	require.True(t, DSS{HasMap: true}.Infinite())
	require.False(t, DSS{HasMap: true, DataLen: 1, DataFIN: true}.Infinite())
	require.False(t, DSS{HasAck: true}.Infinite())
}

// "The flags "a" and "m" only have meaning if the corresponding "A" or "M" flags are set; otherwise,
// they will be ignored." (section 3.3) The reserved bits are masked.
func TestDSSIgnoresReservedBits(t *testing.T) {
	d, err := ParseDSS(unhex(t, "1e04 2fea"))
	require.NoError(t, err)
	require.Equal(t, DSS{}, d)
	d, err = ParseDSS(unhex(t, "1e08 2fe9 765eb4ad"))
	require.NoError(t, err)
	require.Equal(t, DSS{HasAck: true, DataAck: 0x765eb4ad}, d)
}

func TestDSSShortFormsSendTheLowerHalf(t *testing.T) {
	d := DSS{HasAck: true, DataAck: 0x1111111122222222, HasMap: true, DSN: 0x3333333344444444, SSN: 5, DataLen: 6}
	require.Equal(t, unhex(t, "1e122005 22222222 44444444 00000005 0006"), d.Append(nil))
}

func TestDSSHotPathDoesNotAllocate(t *testing.T) {
	d := DSS{HasAck: true, Ack64: true, DataAck: 1, HasMap: true, DSN64: true, DSN: 2, SSN: 3, DataLen: 4, HasChecksum: true}
	area := append([]byte{KindNOP, KindNOP}, d.Append(nil)...)
	out := make([]byte, 0, MaxLen)
	n := testing.AllocsPerRun(100, func() {
		for b := area; len(b) > 0; {
			var r Raw
			var err error
			if r, b, err = Next(b); err != nil {
				panic(err)
			}
			if s, ok := r.Subtype(); !ok || s != SubDSS {
				continue
			}
			got, err := ParseDSS(r)
			if err != nil || got != d {
				panic("wrong DSS")
			}
			out = got.Append(out[:0])
		}
	})
	require.Zero(t, n)
	require.Equal(t, area[2:], out)
}

func BenchmarkDSSParse(b *testing.B) {
	b.ReportAllocs()
	raw := Raw(DSS{HasAck: true, Ack64: true, DataAck: 1, HasMap: true, DSN64: true, DSN: 2, SSN: 3, DataLen: 4}.Append(nil))
	for b.Loop() {
		binary.BigEndian.PutUint32(raw[20:], uint32(b.N))
		if _, err := ParseDSS(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDSSAppend(b *testing.B) {
	b.ReportAllocs()
	d := DSS{HasAck: true, Ack64: true, DataAck: 1, HasMap: true, DSN64: true, DSN: 2, SSN: 3, DataLen: 4}
	out := make([]byte, 0, MaxLen)
	for b.Loop() {
		d.SSN++
		out = d.Append(out[:0])
	}
}

// A header as Linux sends it: NOP, NOP, timestamps, then a DSS.
func BenchmarkWalkHeader(b *testing.B) {
	b.ReportAllocs()
	area := Timestamps{Value: 1, Echo: 2}.Append([]byte{KindNOP, KindNOP})
	area = DSS{HasAck: true, Ack64: true, HasMap: true, DSN64: true, DSN: 2, SSN: 3, DataLen: 4}.Append(area)
	for b.Loop() {
		for rest := area; len(rest) > 0; {
			var r Raw
			r, rest, _ = Next(rest)
			if s, ok := r.Subtype(); ok && s == SubDSS {
				if _, err := ParseDSS(r); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}
