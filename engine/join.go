package engine

import (
	"crypto/subtle"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
)

// The MP_JOIN handshake (RFC 8684 section 3.2), as state machines of its two sides:
//
//	Host A (JoinInitiator)                   Host B (JoinResponder)
//	Syn            SYN     MP_JOIN(Token-B, R-A)     HandleSyn
//	HandleSynAck   SYN/ACK MP_JOIN(HMAC-B, R-B)
//	               ACK     MP_JOIN(HMAC-A)           HandleAck
//	the fourth message, which only the carrier sees
//
// Every violation is a *ProtocolError, and is final: the subflow is to be reset ("the sender SHOULD send
// an MP_TCPRST option (Section 3.6) on this RST packet with the reason code for an "MPTCP-specific
// error"": ResetProtocol), and the state machine answers nothing more. Messages that come twice,
// since a carrier had to retransmit them, get the same answer twice.

const sectionJoin = "RFC 8684 section 3.2"

func joinViolation(detail string) error { return &ProtocolError{Section: sectionJoin, Detail: detail} }

type joinState uint8

const (
	joinIdle joinState = iota
	joinAwaitSynAck
	joinAwaitAck
	joinDone
)

// joinSide is what both sides of a join keep.
type joinSide struct {
	// PeerID and PeerBackup are the peer's address id for this path and its wish to use it as a backup
	// only; they are known once its first message has been taken.
	PeerID     extapi.AddrID
	PeerBackup bool

	keys   Keys
	nonce  uint32
	id     extapi.AddrID
	backup bool

	state joinState
	first options.MPJoin // the peer's first message, to know it again
	reply options.MPJoin // ours to it
	err   error          // final
}

// fail makes err final and returns it.
func (j *joinSide) fail(detail string) error {
	j.err = joinViolation(detail)
	return j.err
}

// repeated reports whether o is the peer's first message once more.
func (j *joinSide) repeated(o options.MPJoin) bool { return j.first == o }

// take stores the peer's first message and our answer to it.
func (j *joinSide) take(o, reply options.MPJoin, next joinState) {
	j.PeerID, j.PeerBackup = extapi.AddrID(o.AddrID), o.Backup
	j.first, j.reply, j.state = o, reply, next
}

// JoinInitiator is Host A of a join.
type JoinInitiator struct{ joinSide }

// NewJoinInitiator begins a join. The nonce is random, and a new one in every attempt; id names the
// local address of the path.
func NewJoinInitiator(k Keys, nonce uint32, id extapi.AddrID, backup bool) *JoinInitiator {
	return &JoinInitiator{joinSide{keys: k, nonce: nonce, id: id, backup: backup}}
}

// Syn is the first message. "The token included in the MP_JOIN option is the token that the receiver of
// the packet uses to identify this connection".
func (j *JoinInitiator) Syn() options.MPJoin {
	if j.state == joinIdle {
		j.state = joinAwaitSynAck
	}
	return options.MPJoin{Form: options.JoinSyn, Backup: j.backup, AddrID: uint8(j.id), Token: j.keys.Remote.Token(), Nonce: j.nonce}
}

// HandleSynAck takes the second message and gives the third. "It is not permissible to send data while
// in the PRE_ESTABLISHED state", which lasts until the carrier has the fourth.
func (j *JoinInitiator) HandleSynAck(o options.MPJoin) (ack options.MPJoin, err error) {
	switch {
	case j.err != nil:
		return options.MPJoin{}, j.err
	case o.Form != options.JoinSynAck:
		return options.MPJoin{}, j.fail("MP_JOIN in its " + o.Form.String() + " form where the SYN/ACK form is due")
	case j.state == joinIdle:
		return options.MPJoin{}, j.fail("MP_JOIN answer to a join that was not asked for")
	case j.state == joinDone && j.repeated(o):
		return j.reply, nil
	case j.state == joinDone:
		return options.MPJoin{}, j.fail("a second MP_JOIN answer that differs from the first")
	}
	// "If the token is accepted at Host B but the HMAC returned to Host A does not match the one
	// expected, Host A MUST close the subflow with a TCP RST."
	want := j.keys.PeerJoinHMAC(j.nonce, o.Nonce)
	if subtle.ConstantTimeCompare(o.HMAC[:8], want[:8]) != 1 {
		return options.MPJoin{}, j.fail("wrong HMAC in the answer to MP_JOIN")
	}
	reply := options.MPJoin{Form: options.JoinAck}
	mac := j.keys.JoinHMAC(j.nonce, o.Nonce)
	copy(reply.HMAC[:], mac[:])
	j.take(o, reply, joinDone)
	return reply, nil
}

// Ack is the third message again, for carriers that have to repeat it: "the packet MUST be
// retransmitted if this ACK is not received." False before HandleSynAck has accepted the second.
func (j *JoinInitiator) Ack() (options.MPJoin, bool) {
	return j.reply, j.state == joinDone && j.err == nil
}

// JoinResponder is Host B of a join.
type JoinResponder struct{ joinSide }

// NewJoinResponder waits for a join of the connection that has these keys. The nonce is random, and a
// new one for every subflow; id names the local address that the join came to.
func NewJoinResponder(k Keys, nonce uint32, id extapi.AddrID, backup bool) *JoinResponder {
	return &JoinResponder{joinSide{keys: k, nonce: nonce, id: id, backup: backup}}
}

// HandleSyn takes the first message and gives the second.
func (j *JoinResponder) HandleSyn(o options.MPJoin) (synack options.MPJoin, err error) {
	switch {
	case j.err != nil:
		return options.MPJoin{}, j.err
	case o.Form != options.JoinSyn:
		return options.MPJoin{}, j.fail("MP_JOIN in its " + o.Form.String() + " form where the SYN form is due")
	case j.state != joinIdle && j.repeated(o):
		return j.reply, nil
	case j.state != joinIdle:
		return options.MPJoin{}, j.fail("a second MP_JOIN that differs from the first")
	case o.Token != j.keys.Local.Token():
		return options.MPJoin{}, j.fail("MP_JOIN with the token of another connection")
	}
	reply := options.MPJoin{Form: options.JoinSynAck, Backup: j.backup, AddrID: uint8(j.id), Nonce: j.nonce}
	mac := j.keys.JoinHMAC(j.nonce, o.Nonce)
	copy(reply.HMAC[:8], mac[:])
	j.take(o, reply, joinAwaitAck)
	return reply, nil
}

// HandleAck takes the third message; nil: the peer is the one that the connection began with, and the
// fourth message may go. "If Host B does not receive the expected HMAC or the MP_JOIN option is missing
// from the ACK, it MUST close the subflow with a TCP RST."
func (j *JoinResponder) HandleAck(o options.MPJoin) error {
	switch {
	case j.err != nil:
		return j.err
	case o.Form != options.JoinAck:
		return j.fail("MP_JOIN in its " + o.Form.String() + " form where the ACK form is due")
	case j.state == joinIdle:
		return j.fail("the third message of a join without the first")
	}
	want := j.keys.PeerJoinHMAC(j.nonce, j.first.Nonce)
	if subtle.ConstantTimeCompare(o.HMAC[:], want[:len(o.HMAC)]) != 1 {
		return j.fail("wrong HMAC in the third message of a join")
	}
	j.state = joinDone
	return nil
}
