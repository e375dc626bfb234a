package wire

import (
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/seqnum"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/options"
)

// Limit implements tcp.Extension.
func (e *extension) Limit(off uint64, n int) int {
	f := (*Flow)(e)
	if f.hs.role == rolePlain {
		return n
	}
	if !f.hs.settled || f.hs.joining() || f.fc.waiting {
		return 0
	}
	return f.tx.limit(off, n, n)
}

// fullDSS is the room that a DSS with a DATA_ACK, a mapping and a checksum takes, and one without a checksum
// once it is padded.
const fullDSS = 28

// Reserve implements tcp.Extension.
func (e *extension) Reserve(off uint64) int {
	f := (*Flow)(e)
	if !f.hs.multipath() {
		return 0
	}
	if i := f.tx.find(off); i >= 0 && f.tx.at(i).kind == bare {
		return 0
	}
	return fullDSS
}

// Window implements tcp.Extension. The window is the connection's: "The receive window is relative to the
// DATA_ACK" (RFC 8684 section 3.3.4), of which each segment has the newest; only after a fallback does it count from TCP's ACK.
func (e *extension) Window(now time.Duration, scale uint8, behind int64) int64 {
	f := (*Flow)(e)
	if f.eng == nil {
		return -1
	}
	w := f.eng.Window(now, scale)
	if behind > 0 && f.eng.FellBack() {
		unit := int64(1) << scale
		w += (behind + unit - 1) &^ (unit - 1) // down would take back what was told
	}
	return w
}

// Append implements tcp.Extension.
func (e *extension) Append(now time.Duration, o *tcp.Outgoing, dst []byte, budget int) []byte {
	f := (*Flow)(e)
	switch {
	case o.Kind == tcp.KindSYN || o.Kind == tcp.KindSYNACK:
		return f.appendOpening(o, dst, budget)
	case o.Kind == tcp.KindRST:
		return f.appendReset(dst, budget)
	case !f.hs.multipath() || f.hs.muted:
		return dst
	case f.fc.waiting:
		return f.fitted(dst, f.fc.option, budget, mib.MPFastcloseTx)
	case f.hs.joining():
		return f.appendJoinThird(now, dst, budget)
	}
	var a engine.Ack
	if f.eng != nil {
		a = f.eng.Advertise(now)
		f.sig.fail.bound(now, &a)
	}
	switch {
	case o.Kind == tcp.KindPROBE:
		return f.appendProbe(dst, budget, a)
	case o.Len > 0:
		f.dataSent = true
		return f.appendData(now, o, dst, budget, a)
	}
	return f.appendPure(now, o, dst, budget, a)
}

// appendProbe appends what goes along with a segment that the peer answers and drops: nothing that is said once.
func (f *Flow) appendProbe(dst []byte, budget int, a engine.Ack) []byte {
	if !a.Valid || f.eng != nil && f.eng.FellBack() {
		return dst
	}
	return fitDSS(dst, withAck(options.DSS{}, a, budget), budget)
}

// appendData appends the options of a segment with payload.
func (f *Flow) appendData(now time.Duration, o *tcp.Outgoing, dst []byte, budget int, a engine.Ack) []byte {
	from := len(dst)
	m := f.tx.declare(o.Off, o.Len)
	switch {
	case m == nil || m.kind == bare:
	case m.kind == mapped && f.sendsCapable(o.Off) && m.off == 1:
		dst = f.appendCapableData(dst, m, budget)
	default:
		d := options.DSS{HasMap: true, DSN64: true, DSN: m.dsn, SSN: uint32(m.off), DataLen: m.dataLen(), DataFIN: m.fin}
		// Of an infinite mapping "The checksum, in such a case, will also be set to 0" (section 3.3.1).
		d.HasChecksum = m.hasSum || m.kind == infinite && f.hs.capable.Checksum
		d.Checksum = m.sum
		if m.kind == infinite && o.Off == m.off && !o.Retransmit {
			f.sig.count.Count(mib.InfiniteMapTx)
		}
		dst = fitDSS(dst, withAck(d, a, budget), budget)
	}
	return f.sig.append(now, dst, budget-(len(dst)-from), false)
}

// withAck adds the DATA_ACK to a DSS, as far as there is room. It is always 8 bytes long: "If data is
// received with a 64-bit DSN, it MUST be acknowledged with a 64-bit Data ACK" (section 3.3.2).
func withAck(d options.DSS, a engine.Ack, budget int) options.DSS {
	if !a.Valid {
		return d
	}
	d.HasAck, d.Ack64, d.DataAck = true, true, a.DataAck
	if d.Len() > budget {
		d.HasAck, d.Ack64 = false, false
	}
	return d
}

// appendPure appends the options of a segment without payload.
func (f *Flow) appendPure(now time.Duration, o *tcp.Outgoing, dst []byte, budget int, a engine.Ack) []byte {
	from := len(dst)
	lone := o.Kind == tcp.KindACK
	if f.eng != nil && f.eng.FellBack() {
		return f.sig.append(now, dst, budget, lone) // MP_FAIL, if it has to be said
	}
	if f.sendsCapable(o.Off) && !(f.fin.set && f.fin.next) {
		f.fin.next = true
		dst = f.appendThird(dst, budget)
		return f.sig.append(now, dst, budget-(len(dst)-from), lone)
	}
	if f.fin.set && lone {
		f.fin.set = false
		return fitDSS(dst, withAck(f.fin.dss, a, budget), budget)
	}
	f.sig.unfit(budget)
	ack := withAck(options.DSS{}, a, budget)
	if n := f.sig.next(); ack.HasAck && (n == 0 || n+ack.Len() <= budget) {
		dst = fitDSS(dst, ack, budget)
	}
	return f.sig.append(now, dst, budget-(len(dst)-from), lone)
}

// Handle implements tcp.Extension.
func (e *extension) Handle(now time.Duration, in *tcp.Incoming) bool {
	f := (*Flow)(e)
	f.got.parse(in.Seg.Options)
	switch {
	case in.Kind == tcp.KindRST:
		f.takeReset()
		return true
	case f.eng == nil && f.in.full():
		return false
	case !f.hs.settled:
		return f.takeOpening(now, in)
	case f.hs.result.Err != nil:
		return true // a RST follows
	case f.fc.waiting:
		f.takeWhileClosing()
		return true
	}
	f.progress = now
	f.confirm()
	f.openJoin(now, in)
	f.repeatedJoin(now)
	f.repeatedThird(in)
	f.takeDSS(in)
	f.takeSignals()
	if f.got.hasFast {
		f.in.put(item{kind: itemSignal, signal: f.got.fast})
	}
	f.lookForStripping(in)
	if f.probe.open && (f.got.hasDSS || !f.hs.multipath()) {
		f.probe.open = false
		f.in.put(item{kind: itemProgress})
	}
	return true
}

// Asked implements tcp.Extension.
func (e *extension) Asked(time.Duration) {
	if f := (*Flow)(e); f.eng != nil && !f.in.full() {
		f.in.put(item{kind: itemAsked})
	}
}

// takeDSS takes the DSS of a segment, and the window, which counts only where there is a DATA_ACK: "an
// implementation MUST NOT use the RCV.WND field of a TCP segment at the connection level if it does not
// also carry a DSS option with a Data ACK field" (section 3.3.2).
func (f *Flow) takeDSS(in *tcp.Incoming) {
	if !f.got.hasDSS || !f.hs.multipath() {
		return
	}
	d, window := f.got.dss, int64(-1)
	if d.HasAck {
		if !d.Ack64 {
			d.DataAck, d.Ack64 = seqnum.Expand32(f.peerAck, uint32(d.DataAck)), true
		}
		f.peerAck = seqnum.Max(f.peerAck, d.DataAck)
		window = int64(in.Seg.Window) << f.hs.scale
		if in.Ack > 1 {
			f.dataAck = f.dataAck || f.dataSent
		}
	}
	if d.HasMap && d.DataLen == 0 {
		f.sig.fail.set = false // the peer has heard
	}
	f.in.put(item{kind: itemDSS, dss: d, window: window})
}

// takeSignals takes the options that stand on their own.
func (f *Flow) takeSignals() {
	for _, s := range f.got.signals {
		if _, ok := s.(options.MPFail); ok {
			f.sig.fail.take()
			f.sig.count.Count(mib.MPFailRx)
		}
		f.in.put(item{kind: itemSignal, signal: s})
	}
}

// maxNaked is how many data segments without options it takes: a box that cuts segments may leave them on
// one piece alone. Where ours left without any, it takes one.
const maxNaked = 4

// lookForStripping notices a path that takes our options away: "If, however, an ACK is received for data
// (not just for the SYN) without a DSS option containing a Data ACK, the sender determines that the path is
// not MPTCP capable" (section 3.7). Other options of Multipath TCP show that it is; an ADD_ADDR leaves no
// room for a DSS.
func (f *Flow) lookForStripping(in *tcp.Incoming) {
	if !f.hs.multipath() {
		return
	}
	if !f.got.any() && (in.Len > 0 || in.Ack > 1 || in.Seg.Flags.Has(packet.FIN)) { // else it may have nothing but our SYN
		f.in.put(item{kind: itemBare})
		f.sig.fail.set = f.sig.fail.set && in.Len == 0 // else the peer has fallen back as well
	}
	if !f.dataSent || f.dataAck || in.Ack <= 1 || f.got.any() {
		return
	}
	if f.naked++; in.Len == 0 || f.naked >= maxNaked || f.hs.muted {
		f.dataAck = true // once is enough
		f.in.put(item{kind: itemPlain})
	}
}
