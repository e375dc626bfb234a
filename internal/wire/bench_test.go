package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/stretchr/testify/require"
)

// pair is two engines with one flow each, and nothing between them: what one polls the other gets.
type pair struct {
	now  time.Duration
	eng  [2]*engine.Conn
	flow [2]*Flow
	out  packet.Segment
	buf  [packet.MaxOptions]byte
	n    int // segments carried
}

func newPair(t testing.TB, checksum bool, super int) *pair {
	p := &pair{now: time.Second}
	keys := [2]engine.Key{0x0102030405060708, 0x1112131415161718}
	offer := engine.CapableOffer{Carrier: extapi.CarrierWire, Checksum: checksum}
	config := func(i int) Config {
		c := tcp.Config{Local: addrs[i], Remote: addrs[1-i], ISN: uint32(7 + i), MTU: 1500, NoDelay: true}
		c.Controller = congestion.Reno.NewGroup().New(0, congestion.Subflow{MSS: 1400, InitialWindow: 1 << 20})
		return Config{TCP: c}
	}
	for i := range p.eng {
		p.eng[i] = engine.NewConn(p.now, engine.Config{Client: i == 0, SendBuffer: 4 << 20, RecvBuffer: 4 << 20, CloseTimeout: time.Minute}, keys[i])
	}
	p.flow[0] = Dial(p.now, config(0), engine.NewCapable(offer, keys[0]))
	require.True(t, p.poll(0))
	syn := flatten(p.out)
	c, ok := Open(&syn).Negotiate(engine.CapableOffer{Carrier: extapi.CarrierWire})
	require.True(t, ok)
	p.flow[1] = Accept(p.now, config(1), c.WithKey(keys[1]), &syn)
	p.carry(1)
	_, ok = p.flow[0].Settled()
	require.True(t, ok)
	require.NotZero(t, p.flow[0].Attach(p.now, p.eng[0], engine.FlowParams{}))
	p.carry(0)
	_, ok = p.flow[1].Settled()
	require.True(t, ok)
	require.NotZero(t, p.flow[1].Attach(p.now, p.eng[1], engine.FlowParams{}))
	for i := range p.flow {
		p.flow[i].SetSuper(super)
	}
	return p
}

func (p *pair) poll(i int) bool {
	p.out.Options = p.buf[:0]
	return p.flow[i].Poll(p.now, &p.out)
}

// carry takes what i polls to the other side, and says whether there was anything.
func (p *pair) carry(i int) (any bool) {
	for p.poll(i) {
		any = true
		p.n++
		var ref pool.Ref
		if n := p.out.PayloadLen(); n > 0 { // the one copy is the link's
			c := pool.Get(n)
			ref = pool.Ref{C: c, B: c.Bytes()[:n]}
			p.out.AppendPayload(ref.B[:0])
			p.out.Payload = ref.B
			clear(p.out.More[:])
		}
		p.flow[1-i].HandleSegment(p.now, &p.out, ref)
	}
	p.flow[i].Sent(p.now)
	return any
}

// push moves the bytes of b from one application to the other.
func (p *pair) push(b []byte, in []byte) {
	for sent, got := 0, 0; got < len(b); {
		if sent < len(b) {
			n, _ := p.eng[0].Write(p.now, b[sent:])
			sent += n
		}
		p.now += 50 * time.Microsecond
		p.carry(0)
		for {
			n, _ := p.eng[1].Read(p.now, in)
			if got += n; n == 0 {
				break
			}
		}
		p.carry(1)
		for i := range p.flow {
			if at, ok := p.flow[i].Next(); ok && at <= p.now {
				p.flow[i].HandleTimeout(p.now)
			}
			if at, ok := p.eng[i].Next(); ok && at <= p.now {
				p.eng[i].HandleTimeout(p.now)
			}
		}
	}
}

func (p *pair) end() {
	for i := range p.flow {
		p.eng[i].Abort(p.now, engine.ResetUnspecified)
		p.eng[i].Close(p.now)
		p.flow[i].Abort(p.now, engine.ResetUnspecified)
		p.flow[i].Sent(p.now)
	}
}

// Nothing is allocated per segment once a connection is warm.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, checksum := range []bool{false, true} {
		p := newPair(t, checksum, 0)
		b, in := make([]byte, 256<<10), make([]byte, 64<<10)
		for range 40 {
			p.push(b, in)
		}
		before := p.n
		allocs := testing.AllocsPerRun(20, func() { p.push(b, in) })
		require.Greater(t, p.n-before, 3000)
		require.LessOrEqual(t, allocs, 3.0, "for more than 200 segments: sync.Pool may lose a chunk to the collector")
		p.end()
	}
}

func benchmark(b *testing.B, checksum bool, super int) {
	p := newPair(b, checksum, super)
	buf, in := make([]byte, 256<<10), make([]byte, 64<<10)
	for range 20 {
		p.push(buf, in)
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		p.push(buf, in)
	}
	p.end()
}

func BenchmarkSegments(b *testing.B)         { benchmark(b, false, 0) }
func BenchmarkSegmentsChecksum(b *testing.B) { benchmark(b, true, 0) }
func BenchmarkSupers(b *testing.B)           { benchmark(b, false, 64<<10) }
func BenchmarkSupersChecksum(b *testing.B)   { benchmark(b, true, 64<<10) }
