package wire

import (
	"errors"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/options"
)

// resetState is how a flow ends with a RST, ours or the peer's.
type resetState struct {
	doomed  bool // Abort follows, for reason
	aborted bool
	reason  engine.ResetReason

	byPeer    bool // an MP_TCPRST has come
	why       engine.ResetReason
	transient bool
}

// takeReset takes the options of a RST. An MP_FAIL there asks for no fallback, since the subflow is over: what followed the data
// that was changed goes with it, "and so will be retransmitted on other subflows" (RFC 8684 section 3.7).
func (f *Flow) takeReset() {
	rst, failed := f.got.rst, f.got.dropFail()
	if f.got.hasRst {
		f.sig.count.Count(mib.MPRstRx)
	}
	if failed {
		f.sig.count.Count(mib.MPFailRx)
	}
	if !f.got.hasRst && failed {
		rst = options.TCPRst{Reason: uint8(engine.ResetMiddlebox)}
	}
	if f.got.hasRst || failed {
		f.rst.byPeer, f.rst.why, f.rst.transient = true, engine.ResetReason(rst.Reason), rst.Transient
		f.in.put(item{kind: itemSignal, signal: rst})
	}
	f.takeSignals()
	if f.got.hasFast {
		f.in.put(item{kind: itemSignal, signal: f.got.fast})
	}
}

// closedBy is the error that a flow ends with, where package tcp says err.
func (f *Flow) closedBy(err error) error {
	if !errors.Is(err, tcp.ErrReset) && !errors.Is(err, tcp.ErrRefused) {
		return err
	}
	if err == tcp.ErrRefused && !f.rst.byPeer {
		return err
	}
	return &engine.ResetError{Reason: f.rst.why, Transient: f.rst.transient, Remote: true, Path: f.id}
}

// appendReset appends what a RST says: why, and that it ends more than the subflow. Plain TCP says nothing.
func (f *Flow) appendReset(dst []byte, budget int) []byte {
	from := len(dst)
	switch {
	case !f.speaks():
		return dst
	case f.fc.set:
		dst = f.fitted(dst, f.fc.option, budget, mib.MPFastcloseTx)
	case f.sig.fail.set:
		dst = f.fitted(dst, f.sig.fail.option, budget, mib.MPFailTx)
	}
	rst := options.TCPRst{Reason: uint8(f.rst.reason), Transient: transient(f.rst.reason)}
	return f.fitted(dst, rst, budget-(len(dst)-from), mib.MPRstTx)
}

// transient says whether a reset for this reason leaves the path usable (flag T of MP_TCPRST): a lack that
// passes, or a subflow that is better begun anew.
func transient(r engine.ResetReason) bool {
	return r == engine.ResetResources || r == engine.ResetTooMuchData || r == engine.ResetPerformance
}

// speaks says whether the peer is known to understand Multipath TCP on this subflow: it has used it, and
// nothing has fallen back.
func (f *Flow) speaks() bool {
	h := &f.hs
	if h.role == roleJoin {
		return true // an MP_JOIN was asked for, or has come
	}
	return h.multipath() && (f.eng == nil || !f.eng.FellBack() || f.sig.fail.set)
}
