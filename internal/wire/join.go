package wire

import (
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/options"
)

// A further subflow (RFC 8684 section 3.2). The initiator's third message is sent again until the fourth
// shows that it has arrived; until then no data leaves.

// maxThirds is how often the third message of a join leaves.
const maxThirds = 6

// takeJoinSynAck takes the answer to our SYN.
func (f *Flow) takeJoinSynAck(now time.Duration, in *tcp.Incoming) bool {
	h := &f.hs
	switch {
	case in.Kind != tcp.KindSYNACK:
		f.refuse(&engine.ProtocolError{Section: sectionJoin, Detail: "a join from both sides at once"})
		return true
	case !f.got.hasJoin:
		// "If the SYN/ACK as received at Host A does not have an MP_JOIN option, Host A MUST close the
		// subflow with a TCP RST."
		f.refuse(&engine.ProtocolError{Section: sectionJoin, Detail: "the answer to a SYN with MP_JOIN has none"})
		return true
	}
	if _, err := h.initiator.HandleSynAck(f.got.join); err != nil {
		if f.got.join.Form == options.JoinSynAck {
			f.sig.count.Count(mib.MPJoinSynAckHMacFailure)
		}
		f.refuse(err)
		return true
	}
	f.sig.count.Count(mib.MPJoinSynAckRx)
	if f.got.join.Backup {
		f.sig.count.Count(mib.MPJoinSynAckBackupRx)
	}
	h.settle(Result{})
	return true
}

const sectionJoin = "RFC 8684 section 3.2"

// refuse ends a handshake that went wrong with a RST, once TCP has done with the segment.
func (f *Flow) refuse(err error) {
	f.hs.fail(err, true)
	f.rst.doomed, f.rst.reason = true, engine.ResetProtocol
}

// takeJoinThird takes the initiator's third message.
func (f *Flow) takeJoinThird(now time.Duration, in *tcp.Incoming) bool {
	h := &f.hs
	switch {
	case in.Kind == tcp.KindSYN:
		return true // again; TCP answers it
	case f.got.hasJoin:
		if err := h.responder.HandleAck(f.got.join); err != nil {
			if f.got.join.Form == options.JoinAck {
				f.sig.count.Count(mib.MPJoinAckHMacFailure)
			}
			f.refuse(err)
			return true
		}
		f.sig.count.Count(mib.MPJoinAckRx)
		h.settle(Result{})
	case in.Off != 1:
		return false // the third message was lost, or overtaken
	default:
		// "If Host B does not receive the expected HMAC or the MP_JOIN option is missing from the ACK, it
		// MUST close the subflow with a TCP RST."
		f.refuse(&engine.ProtocolError{Section: sectionJoin, Detail: "the third message of a join has no MP_JOIN"})
	}
	return true
}

// openJoin looks at a segment on an initiator's subflow that waits for the fourth message: "it moves to
// the ESTABLISHED state only on receipt of an ACK from the receiver".
func (f *Flow) openJoin(now time.Duration, in *tcp.Incoming) {
	h := &f.hs
	if !h.joining() || in.Kind == tcp.KindSYNACK {
		return
	}
	h.confirmed, h.again = true, 0
	f.in.put(item{kind: itemOpen})
}

// repeatedJoin answers a third message that comes again: its sender has not seen the fourth.
func (f *Flow) repeatedJoin(now time.Duration) {
	if f.hs.role == roleJoin && !f.hs.client && f.got.hasJoin && f.got.join.Form == options.JoinAck {
		f.c.AckFirst(now)
	}
}

// appendJoinThird appends MP_JOIN to an ACK of an initiator.
func (f *Flow) appendJoinThird(now time.Duration, dst []byte, budget int) []byte {
	ack, ok := f.hs.initiator.Ack()
	if !ok {
		return dst
	}
	if f.hs.again <= now {
		f.hs.again = now + f.rto()<<min(f.hs.tries, 6)
	}
	return fit(dst, ack, budget)
}

// joinTimeout sends the third message again: "the packet MUST be retransmitted if this ACK is not
// received".
func (f *Flow) joinTimeout(now time.Duration) {
	h := &f.hs
	if h.again == 0 || now < h.again {
		return
	}
	h.again = 0
	if h.tries++; h.tries < maxThirds && h.joining() {
		f.c.AckNow(now)
	}
}
