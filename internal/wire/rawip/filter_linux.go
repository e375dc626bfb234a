package rawip

import (
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// span is a range of ports, both ends included.
type span struct{ first, last uint16 }

// maxSpans bounds the filter. A program has at most 4096 instructions (BPF_MAXINSNS), six per span here, and
// the kernel, which makes up to twice as many of 8 bytes of them, charges it to the socket: net.core.optmem_max
// was 20 KiB for long.
const maxSpans = 200

// merge unites spans, sorted by their first ports, that overlap or touch. When more than limit remain, those that lie
// closest are joined: the filter then lets a little through that is not ours, which is found out later.
func merge(spans []span, limit int) []span {
	var list []span
	for _, s := range spans {
		if n := len(list); n > 0 && int(s.first) <= int(list[n-1].last)+1 {
			list[n-1].last = max(list[n-1].last, s.last)
			continue
		}
		list = append(list, s)
	}
	if len(list) <= limit {
		return list
	}
	gaps := make([]int, 0, len(list)-1)
	for i := range list[1:] {
		gaps = append(gaps, int(list[i+1].first)-int(list[i].last))
	}
	slices.Sort(gaps)
	widest := gaps[len(gaps)-limit] // gaps as wide as this and less are closed
	joined := list[:1]
	for _, s := range list[1:] {
		if at := &joined[len(joined)-1]; int(s.first)-int(at.last) <= widest {
			at.last = s.last
		} else {
			joined = append(joined, s)
		}
	}
	return joined
}

// portFilter is a program that lets through segments to the ports of sorted spans. A raw IPv4 socket sees packets
// from their IP header on, a raw IPv6 socket from their TCP header on.
func portFilter(spans []span, v6 bool) []bpf.Instruction {
	const dstPort = 2
	load := []bpf.Instruction{bpf.LoadAbsolute{Off: dstPort, Size: 2}}
	if !v6 {
		load = []bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadIndirect{Off: dstPort, Size: 2}}
	}
	return append(load, search(merge(spans, maxSpans))...)
}

// search decides by bisection whether the accumulator lies in one of the spans.
func search(list []span) []bpf.Instruction {
	const whole = 1 << 18 // bytes of the packet to let through: all
	switch len(list) {
	case 0:
		return []bpf.Instruction{bpf.RetConstant{Val: 0}}
	case 1:
		return []bpf.Instruction{
			bpf.JumpIf{Cond: bpf.JumpLessThan, Val: uint32(list[0].first), SkipTrue: 1},
			bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: uint32(list[0].last), SkipTrue: 1},
			bpf.RetConstant{Val: 0},
			bpf.RetConstant{Val: whole},
		}
	}
	mid := len(list) / 2
	low, high := search(list[:mid]), search(list[mid:])
	// A conditional jump reaches 255 instructions, an unconditional one any.
	prog := []bpf.Instruction{
		bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: uint32(list[mid].first), SkipFalse: 1},
		bpf.Jump{Skip: uint32(len(low))},
	}
	return append(append(prog, low...), high...)
}

// attach replaces the filter of a socket.
func attach(fd int, prog []bpf.Instruction) error {
	raw, err := bpf.Assemble(prog)
	if err != nil {
		return err
	}
	f := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		f[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]})
}
