package rawip

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// tallying is a handler that only counts.
type tallying struct {
	segments atomic.Int64
	arrived  chan struct{}
}

func (c *tallying) HandleSegment(time.Duration, *packet.Segment, pool.Ref) { c.segments.Add(1) }
func (c *tallying) HandleICMP(time.Duration, *packet.ICMPError)            {}
func (c *tallying) Changed(time.Duration)                                  {}
func (c *tallying) Writable(time.Duration)                                 {}

func (c *tallying) Flush(time.Duration) any {
	select {
	case c.arrived <- struct{}{}:
	default:
	}
	return nil
}

// BenchmarkSegments sends segments over lo from one port of a link to another: what one costs on both sides,
// the kernel's work included. The window keeps the socket's buffer from overflowing.
func BenchmarkSegments(b *testing.B) {
	for _, size := range []int{0, 1428, 65000} {
		for _, batch := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%dB/batch%d", size, batch), func(b *testing.B) { benchmarkSegments(b, size, batch) })
		}
	}
}

func benchmarkSegments(b *testing.B, size, batch int) {
	if err := Available(); err != nil {
		b.Skip(err)
	}
	in := &tallying{arrived: make(chan struct{}, 1)}
	l, err := Open(Config{Clock: func() time.Duration { return 0 }}, in)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	p, err := l.Listen(netip.MustParseAddrPort("127.0.0.1:0"), in)
	if err != nil {
		b.Fatal(err)
	}
	f, err := l.Connect(netip.MustParseAddrPort("127.0.0.1:0"), p.Local(), 0, in)
	if err != nil {
		b.Fatal(err)
	}
	list := make([]packet.Segment, batch)
	for i := range list {
		list[i] = packet.Segment{
			Src: f.Local(), Dst: f.Remote(), Flags: packet.ACK, Options: make([]byte, 32), Payload: make([]byte, size),
		}
	}
	b.ReportAllocs()
	b.SetBytes(int64(size))
	b.ResetTimer()
	for sent := 0; sent < b.N; {
		n, err := l.Send(list[:min(batch, b.N-sent)])
		if err != nil {
			b.Fatal(err)
		}
		sent += n
		for lost := time.Now(); int64(sent)-in.segments.Load() > 32; {
			select {
			case <-in.arrived:
			case <-time.After(10 * time.Second):
				b.Fatalf("%d of %d segments have come after %v", in.segments.Load(), sent, time.Since(lost))
			}
		}
	}
	b.StopTimer()
	c := l.Counters()
	b.ReportMetric(float64(c.Received)/float64(c.Batches), "segments/batch")
}

// Nothing is allocated for a segment on its way out and in.
func TestNoAllocations(t *testing.T) {
	if err := Available(); err != nil {
		t.Skip(err)
	}
	if underRace {
		t.Skip("the race detector makes pools forget")
	}
	r := testing.Benchmark(func(b *testing.B) { benchmarkSegments(b, 1428, 32) })
	t.Log(r.String(), r.MemString())
	if n := r.AllocsPerOp(); n != 0 {
		t.Fatalf("%d allocations per segment", n)
	}
}
