package onpath

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/pcapw"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// travelling is a packet with its direction.
type travelling struct {
	p []byte
	d Dir
}

// captured reads a capture of two kernels talking: the near end is who sends SYNs.
func captured(t testing.TB, name string) (all []travelling) {
	t.Helper()
	f, err := os.Open(filepath.Join("../../options/testdata", name))
	require.NoError(t, err)
	defer f.Close()
	r, err := pcapw.NewReader(f)
	require.NoError(t, err)
	near := map[netip.Addr]bool{}
	for {
		k, err := r.Next()
		if err == io.EOF {
			return all
		}
		require.NoError(t, err)
		b, ok := r.IP(k)
		v, tcp := locate(b)
		if !ok || !tcp {
			continue
		}
		if v.has(packet.SYN) && !v.has(packet.ACK) {
			near[v.src().Addr()] = true
		}
		d := Forward
		if !near[v.src().Addr()] {
			d = Back
		}
		all = append(all, travelling{bytes.Clone(b), d})
	}
}

func everyCapture(t testing.TB) []string {
	files, err := filepath.Glob("../../options/testdata/*.pcap")
	require.NoError(t, err)
	require.Greater(t, len(files), 40)
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return files
}

// through sends packets through an element, one per millisecond, and waits for what it holds.
func through(e Element, all []travelling) (out []travelling) {
	emit := func(p []byte, d Dir) { out = append(out, travelling{p, d}) }
	timed, _ := e.(Timed)
	now := time.Duration(0)
	advance := func(to time.Duration) {
		for range 10_000 {
			if timed == nil {
				break
			}
			at, ok := timed.Next()
			if !ok || at > to {
				break
			}
			timed.Tick(max(at, now), emit)
		}
		now = to
	}
	for i, k := range all {
		advance(time.Duration(i) * time.Millisecond)
		e.Process(now, bytes.Clone(k.p), k.d, emit)
	}
	advance(now + time.Hour)
	return out
}

func random(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

func seg(t testing.TB, k travelling) packet.Segment {
	t.Helper()
	s, err := packet.Parse(k.p)
	require.NoError(t, err)
	return s
}

// rightSums computes both checksums the naive way.
func rightSums(p []byte) bool {
	naive := func(parts ...[]byte) uint16 {
		var sum uint32
		b := bytes.Join(parts, nil)
		if len(b)%2 == 1 {
			b = append(b, 0)
		}
		for i := 0; i < len(b); i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
		for sum > 0xFFFF {
			sum = sum>>16 + sum&0xFFFF
		}
		return uint16(sum)
	}
	n, addrs := 40, 8
	if p[0]>>4 == 4 {
		n, addrs = int(p[0]&15)*4, 12
		if naive(p[:n]) != 0xFFFF {
			return false
		}
		p = p[:binary.BigEndian.Uint16(p[2:])]
	}
	hosts := p[addrs : addrs+8]
	if n == 40 && p[0]>>4 == 6 {
		p = p[:40+int(binary.BigEndian.Uint16(p[4:]))]
		hosts = p[8:40]
	}
	return naive(hosts, []byte{0, 6}, binary.BigEndian.AppendUint16(nil, uint16(len(p)-n)), p[n:]) == 0xFFFF
}

// said is what each direction of each flow has said: bytes by sequence number, naively.
func said(t testing.TB, all []travelling) map[flow]map[uint32]byte {
	t.Helper()
	m := map[flow]map[uint32]byte{}
	for _, k := range all {
		s := seg(t, k)
		f := flow{s.Src, s.Dst}
		if m[f] == nil {
			m[f] = map[uint32]byte{}
		}
		for i, b := range s.Payload {
			m[f][s.Seq+uint32(i)] = b
		}
	}
	return m
}

// optionsOf lists a segment's options without padding.
func optionsOf(t testing.TB, k travelling) (list []options.Raw) {
	t.Helper()
	eachOption(seg(t, k).Options, func(r options.Raw) bool {
		if r.Kind() > options.KindNOP {
			list = append(list, r)
		}
		return true
	})
	return list
}

func countMPTCP(t testing.TB, all []travelling, m Match) (n int) {
	t.Helper()
	for _, k := range all {
		if m(k.p, k.d) && Carries(MPTCP)(k.p, k.d) {
			n++
		}
	}
	return n
}

var (
	near = netip.MustParseAddrPort("10.1.0.1:40000")
	far  = netip.MustParseAddrPort("10.2.0.1:80")
)

// made is a packet of our own.
func made(t testing.TB, d Dir, s packet.Segment) travelling {
	t.Helper()
	s.Src, s.Dst = near, far
	if d == Back {
		s.Src, s.Dst = far, near
	}
	p := render(&s)
	require.NotNil(t, p)
	return travelling{p, d}
}
