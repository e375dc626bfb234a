package engine

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

// wireFlow hands everything straight to the other end's connection: what is left is the engine's cost.
type wireFlow struct {
	to   *Conn
	id   PathID
	acks []Ack
}

func (f *wireFlow) Room() int { return 1 << 20 }
func (f *wireFlow) Send(now time.Duration, m Mapping, p pool.Ref) {
	d := options.DSS{
		HasMap: true, DSN64: true, DSN: m.DSN, SSN: m.SSN, DataLen: uint16(m.Len), DataFIN: m.DataFIN,
		HasAck: m.Ack.Valid, Ack64: true, DataAck: m.Ack.DataAck,
	}
	f.to.HandleDSS(now, f.id, &d)
	f.to.HandleBytes(now, f.id, p)
}
func (f *wireFlow) Ack(now time.Duration, a Ack)          { f.acks = append(f.acks[:0], a) }
func (f *wireFlow) Signal(time.Duration, options.Option)  {}
func (f *wireFlow) Close(time.Duration)                   {}
func (f *wireFlow) Abort(time.Duration, ResetReason)      {}
func (f *wireFlow) Limit(int64)                           {}
func (f *wireFlow) Probe(now time.Duration) time.Duration { return now }
func (f *wireFlow) Remind(time.Duration)                  {}
func (f *wireFlow) Stats(time.Duration) FlowStats {
	return FlowStats{SRTT: time.Millisecond, Acked: -1}
}
func (f *wireFlow) deliver(now time.Duration, from *Conn, id PathID) {
	for _, a := range f.acks {
		d := options.DSS{HasAck: true, Ack64: true, DataAck: a.DataAck}
		f.to.HandleDSS(now, f.id, &d)
		f.to.HandleWindow(now, f.id, a.DataAck, a.Window)
	}
	f.acks = f.acks[:0]
}

func benchPair(flows int) (a, b *Conn, fa, fb []*wireFlow) {
	cfg := Config{Client: true, Rand: rand.Reader, SendBuffer: 6 << 20, RecvBuffer: 6 << 20, NoPathTimeout: time.Minute}
	a = NewConn(0, cfg, labKey(true))
	cfg.Client = false
	b = NewConn(0, cfg, labKey(false))
	a.SetRemote(0, labKey(false))
	b.SetRemote(0, labKey(true))
	for i := range flows {
		x, y := &wireFlow{to: b, id: PathID(i + 1)}, &wireFlow{to: a, id: PathID(i + 1)}
		p := FlowParams{Initial: i == 0, Carrier: extapi.CarrierWire, Local: labAddr("10.0.1.1:4000"), Remote: labAddr("10.0.1.2:80")}
		b.AddFlow(0, y, p)
		a.AddFlow(0, x, p)
		fa, fb = append(fa, x), append(fb, y)
	}
	a.HandleEstablished(0, 1)
	b.HandleEstablished(0, 1)
	return a, b, fa, fb
}

func benchTransfer(b *testing.B, flows, size int) {
	c, d, _, fd := benchPair(flows)
	data, buf := make([]byte, size), make([]byte, 64<<10)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	now := time.Duration(0)
	for b.Loop() {
		now += 20 * time.Microsecond
		for p := data; len(p) > 0; {
			n, _ := c.Write(now, p)
			p = p[n:]
			for {
				n, _ := d.Read(now, buf)
				if n == 0 {
					break
				}
			}
			if at, ok := d.Next(); ok && (at <= now || len(p) > 0) {
				d.HandleTimeout(now)
			}
			for _, f := range fd {
				f.deliver(now, d, f.id)
			}
		}
		if at, ok := c.Next(); ok && at <= now {
			c.HandleTimeout(now)
		}
	}
}

func BenchmarkTransfer64KiB(b *testing.B)         { benchTransfer(b, 1, 64<<10) }
func BenchmarkTransfer64KiBTwoFlows(b *testing.B) { benchTransfer(b, 2, 64<<10) }
func BenchmarkTransfer1Byte(b *testing.B)         { benchTransfer(b, 1, 1) }
