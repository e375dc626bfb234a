package onpath

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// EarlyAck is a performance-enhancing proxy (RFC 3135): it acknowledges data going forward at once, keeps it,
// and sends it again itself until the receiver has acknowledged it. It takes data in order only; holes are
// the sender's to fill. Its acknowledgments carry no options and promise no more window than the receiver's.
//
// Die is what makes it interesting: the proxy vanishes with all that it has acknowledged and not delivered.
type EarlyAck struct {
	RTO   time.Duration // between its retransmissions; 0: 200 ms
	Limit int           // bytes kept per flow; more is passed on and not acknowledged; 0: 1 MiB
	dead  bool
	flows flows[pep]
	order []*pep // with something to send again
}

type pep struct {
	next  uint32 // the next byte that it will acknowledge
	begun bool
	ack   packet.Segment // the receiver's latest, without its options: what an early one looks like
	edge  uint32         // the end of the receiver's window
	shift uint8          // and its scale
	kept  []keptSegment
	bytes int
	at    time.Duration // of the next retransmission
	tries int
	same  int    // duplicate acknowledgments in a row
	until uint32 // what is repaired: it sends again with each acknowledgment below
}

type keptSegment struct {
	end uint32
	p   []byte
}

// pepTries is after how many retransmissions without progress the proxy gives a flow up.
const pepTries = 15

// Die makes it swallow everything from now on.
func (e *EarlyAck) Die() { e.dead, e.flows, e.order = true, flows[pep]{}, nil }

// Process implements Element.
func (e *EarlyAck) Process(now time.Duration, p []byte, d Dir, emit Emit) {
	if e.dead {
		return
	}
	v, ok := locate(p)
	if !ok {
		emit(p, d)
		return
	}
	f := e.flows.make(flowOf(&v, d))
	if d == Back {
		e.answered(now, f, &v, emit)
		emit(p, d)
		return
	}
	n := len(v.tcp.Payload())
	switch {
	case v.has(packet.SYN):
		e.forget(f)
		*f = pep{next: v.tcp.Seq() + v.seqLen(), begun: true}
	case n > 0 && f.begun && f.ack.Flags != 0 && v.tcp.Seq() == f.next && f.bytes+n <= e.limit() && len(e.order) < maxFlows:
		f.next += uint32(n)
		if len(f.kept) == 0 {
			f.at, f.tries = now+e.rto(), 0
			e.order = append(e.order, f)
		}
		f.kept = append(f.kept, keptSegment{f.next, append([]byte(nil), p...)})
		f.bytes += n
		e.acknowledge(f, emit)
	case n > 0 && f.begun && before(v.tcp.Seq(), f.next):
		e.acknowledge(f, emit) // again: the first one got lost
	}
	emit(p, d)
}

func (e *EarlyAck) acknowledge(f *pep, emit Emit) {
	a := f.ack
	a.Ack, a.Window = f.next, uint16(max(int32(f.edge-f.next), 0)>>f.shift)
	if q := render(&a); q != nil {
		emit(q, Back)
	}
}

// answered takes the receiver's word. Three duplicate acknowledgments make it send again at once, and
// from then on whatever is missing next.
func (e *EarlyAck) answered(now time.Duration, f *pep, v *view, emit Emit) {
	if !v.has(packet.ACK) {
		return
	}
	if v.has(packet.SYN) {
		f.shift, _ = scaleOf(v)
	}
	f.repeated(v)
	f.ack = packet.Segment{Src: v.src(), Dst: v.dst(), Seq: v.tcp.Seq() + v.seqLen(), Ack: v.tcp.Ack(), Flags: packet.ACK}
	f.edge = v.tcp.Ack() + uint32(v.tcp.Window())
	if !v.has(packet.SYN) {
		f.edge = v.tcp.Ack() + uint32(v.tcp.Window())<<f.shift
	}
	progress := false
	for len(f.kept) > 0 && !before(v.tcp.Ack(), f.kept[0].end) {
		k, _ := locate(f.kept[0].p)
		f.bytes -= len(k.tcp.Payload())
		f.kept = f.kept[1:]
		f.at, f.tries, progress = now+e.rto(), 0, true
	}
	switch {
	case len(f.kept) == 0 || v.has(packet.RST):
		e.forget(f)
	case f.same == 3:
		f.until = f.next
		emit(append([]byte(nil), f.kept[0].p...), Forward)
	case progress && before(v.tcp.Ack(), f.until):
		emit(append([]byte(nil), f.kept[0].p...), Forward)
	}
}

// repeated counts duplicate acknowledgments.
func (f *pep) repeated(v *view) {
	if f.begun && f.ack.Ack == v.tcp.Ack() && len(v.tcp.Payload()) == 0 && len(f.kept) > 0 {
		f.same++
	} else {
		f.same = 0
	}
}

func (e *EarlyAck) forget(f *pep) {
	f.kept, f.bytes, f.same, f.until = nil, 0, 0, f.next
	for i, o := range e.order {
		if o == f {
			e.order = append(e.order[:i], e.order[i+1:]...)
			return
		}
	}
}

// Next implements Timed.
func (e *EarlyAck) Next() (at time.Duration, ok bool) {
	for _, f := range e.order {
		if !ok || f.at < at {
			at, ok = f.at, true
		}
	}
	return at, ok
}

// Tick implements Timed: it sends the oldest segment of each flow again.
func (e *EarlyAck) Tick(now time.Duration, emit Emit) {
	for _, f := range append([]*pep(nil), e.order...) {
		if f.at > now {
			continue
		}
		if f.tries++; f.tries > pepTries {
			e.forget(f)
			continue
		}
		f.at = now + e.rto()<<min(f.tries, 6)
		emit(append([]byte(nil), f.kept[0].p...), Forward)
	}
}

func (e *EarlyAck) rto() time.Duration {
	if e.RTO > 0 {
		return e.RTO
	}
	return 200 * time.Millisecond
}

func (e *EarlyAck) limit() int {
	if e.Limit > 0 {
		return e.Limit
	}
	return 1 << 20
}

// SplitProxy is what a proxy that terminates TCP looks like to both ends: it passes unknown options in SYNs
// and has never heard of those behind them, numbers its own way, cuts segments its own way, and acknowledges
// what it has taken. It is put together from the elements that do these things.
func SplitProxy(offset uint32, size int) *Chain {
	return NewChain(
		Strip(NoSYN, MPTCP),
		&EarlyAck{},
		Renumber{Forward: offset, Back: ^offset}.Element(),
		Split(size, AllPieces),
	)
}
