package onpath

import (
	"encoding/binary"

	"github.com/mptcp-go/mptcp/options"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Renumber adds numbers to the sequence numbers of each direction and takes them off the acknowledgments of
// the other, as firewalls do that distrust initial sequence numbers. With LeaveSACK it forgets the SACK
// blocks, as some do.
type Renumber struct {
	Forward, Back uint32
	LeaveSACK     bool
}

// Element makes it.
func (r Renumber) Element() Element {
	return rewrite(func(v *view, d Dir) {
		own, others := r.Forward, r.Back
		if d == Back {
			own, others = others, own
		}
		v.setSeq(v.tcp.Seq() + own)
		if !v.has(packet.ACK) {
			return
		}
		v.setAck(v.tcp.Ack() - others)
		if !r.LeaveSACK {
			shiftSACK(v, func(n uint32) uint32 { return n - others })
		}
	})
}

// shiftSACK changes the edges of all SACK blocks.
func shiftSACK(v *view, f func(uint32) uint32) {
	eachOption(v.tcp.Options(), func(r options.Raw) bool {
		if r.Kind() == options.KindSACK {
			for b := r[2:]; len(b) >= 4; b = b[4:] {
				binary.BigEndian.PutUint32(b, f(binary.BigEndian.Uint32(b)))
			}
		}
		return true
	})
}
