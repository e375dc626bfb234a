package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/congestion"
)

// fixed is a controller with a constant window: the benchmarks measure this package.
type fixed struct{ window, rate int64 }

func (f *fixed) OnSent(congestion.Time, int64, int64)    {}
func (f *fixed) OnAck(congestion.Time, congestion.Ack)   {}
func (f *fixed) OnLoss(congestion.Time, congestion.Loss) {}
func (f *fixed) OnSpuriousLoss(congestion.Time)          {}
func (f *fixed) OnMSS(int)                               {}
func (f *fixed) Window() int64                           { return f.window }
func (f *fixed) PacingRate() int64                       { return f.rate }
func (f *fixed) Metrics() congestion.Metrics {
	return congestion.Metrics{Window: f.window, SSThresh: -1}
}

// bench is a sender with a full window on a path of 10 ms.
type bench struct {
	s     *Sender
	now   time.Duration
	chunk uint64
	sacks [3]Range
}

func newBench(window int64, chunk uint64) *bench {
	b := &bench{s: New(Config{MSS: 1448, Controller: &fixed{window: window}, SACK: true, Timestamps: true}), chunk: chunk}
	b.s.Resume(1)
	b.s.SetRTT(0, 10*time.Millisecond)
	for b.s.InFlight()+int64(chunk) <= window {
		b.send()
	}
	return b
}

func (b *bench) send() {
	b.now += time.Microsecond
	nxt := b.s.Nxt()
	b.s.OnSend(b.now, nxt, nxt+b.chunk, false)
}

func (b *bench) ack(off uint64, sacks []Range) {
	b.now += time.Microsecond
	b.s.OnAck(b.now, &Ack{Off: off, Sacks: sacks, Pure: true, HasEcho: true, EchoedAt: b.now - 10*time.Millisecond, Unsent: 1 << 20})
}

// BenchmarkSuperSegment is the life of a super-segment: Allowance, OnSend, OnAck, Next.
func BenchmarkSuperSegment(b *testing.B) {
	x := newBench(4<<20, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		x.ack(x.s.Una()+x.chunk, nil)
		if x.s.Allowance(x.now) < int64(x.chunk) {
			b.Fatal("no room")
		}
		x.send()
		x.s.Next()
	}
}

// BenchmarkSegment is the same for a single segment among ten thousand.
func BenchmarkSegment(b *testing.B) {
	x := newBench(10_000*1448, 1448)
	b.ReportAllocs()
	for b.Loop() {
		x.ack(x.s.Una()+x.chunk, nil)
		if x.s.Allowance(x.now) < int64(x.chunk) {
			b.Fatal("no room")
		}
		x.send()
		x.s.Next()
	}
}

// BenchmarkRecovery is a segment of which every hundredth is lost, among a thousand, with SACK, and the
// retransmissions.
func BenchmarkRecovery(b *testing.B) {
	x := newBench(1000*1448, 1448)
	b.ReportAllocs()
	hole, acked := x.s.Una(), x.s.Una()+x.chunk
	steps := 0
	for b.Loop() {
		acked += x.chunk
		off, sacks := hole, x.sacks[:1]
		sacks[0] = Range{From: hole + x.chunk, To: acked}
		if steps++; steps%100 == 0 {
			off, sacks = acked, nil // the hole is filled, the next segment is lost
			hole, acked = acked, acked+x.chunk
		}
		x.ack(off, sacks)
		for x.s.Allowance(x.now) >= int64(x.chunk) {
			if r, ok := x.s.Retransmit(); ok {
				x.s.OnSend(x.now, r.From, min(r.To, r.From+x.chunk), false)
			} else {
				x.send()
			}
		}
		x.s.Next()
	}
}

// BenchmarkHostile is an ACK whose SACK blocks cut the scoreboard into the smallest pieces.
func BenchmarkHostile(b *testing.B) {
	x := newBench(4<<20, 64<<10)
	b.ReportAllocs()
	off := x.s.Una() + 1
	for b.Loop() {
		for i := range x.sacks {
			x.sacks[i] = Range{From: off + 1, To: off + 2}
			off += 97
		}
		if off+400 > x.s.Nxt() {
			x.ack(x.s.Nxt(), nil)
			for x.s.InFlight() < 4<<20 {
				x.send()
			}
			off = x.s.Una() + 1
		}
		x.ack(x.s.Una(), x.sacks[:])
	}
}

// TestNoAllocation: once the scoreboard has grown to the window nothing is allocated, with losses or
// without.
func TestNoAllocation(t *testing.T) {
	x := newBench(100*1448, 1448)
	step := func() {
		hole := x.s.Una()
		for i := range uint64(50) { // the first one of fifty is lost
			x.sacks[0] = Range{From: hole + x.chunk, To: hole + (i+2)*x.chunk}
			x.ack(hole, x.sacks[:1])
			for x.s.Allowance(x.now) >= int64(x.chunk) {
				if r, ok := x.s.Retransmit(); ok {
					x.s.OnSend(x.now, r.From, min(r.To, r.From+x.chunk), false)
				} else {
					x.send()
				}
			}
			x.s.Next()
		}
		x.ack(hole+50*x.chunk, nil)
		x.s.OnTimer(x.now)
	}
	for range 10 {
		step()
	}
	require.Zero(t, testing.AllocsPerRun(50, step))
	require.NotZero(t, x.s.Retransmitted())
}
