package packet

import (
	"fmt"
	"testing"
)

var (
	sink    uint16
	segment Segment
)

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 1460, 65000} {
		src := make([]byte, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				var s Sum
				s.Add(src)
				sink = s.Fold()
			}
		})
	}
}

func BenchmarkCopy(b *testing.B) {
	for _, n := range []int{1460, 65000} {
		src, dst := make([]byte, n), make([]byte, n)
		b.Run(fmt.Sprintf("plain/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				copy(dst, src)
			}
		})
		b.Run(fmt.Sprintf("summed/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				var s Sum
				s.Copy(dst, src)
				sink = s.Fold()
			}
		})
	}
}

func ack() Segment {
	return Segment{Src: client4, Dst: server4, Seq: 1, Ack: 2, Flags: ACK, Window: 1000, Options: make([]byte, 32), Payload: make([]byte, 1428)}
}

func BenchmarkAppendHeaders(b *testing.B) {
	s := ack()
	dst := make([]byte, 0, MaxHeader)
	for name, cover := range map[string]Coverage{"full": FullChecksum, "pseudo": PseudoChecksum} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.AppendHeaders(dst, cover)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	s := ack()
	for name, cover := range map[string]Coverage{"full": FullChecksum, "pseudo": PseudoChecksum} {
		p, err := s.Append(nil, cover)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				segment, _ = Parse(p)
			}
		})
	}
}

// The hot paths allocate nothing.
func TestNoAllocations(t *testing.T) {
	s := ack()
	dst := make([]byte, 0, MaxHeader)
	p, err := s.Append(nil, FullChecksum)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		s.AppendHeaders(dst, FullChecksum)
		segment, err = Parse(p)
	}); n != 0 || err != nil {
		t.Fatalf("%v allocations, %v", n, err)
	}
}
