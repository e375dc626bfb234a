package onpath

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// KindFastOpen is the TCP option of RFC 7413.
const KindFastOpen = 34

// SYNData leaves at most keep bytes of payload in SYNs.
func SYNData(keep int) Element {
	return Where(HasSYN, Func(func(p []byte, d Dir, emit Emit) {
		if s, err := packet.Parse(p); err == nil && len(s.Payload) > max(keep, 0) {
			s.Payload = s.Payload[:max(keep, 0)]
			if q := render(&s); q != nil {
				p = q
			}
		}
		emit(p, d)
	}))
}

// SYNProxy answers SYNs itself, as boxes against floods do, with no option but a segment size, and opens the
// connection to the server when the client has shown that it is there. From then on it renumbers the server's
// direction.
type SYNProxy struct {
	Secret uint32 // decides its sequence numbers
	flows  flows[synProxied]
}

type synProxied struct {
	client packet.Segment // its SYN, as it is to go to the server
	state  uint8
	offset uint32 // what to add to the server's sequence numbers
}

const (
	synAnswered = iota + 1 // the client has our SYN/ACK
	synSent                // the server has our SYN
	synOpen
)

// Process implements Element.
func (y *SYNProxy) Process(_ time.Duration, p []byte, d Dir, emit Emit) {
	v, ok := locate(p)
	if !ok {
		emit(p, d)
		return
	}
	k := flowOf(&v, d)
	if d == Forward {
		y.forward(y.flows.make(k), &v, p, emit)
		return
	}
	f := y.flows.get(k)
	switch {
	case f == nil || f.state == 0:
		emit(p, d)
	case v.has(packet.SYN | packet.ACK):
		y.opened(f, &v, emit)
	case f.state == synOpen:
		v.begin()
		v.setSeq(v.tcp.Seq() + f.offset)
		v.end()
		emit(p, d)
	}
}

func (y *SYNProxy) forward(f *synProxied, v *view, p []byte, emit Emit) {
	mss := []byte{options.KindMSS, 4, 1460 >> 8, 1460 & 0xFF}
	switch {
	case v.has(packet.SYN):
		f.client = packet.Segment{
			Src: v.src(), Dst: v.dst(), Seq: v.tcp.Seq(), Flags: packet.SYN, Window: v.tcp.Window(), Options: mss,
		}
		f.state = synAnswered
		answer := packet.Segment{
			Src: v.dst(), Dst: v.src(), Seq: y.number(v), Ack: v.tcp.Seq() + 1, Flags: packet.SYN | packet.ACK,
			Window: 65535, Options: mss,
		}
		if q := render(&answer); q != nil {
			emit(q, Back)
		}
	case f.state == 0:
		emit(p, Forward)
	case f.state == synOpen:
		v.begin()
		if v.has(packet.ACK) {
			v.setAck(v.tcp.Ack() - f.offset)
		}
		v.end()
		emit(p, Forward)
	case v.has(packet.RST):
		f.state = 0
	case v.has(packet.ACK):
		// The client is there, or is still there: what it sends meanwhile it will send again.
		f.state = synSent
		if q := render(&f.client); q != nil {
			emit(q, Forward)
		}
	}
}

// opened acknowledges the server's SYN/ACK and learns its numbers.
func (y *SYNProxy) opened(f *synProxied, v *view, emit Emit) {
	if f.state != synSent && f.state != synOpen {
		return
	}
	f.state = synOpen
	f.offset = y.numberOf(f.client.Seq) - v.tcp.Seq()
	ack := packet.Segment{
		Src: v.dst(), Dst: v.src(), Seq: f.client.Seq + 1, Ack: v.tcp.Seq() + 1, Flags: packet.ACK, Window: f.client.Window,
	}
	if q := render(&ack); q != nil {
		emit(q, Forward)
	}
}

func (y *SYNProxy) number(v *view) uint32         { return y.numberOf(v.tcp.Seq()) }
func (y *SYNProxy) numberOf(client uint32) uint32 { return (client ^ y.Secret) * 2654435761 }
