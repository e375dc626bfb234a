package onpath

import (
	"bytes"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// ALG is an application-level gateway, as for FTP: it replaces a string in the payload by one of another
// length and shifts the sequence numbers of everything behind it. It does not look across segments. A
// retransmission is changed as its original was.
type ALG struct {
	Old, New []byte
	flows    flows[[2]algEdits]
}

// maxEdits is how many changes per direction are remembered; further strings stay as they are.
const maxEdits = 256

// algEdits are the changes in one direction, in the order of their places.
type algEdits []algEdit

type algEdit struct {
	after uint32 // in the sender's numbers: the first byte behind the string
	delta int32  // how much longer the stream has become up to there
}

// Process implements Element.
func (a *ALG) Process(_ time.Duration, p []byte, d Dir, emit Emit) {
	s, err := packet.Parse(p)
	if err != nil {
		emit(p, d)
		return
	}
	k := flow{s.Src, s.Dst}
	if d == Back {
		k = flow{s.Dst, s.Src}
	}
	f := a.flows.make(k)
	own, others := &f[d&1], &f[d.Reverse()&1]
	if s.Flags.Has(packet.SYN) {
		*own = nil
	}
	at := bytes.Index(s.Payload, a.Old)
	if len(a.Old) == 0 || at >= 0 && !own.note(s.Seq+uint32(at+len(a.Old)), int32(len(a.New)-len(a.Old))) {
		at = -1
	}
	if len(*own) == 0 && len(*others) == 0 {
		emit(p, d)
		return
	}
	if at >= 0 {
		s.Payload = append(append(append([]byte(nil), s.Payload[:at]...), a.New...), s.Payload[at+len(a.Old):]...)
	}
	s.Seq = own.outward(s.Seq)
	if s.Flags.Has(packet.ACK) {
		s.Ack = others.inward(s.Ack)
	}
	q := render(&s)
	if q == nil {
		emit(p, d)
		return
	}
	if v, ok := locate(q); ok && len(*others) > 0 {
		v.begin()
		shiftSACK(&v, others.inward)
		v.end()
	}
	emit(q, d)
}

// note remembers a change, once; false: there is no room, or it lies before one that was made already.
func (e *algEdits) note(after uint32, delta int32) bool {
	sum := int32(0)
	for _, x := range *e {
		if x.after == after {
			return true
		}
		if before(after, x.after) {
			return false
		}
		sum = x.delta
	}
	if len(*e) >= maxEdits {
		return false
	}
	*e = append(*e, algEdit{after, sum + delta})
	return true
}

// outward turns a sequence number of the sender's into one of the receiver's.
func (e algEdits) outward(n uint32) uint32 {
	delta := int32(0)
	for _, x := range e {
		if before(n, x.after) {
			break
		}
		delta = x.delta
	}
	return n + uint32(delta)
}

// inward turns an acknowledgment of the receiver's into one that the sender understands: one inside of the
// new string acknowledges the old string's end at the earliest with the last byte of the new one.
func (e algEdits) inward(n uint32) uint32 {
	delta := int32(0)
	for _, x := range e {
		if before(n, x.after+uint32(x.delta)) {
			if end := x.after + uint32(delta); before(end, n) {
				return x.after - 1
			}
			break
		}
		delta = x.delta
	}
	return n - uint32(delta)
}
