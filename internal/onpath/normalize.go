package onpath

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// NoHoles is a firewall that loses what lies beyond a hole in the sequence numbers.
type NoHoles struct {
	Dropped int64
	flows   flows[[2]expected]
}

type expected struct {
	next  uint32
	begun bool
}

// Process implements Element.
func (n *NoHoles) Process(_ time.Duration, p []byte, d Dir, emit Emit) {
	v, ok := locate(p)
	if !ok {
		emit(p, d)
		return
	}
	e := &n.flows.make(flowOf(&v, d))[d&1]
	end := v.tcp.Seq() + v.seqLen()
	switch {
	case v.has(packet.SYN) || !e.begun:
		*e = expected{end, true}
	case before(e.next, v.tcp.Seq()) && !v.has(packet.RST):
		n.Dropped++
		return
	case before(e.next, end):
		e.next = end
	}
	emit(p, d)
}

// Normalizer keeps the payload that it has passed on and puts its own copy into everything that covers the
// same sequence numbers again: what a retransmission says anew is never seen behind it. Rewritten counts the
// segments whose sender said something else the second time.
type Normalizer struct {
	Rewritten int64
	flows     flows[[2]past]
}

// pastBytes is how much of the latest payload is kept per direction of a flow.
const pastBytes = 1 << 18

// past is the payload that has passed, up to next.
type past struct {
	next  uint32
	bytes []byte
	begun bool
}

// Process implements Element.
func (n *Normalizer) Process(_ time.Duration, p []byte, d Dir, emit Emit) {
	v, ok := locate(p)
	if !ok || len(v.tcp.Payload()) == 0 {
		emit(p, d)
		return
	}
	if _, err := packet.Parse(p); err != nil { // damaged on its way here: it has said nothing
		emit(p, d)
		return
	}
	f := &n.flows.make(flowOf(&v, d))[d&1]
	if f.replay(v.tcp.Seq(), v.tcp.Payload()) {
		n.Rewritten++
		ChecksumRight.Process(0, p, d, emit)
		return
	}
	emit(p, d)
}

// replay overwrites what has passed before and keeps what is new; it tells whether anything differed.
func (f *past) replay(seq uint32, b []byte) (differed bool) {
	if !f.begun || before(f.next, seq) { // the first, or beyond a hole: begin anew
		f.next, f.bytes, f.begun = seq, f.bytes[:0], true
	}
	first := f.next - uint32(len(f.bytes))
	for i := range b {
		at := seq + uint32(i)
		switch {
		case before(at, first):
		case before(at, f.next):
			if c := f.bytes[at-first]; c != b[i] {
				b[i], differed = c, true
			}
		default:
			f.bytes = append(f.bytes, b[i])
			f.next++
		}
	}
	if len(f.bytes) > 2*pastBytes {
		f.bytes = append(f.bytes[:0], f.bytes[len(f.bytes)-pastBytes:]...)
	}
	return differed
}
