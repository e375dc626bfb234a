package stream

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
)

// exchange sends records of n bytes from one flow to another and acknowledges each.
type exchange struct {
	a, b *Flow
	ref  pool.Ref
	iov  [][]byte
	ssn  uint32
}

func newExchange(t testing.TB, n int) *exchange {
	a, ra := established(t, FlowConfig{})
	b, rb := established(t, FlowConfig{})
	ra.quiet, rb.quiet = true, true
	x := &exchange{a: a, b: b, ref: pool.Copy(payload(n, 0)), ssn: 1, iov: make([][]byte, 0, maxSlices)}
	t.Cleanup(x.ref.Release)
	return x
}

func (x *exchange) encode() int {
	x.a.Send(0, engine.Mapping{DSN: uint64(x.ssn), SSN: x.ssn, Len: x.ref.Len(), Ack: ack(uint64(x.ssn), 1<<20)}, x.ref.Retain())
	x.ssn += uint32(x.ref.Len())
	x.iov = x.a.Gather(x.iov[:0])
	n := 0
	for _, s := range x.iov {
		n += len(s)
	}
	return n
}

func (x *exchange) round() {
	n := x.encode()
	for _, s := range x.iov {
		if err := x.b.Feed(0, s); err != nil {
			panic(err)
		}
	}
	x.a.Wrote(0, n)
	x.b.Ack(0, ack(uint64(x.ssn), 1<<20))
	x.iov = x.b.Gather(x.iov[:0])
	n = 0
	for _, s := range x.iov {
		n += len(s)
		if err := x.a.Feed(0, s); err != nil {
			panic(err)
		}
	}
	x.b.Wrote(0, n)
}

func TestSteadyPathAllocatesNothing(t *testing.T) {
	for _, n := range []int{1, 1000, 65_535} {
		x := newExchange(t, n)
		for range 10 {
			x.round()
		}
		require.LessOrEqual(t, testing.AllocsPerRun(500, x.round), 0.05, "%d bytes", n)
	}
}

func benchmarkEncode(b *testing.B, n int) {
	x := newExchange(b, n)
	b.SetBytes(int64(n))
	b.ReportAllocs()
	for b.Loop() {
		x.a.Wrote(0, x.encode())
	}
}

func benchmarkDecode(b *testing.B, n int) {
	x := newExchange(b, n)
	var wire []byte
	for range 16 {
		k := x.encode()
		for _, s := range x.iov {
			wire = append(wire, s...)
		}
		x.a.Wrote(0, k)
	}
	b.SetBytes(int64(16 * n))
	b.ReportAllocs()
	for b.Loop() {
		x.b.in.got = 0
		if err := x.b.Feed(0, wire); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode64K(b *testing.B) { benchmarkEncode(b, 65_535) }
func BenchmarkEncode1(b *testing.B)   { benchmarkEncode(b, 1) }
func BenchmarkDecode64K(b *testing.B) { benchmarkDecode(b, 65_535) }
func BenchmarkDecode1(b *testing.B)   { benchmarkDecode(b, 1) }
