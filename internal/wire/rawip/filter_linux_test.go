package rawip

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// singles are spans of one port each.
func singles(ports []uint16) (list []span) {
	for _, p := range ports {
		list = append(list, span{p, p})
	}
	return list
}

// passes runs the program as the kernel would, for a segment to port.
func passes(t require.TestingT, prog []bpf.Instruction, v6 bool, port uint16, ipOptions int) bool {
	vm, err := bpf.NewVM(prog)
	require.NoError(t, err)
	s := packet.Segment{Src: netip.MustParseAddrPort("10.0.0.1:9"), Dst: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), port), Payload: []byte("x")}
	b, err := s.Append(nil, packet.FullChecksum)
	require.NoError(t, err)
	if v6 {
		b = b[packet.IPv4HeaderLen:]
	} else if ipOptions > 0 {
		b[0] += byte(ipOptions)
		b = slices.Insert(b, packet.IPv4HeaderLen, make([]byte, 4*ipOptions)...)
	}
	n, err := vm.Run(b)
	require.NoError(t, err)
	require.True(t, n == 0 || n >= packet.MaxPacket, "cut off at %d", n)
	return n != 0
}

// The filter passes segments to its ports, to no other ones, wherever the TCP header begins.
func TestPortFilter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ports := rapid.SliceOfNDistinct(rapid.Uint16Range(0, 300), 0, 120, rapid.ID).Draw(t, "ports")
		if rapid.Bool().Draw(t, "high") {
			for i := range ports {
				ports[i] = ^ports[i]
			}
		}
		slices.Sort(ports)
		v6 := rapid.Bool().Draw(t, "v6")
		prog := portFilter(singles(ports), v6)
		options := rapid.IntRange(0, 10).Draw(t, "ip options")
		for range 20 {
			p := rapid.Uint16Range(0, 310).Draw(t, "port")
			for _, p := range []uint16{p, ^p} {
				require.Equal(t, slices.Contains(ports, p), passes(t, prog, v6, p, options), "port %d", p)
			}
		}
	})
}

// A filter for every second port does not fit: it is coarser then, and lets no port of ours out.
func TestPortFilterOfVeryMany(t *testing.T) {
	var ports []uint16
	for p := 1; p < 1<<16; p += 2 + p/30000*5 {
		ports = append(ports, uint16(p))
	}
	prog := portFilter(singles(ports), false)
	raw, err := bpf.Assemble(prog)
	require.NoError(t, err)
	require.LessOrEqual(t, len(raw), 4096)
	for i := 0; i < len(ports); i += 37 {
		require.True(t, passes(t, prog, false, ports[i], 0))
	}
	require.False(t, passes(t, prog, false, 0, 0))
}

// Nor does one for the ports of a client with many connections to one server, which the kernel draws.
func TestPortFilterOfRandomPorts(t *testing.T) {
	for _, n := range []int{100, 700, 5000, 28000} {
		r := rand.New(rand.NewPCG(1, uint64(n)))
		var ports []uint16
		for _, p := range r.Perm(28232)[:n] {
			ports = append(ports, 32768+uint16(p))
		}
		slices.Sort(ports)
		raw, err := bpf.Assemble(portFilter(singles(ports), false))
		require.NoError(t, err)
		require.LessOrEqual(t, 2*8*len(raw), 20<<10, "bytes charged to the socket at the most")
		for i := 0; i < len(ports); i += 1 + n/50 {
			require.True(t, passes(t, portFilter(singles(ports), false), false, ports[i], 0))
		}
		require.False(t, passes(t, portFilter(singles(ports), false), false, 32000, 0))
	}
}

func TestSpans(t *testing.T) {
	require.Empty(t, merge(nil, 3))
	require.Equal(t, []span{{1, 3}, {5, 5}, {65535, 65535}}, merge(singles([]uint16{1, 2, 3, 5, 65535}), 3))
	require.Equal(t, []span{{1, 5}, {65535, 65535}}, merge(singles([]uint16{1, 2, 3, 5, 65535}), 2))
	require.Equal(t, []span{{1, 65535}}, merge(singles([]uint16{1, 2, 3, 5, 65535}), 1))
	rapid.Check(t, func(t *rapid.T) {
		ports := rapid.SliceOfDistinct(rapid.Uint16(), rapid.ID).Draw(t, "ports")
		slices.Sort(ports)
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		spans := singles(ports)
		for i := range spans { // some are blocks, which may hold the next ones
			if rapid.Bool().Draw(t, "block") {
				spans[i] = blockOf(spans[i].first)
			}
		}
		slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
		list := merge(spans, limit)
		require.LessOrEqual(t, len(list), limit)
		for i, s := range list {
			require.LessOrEqual(t, s.first, s.last)
			require.True(t, i == 0 || s.first > list[i-1].last+1)
		}
		for _, part := range spans {
			require.True(t, slices.ContainsFunc(list, func(s span) bool { return s.first <= part.first && part.last <= s.last }))
		}
	})
}
