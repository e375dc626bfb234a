package onpath

import (
	"bytes"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// Forge adds a segment behind each one that matches, in its direction or, against it, in the other. shape
// changes a pure acknowledgment that the sender of that direction might have sent in this place.
func Forge(m Match, against bool, shape func(s *packet.Segment)) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		if !m(p, d) {
			emit(p, d)
			return
		}
		s, err := packet.Parse(bytes.Clone(p))
		emit(p, d)
		if err != nil {
			return
		}
		s.Seq += uint32(s.SeqLen())
		s.Flags, s.Payload, s.Options, s.Urgent = packet.ACK, nil, nil, 0
		if against {
			s.Src, s.Dst = s.Dst, s.Src
			s.Seq, s.Ack = s.Ack, s.Seq
			d = d.Reverse()
		}
		shape(&s)
		if q := render(&s); q != nil {
			emit(q, d)
		}
	})
}

// Reset forges a RST behind matching segments: with the very number that the receiver expects (RFC 5961
// section 3.2 has it obey only those) plus off.
func Reset(m Match, against bool, off uint32) Element {
	return Forge(m, against, func(s *packet.Segment) {
		s.Flags |= packet.RST
		s.Seq += off
	})
}

// Finish forges a FIN behind matching segments.
func Finish(m Match, against bool) Element {
	return Forge(m, against, func(s *packet.Segment) { s.Flags |= packet.FIN })
}

// ForgeOption forges a pure acknowledgment with these options behind matching segments: REMOVE_ADDR, MP_FASTCLOSE, MP_FAIL, or a
// DSS of any kind. It has the timestamps of the segment before it: without them a receiver that has agreed to them drops it
// (RFC 7323 section 3.2).
func ForgeOption(m Match, against bool, area []byte) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		s, err := packet.Parse(p)
		if err != nil {
			emit(p, d)
			return
		}
		all := append(timestamps(s.Options, against), area...)
		Forge(m, against, func(s *packet.Segment) { s.Options = all }).Process(0, p, d, emit)
	})
}

// timestamps are the option area of an acknowledgment in the same direction, or in answer.
func timestamps(area []byte, answer bool) []byte {
	for len(area) > 0 {
		r, rest, err := options.Next(area)
		if err != nil || len(r) == 0 {
			return nil
		}
		if t, err := options.ParseTimestamps(r); err == nil {
			if answer {
				t.Value, t.Echo = t.Echo, t.Value
			}
			return t.Append([]byte{options.KindNOP, options.KindNOP})
		}
		area = rest
	}
	return nil
}

// Answer replies to matching segments with a RST, as a firewall that rejects does, and loses them.
func Answer(m Match) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		if _, ok := locate(p); !ok || !m(p, d) {
			emit(p, d)
			return
		}
		if q := Refusal(p); q != nil {
			emit(q, d.Reverse())
		}
	})
}

// Refusal is the RST that answers a segment for which there is no connection (RFC 9293 section 3.10.7.1); nil
// for what is no segment, or is a RST itself.
func Refusal(p []byte) []byte {
	v, ok := locate(p)
	if !ok || v.has(packet.RST) {
		return nil
	}
	return resetFor(&v)
}

func resetFor(v *view) []byte {
	s := packet.Segment{Src: v.dst(), Dst: v.src(), Flags: packet.RST}
	if v.has(packet.ACK) {
		s.Seq = v.tcp.Ack()
	} else {
		s.Flags |= packet.ACK
		s.Ack = v.tcp.Seq() + v.seqLen()
	}
	return render(&s)
}
