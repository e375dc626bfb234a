package engine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// naiveSum is RFC 1071 section 1 word by word.
func naiveSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		w := uint32(b[i]) << 8
		if i+1 < len(b) {
			w |= uint32(b[i+1])
		}
		sum += w
		if sum > 0xffff {
			sum = sum&0xffff + 1
		}
	}
	return uint16(sum)
}

func TestRFC1071SumOfPiecesOfAnyLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0x80, 0xfe, 0xff}), 0, 300).Draw(t, "b")
		require.Equal(t, sumKey(naiveSum(b)), sumKey(sumWords(b)))
		var s onesSum
		for rest := b; len(rest) > 0; {
			n := rapid.IntRange(0, len(rest)).Draw(t, "cut")
			if n == 0 {
				n = 1
			}
			s.add(rest[:n])
			rest = rest[n:]
		}
		require.Equal(t, sumKey(naiveSum(b)), sumKey(s.fold()))
	})
}

func TestBothZerosOfOnesComplementAreOneSum(t *testing.T) {
	ones := []byte{0xff, 0xff, 0xff, 0xff}
	require.Equal(t, uint16(0xffff), sumWords(ones))
	require.Zero(t, sumKey(sumWords(ones)))
	require.Zero(t, payloadSum(1, 1, 4, dssChecksum(1, 1, 4, ones)))
	require.Zero(t, payloadSum(1, 1, 4, dssChecksum(1, 1, 4, make([]byte, 4))))
}

func TestRFC8684Section331ChecksumAgainstFigure10(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dsn := rapid.Uint64().Draw(t, "dsn")
		ssn := rapid.Uint32().Draw(t, "ssn")
		dataLen := rapid.Uint16().Draw(t, "len")
		p := rapid.SliceOfN(rapid.Byte(), 0, 99).Draw(t, "p")
		flat := binary.BigEndian.AppendUint64(nil, dsn)
		flat = binary.BigEndian.AppendUint32(flat, ssn)
		flat = binary.BigEndian.AppendUint16(flat, dataLen)
		flat = append(append(flat, 0, 0), p...)
		sum := dssChecksum(dsn, ssn, dataLen, p)
		require.Equal(t, sumKey(^naiveSum(flat)), sumKey(sum))
		require.Equal(t, sumKey(naiveSum(p)), payloadSum(dsn, ssn, dataLen, sum))
		// A DATA_FIN changes the length and the checksum, and nothing else.
		require.Equal(t, payloadSum(dsn, ssn, dataLen, sum),
			payloadSum(dsn, ssn, dataLen+1, dssChecksum(dsn, ssn, dataLen+1, p)))
	})
}

// capturedMapping is a mapping with its checksum as Linux sent it.
type capturedMapping struct {
	rel     uint64 // DSN - IDSN
	ssn     uint32
	dataLen uint16
	sum     uint16
}

// TestDSSChecksumsOfLinux checks every intact mapping in the captures. Byte i of each direction is
// ((i mod 251) * 7 + 3) mod 256.
func TestDSSChecksumsOfLinux(t *testing.T) {
	raw, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	var captures map[string]struct {
		Connections []map[string]any
		Checks      []struct {
			What string
			OK   bool
		}
	}
	require.NoError(t, json.Unmarshal(raw, &captures))
	checked := 0
	for name, c := range captures {
		var maps []capturedMapping
		fins := map[uint64]bool{}
		for _, k := range c.Checks {
			var m capturedMapping
			if n, _ := fmt.Sscanf(k.What, "DSS checksum dsn+%d ssn=%d len=%d = %x", &m.rel, &m.ssn, &m.dataLen, &m.sum); n != 4 || !k.OK {
				continue
			}
			maps = append(maps, m)
			fins[m.rel] = fins[m.rel] || m.ssn == 0
		}
		for _, m := range maps {
			n := int(m.dataLen)
			if m.ssn == 0 || fins[m.rel+uint64(n)-1] {
				n-- // the last octet is the DATA_FIN
			}
			p := make([]byte, n)
			for i := range p {
				p[i] = byte((m.rel-1+uint64(i))%251*7 + 3)
			}
			var sums []uint16
			for _, side := range []string{"idsn_c", "idsn_s"} {
				idsn, err := strconv.ParseUint(strings.TrimPrefix(c.Connections[0][side].(string), "0x"), 16, 64)
				require.NoError(t, err)
				sums = append(sums, dssChecksum(idsn+m.rel, m.ssn, m.dataLen, p))
			}
			require.Contains(t, sums, m.sum, "%s: %+v", name, m)
			checked++
		}
	}
	require.GreaterOrEqual(t, checked, 20)
}

func BenchmarkChecksum64K(b *testing.B) {
	p := make([]byte, 65535)
	rand.New(rand.NewSource(1)).Read(p)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		dssChecksum(1, 1, 65535, p)
	}
}

func TestChecksumWithoutFIN(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "payload")
		dsn, ssn := rapid.Uint64().Draw(t, "dsn"), rapid.Uint32().Draw(t, "ssn")
		n := uint16(len(p))
		with := dssChecksum(dsn, ssn, n+1, p)
		require.Equal(t, sumKey(^dssChecksum(dsn, ssn, n, p)), sumKey(^WithoutFIN(with)))
	})
}
