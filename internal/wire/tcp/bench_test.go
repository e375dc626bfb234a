package tcp

import (
	"fmt"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// drain is a Handler that throws away what comes.
type drain struct {
	c     *Conn
	bytes int
}

func (d *drain) Established(time.Duration) {}
func (d *drain) Data(now time.Duration, p pool.Ref) {
	d.bytes += len(p.B)
	d.c.Consumed(now, len(p.B))
	p.Release()
}
func (d *drain) FIN(time.Duration)           {}
func (d *drain) Acked(time.Duration, uint64) {}
func (d *drain) Room(time.Duration)          {}
func (d *drain) Stuck(time.Duration, int)    {}
func (d *drain) Closed(time.Duration, error) {}

// pair is two connections back to back, without a network between them.
type pair struct {
	now  time.Duration
	a, b drain
	out  packet.Segment
}

func newPair(tb testing.TB, super int) *pair {
	p := &pair{}
	p.out.Options = make([]byte, 0, packet.MaxOptions)
	p.a.c = Dial(0, Config{Local: clientAddr, Remote: serverAddr, MTU: 1500, Controller: newController(), NoDelay: true, RecvBuffer: 16 << 20}, &p.a)
	if !p.a.c.Poll(p.now, &p.out) {
		tb.Fatal("no SYN")
	}
	p.b.c = Accept(0, Config{Local: serverAddr, Remote: clientAddr, MTU: 1500, Controller: newController(), NoDelay: true, RecvBuffer: 16 << 20}, &p.b, &p.out)
	p.now += 100 * time.Microsecond
	p.move(p.b.c, p.a.c)
	p.move(p.a.c, p.b.c)
	p.a.c.SetSuper(super)
	if p.a.c.State() != Established || p.b.c.State() != Established {
		tb.Fatal("no handshake")
	}
	return p
}

// move carries what one connection has to send to the other, whole.
func (p *pair) move(from, to *Conn) (n int) {
	for from.Poll(p.now, &p.out) {
		var ref pool.Ref
		if l := p.out.PayloadLen(); l > 0 {
			c := pool.Get(l)
			b := p.out.AppendPayload(c.Bytes()[:0])
			ref = pool.Ref{C: c, B: b}
			p.out.Payload = b
			clear(p.out.More[:])
		}
		to.HandleSegment(p.now, &p.out, ref)
		p.out.Options = p.out.Options[:0]
		n++
	}
	from.Sent(p.now)
	return n
}

// turn sends a chunk and brings the acknowledgments back.
func (p *pair) turn(chunk pool.Ref) {
	for p.a.c.Room() > 0 {
		p.a.c.Queue(p.now, chunk.Retain())
		if p.a.c.snd.unsent() > 1<<20 {
			break
		}
	}
	p.move(p.a.c, p.b.c)
	p.now += 50 * time.Microsecond
	p.move(p.b.c, p.a.c)
	p.now += 50 * time.Microsecond
	for _, c := range []*Conn{p.a.c, p.b.c} {
		if at, ok := c.Next(); ok && at <= p.now {
			c.HandleTimeout(p.now)
		}
	}
}

func (p *pair) end() {
	for _, c := range []*Conn{p.a.c, p.b.c} {
		c.Abort(p.now)
		c.Sent(p.now)
	}
}

func BenchmarkPair(b *testing.B) {
	for _, super := range []int{0, 64000} {
		b.Run(fmt.Sprintf("super=%d", super), func(b *testing.B) {
			p := newPair(b, super)
			chunk := pool.Copy(make([]byte, 64<<10))
			for range 200 {
				p.turn(chunk)
			}
			before := p.b.bytes
			segs := p.a.c.Stats().SegsOut
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				p.turn(chunk)
				n++
			}
			done := p.b.bytes - before
			b.SetBytes(int64(done / n))
			b.ReportMetric(float64(p.a.c.Stats().SegsOut-segs)/float64(n), "segs/op")
			chunk.Release()
			p.end()
		})
	}
}
