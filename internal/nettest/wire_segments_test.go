package nettest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/options"
)

// firstOnly leaves each mapping of what the kernel sends on the first segment that it comes with, and takes it off the others.
func firstOnly(d onpath.Dir) onpath.Element {
	var last uint64
	return onpath.Only(d, onpath.Strip(onpath.IsData, func(r options.Raw) bool {
		if sub, ok := r.Subtype(); !ok || r.Kind() != options.Kind || sub != options.SubDSS {
			return false
		}
		m, err := options.ParseDSS(r)
		again := err == nil && m.HasMap && m.DSN == last
		last = m.DSN
		return again
	}))
}

// burst is data of the kernel's, which its stack cuts into segments only when they leave: one mapping covers up to 64 KiB of
// them, MP_CAPABLE with data as well.
func burst(name string, bytes int64, box func() onpath.Element, paths [2]*valve) scenario {
	return scenario{name, func(t *testing.T, s *stage) {
		if box != nil {
			for _, p := range paths {
				p.set(box())
				s.undo = append(s.undo, func() { p.set(nil) })
			}
		}
		j := job{Down: s.ours == "c", Up: s.ours == "s", Hold: true, Bytes: bytes, Preface: 20_000}
		p := s.meet(j)
		our, their := s.outcome(finish(t, 20*time.Second, p.client, p.server))
		require.EqualValues(t, j.Bytes, our.Received.Bytes)
		s.bothMultipath(our, their)
	}}
}

// Segmentation offload: the same mapping on every segment of a burst, or on none but the first, and MP_CAPABLE with more data
// than its segment has.
func TestNamespaceWireKernelsBursts(t *testing.T) {
	for _, ours := range []string{"c", "s"} {
		t.Run("ours is "+ours, func(t *testing.T) {
			s, paths := newEmulatedStage(t, ours)
			d := onpath.Forward
			if ours == "c" {
				d = onpath.Back
			}
			s.scenes(t, inBothFamilies([]scenario{
				burst("mappings on every segment", 10_000_000, nil, paths),
				burst("mappings on the first segment", 2_000_000, func() onpath.Element { return firstOnly(d) }, paths),
			}))
			const subtype, length, dsn = "tcp.options.mptcp.subtype", "tcp.options.mptcp.datalvllen", "tcp.options.mptcp.rawdataseqno"
			var longer, repeated, bare, opening int
			last := ""
			for line := range strings.Lines(s.captured.tshark("-Y", "!"+s.captured.from()+" && tcp.len>0", "-T", "fields", "-e", "tcp.len", "-e", subtype, "-e", length, "-e", dsn)) {
				f := append(strings.Split(strings.TrimRight(line, "\n"), "\t"), "", "", "")
				payload, err := strconv.Atoi(f[0])
				require.NoError(t, err, line)
				mapped, _ := strconv.Atoi(f[2]) // where there is one
				switch {
				case f[2] == "":
					bare++
				case mapped > payload && f[1] == "0":
					opening++
				case mapped > payload:
					longer++
					if f[3] == last {
						repeated++
					}
				}
				last = f[3]
			}
			t.Logf("mappings longer than their segment: %d, of which %d repeat the one before; %d segments without; %d of MP_CAPABLE", longer, repeated, bare, opening)
			require.Greater(t, repeated, 1000, "in the first scenario")
			require.Greater(t, bare, 500, "in the second")
			require.Equal(t, ours == "s", opening > 0, "what the client says first")
		})
	}
}
