package wire

import (
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// Flow is one subflow: it turns what the engine sends into segments with options, and segments into what
// the engine takes. Its methods are of two kinds: those of engine.Flow, which the engine calls, and those
// of the owner, which moves segments and time. The same lock guards both.
type Flow struct {
	c   *tcp.Conn
	eng *engine.Conn // between Attach and Detach, else nil
	id  engine.PathID

	congestion string // its name
	iface      string // that the flow leaves through

	hs  handshake
	got *received // of the segment that is being handled; nil between two
	in  inbox     // what it brought, for the engine
	tx  txMappings
	sig signals
	fin dataFIN
	rst resetState
	fc  fastclose
	cc  congestionState

	peerAck  uint64 // the peer's DATA_ACK, promoted to 64 bits
	dataSent bool   // payload has left
	dataAck  bool   // payload of ours was acknowledged together with a DATA_ACK: DSS options pass
	naked    int    // data segments that acknowledged payload without it
	probe    probe
	progress time.Duration // when the peer was last heard of
	acked    int64         // bytes that its TCP has acknowledged
}

var (
	_ engine.Flow    = (*Flow)(nil)
	_ engine.Trimmer = (*Flow)(nil)
)

// handler and extension are the faces that a Flow shows to its tcp.Conn.
type (
	handler   Flow
	extension Flow
)

var (
	_ tcp.Handler   = (*handler)(nil)
	_ tcp.Extension = (*extension)(nil)
)

// newFlow makes a flow, and itself the extension of the TCP connection that is to be made from cfg.
func newFlow(cfg *Config, hs handshake) *Flow {
	f := &Flow{congestion: cfg.Congestion, iface: cfg.Interface, hs: hs, sig: signals{count: cfg.Counters}}
	if f.hs.asks = cfg.CapableSYNs; f.hs.asks <= 0 {
		f.hs.asks = capableSYNs
	}
	f.hs.unscaled = cfg.TCP.NoScale
	cfg.TCP.Extension = (*extension)(f)
	if cfg.Group != nil {
		f.cc.of, f.cc.mss = cfg.Group, cfg.TCP.MTU-packet.MaxHeader
		f.cc.c = byDefault(f.cc.mss)
		cfg.TCP.Controller = (*control)(f)
	}
	f.peerAck = hs.capable.Local.IDSN() + 1
	if hs.role == roleJoin {
		f.peerAck = hs.keys.Local.IDSN() + 1
	}
	return f
}

func dial(now time.Duration, cfg *Config, hs handshake) *Flow {
	f := newFlow(cfg, hs)
	f.c = tcp.Dial(now, cfg.TCP, (*handler)(f))
	return f
}

func accept(now time.Duration, cfg *Config, hs handshake, syn *packet.Segment) *Flow {
	f := newFlow(cfg, hs)
	f.read()
	defer f.forget()
	f.c = tcp.Accept(now, cfg.TCP, (*handler)(f), syn)
	return f
}

// Dial opens the first subflow of a connection: c is engine.NewCapable's.
func Dial(now time.Duration, cfg Config, c engine.Capable) *Flow {
	cfg.Counters.Count(mib.MPCapableSYNTX)
	return dial(now, &cfg, handshake{role: roleCapable, client: true, capable: c})
}

// Accept answers the SYN of a first subflow: c is Opening.Negotiate's, with a key.
func Accept(now time.Duration, cfg Config, c engine.Capable, syn *packet.Segment) *Flow {
	return accept(now, &cfg, handshake{role: roleCapable, capable: c}, syn)
}

// DialPlain opens a plain TCP connection, for the reason given.
func DialPlain(now time.Duration, cfg Config, why extapi.FallbackReason) *Flow {
	return dial(now, &cfg, handshake{role: rolePlain, client: true, why: why})
}

// AcceptPlain answers a SYN without Multipath TCP, for the reason given.
func AcceptPlain(now time.Duration, cfg Config, why extapi.FallbackReason, syn *packet.Segment) *Flow {
	return accept(now, &cfg, handshake{role: rolePlain, why: why}, syn)
}

// DialJoin opens a further subflow of a connection that has these keys, to answer an engine.JoinRequest.
func DialJoin(now time.Duration, cfg Config, k engine.Keys, j *engine.JoinInitiator) *Flow {
	cfg.Counters.Count(mib.MPJoinSynTx)
	return dial(now, &cfg, handshake{role: roleJoin, client: true, keys: k, initiator: j})
}

// AcceptJoin answers the SYN of a further subflow: j is engine.Conn.AcceptJoin's. An error says that the
// SYN does not fit; it is answered with Reject.
func AcceptJoin(now time.Duration, cfg Config, k engine.Keys, j *engine.JoinResponder, syn *packet.Segment) (*Flow, error) {
	synack, err := j.HandleSyn(Open(syn).Join)
	if err != nil {
		return nil, err
	}
	return accept(now, &cfg, handshake{role: roleJoin, keys: k, responder: j, synack: synack}, syn), nil
}

// Settled says whether the handshake is over, and what came of it.
func (f *Flow) Settled() (Result, bool) { return f.hs.result, f.hs.settled }

// Attach puts a flow whose handshake has settled without an error under an engine connection, and brings
// what has arrived since. p need not name the carrier, the addresses or whether it is the first subflow;
// of a join it is what engine.Conn.AcceptJoin gave, or what answers the JoinRequest. 0 says that the
// connection takes no further subflow: the flow resets itself.
func (f *Flow) Attach(now time.Duration, e *engine.Conn, p engine.FlowParams) engine.PathID {
	h := &f.hs
	p.Carrier = extapi.CarrierWire
	local, remote := f.c.Addrs()
	p.Local, p.Remote = link.Zoned(local, f.iface), link.Zoned(remote, f.iface)
	p.Initial, p.Fallback = h.role != roleJoin, h.result.Fallback
	p.Joining = h.role == roleJoin && h.client && !h.confirmed
	if h.multipath() && h.role == roleCapable {
		e.SetChecksum(h.capable.Checksum)
		e.SetJoinInitial(!h.capable.NoInitialJoin)
		e.SetRemote(now, h.capable.Remote)
	}
	f.joinGroup(now)
	f.eng = e
	if f.id = e.AddFlow(now, f, p); f.id == 0 {
		f.eng = nil
		f.LeaveGroup()
		f.Abort(now, engine.ResetProhibited)
		return 0
	}
	f.tellOfPanic()
	if h.role == roleCapable && h.multipath() && !h.client {
		e.HandleEstablished(now, f.id)
	}
	if h.role == roleJoin && !h.client {
		// The fourth message does not travel with data: where the first data is lost and other data arrives
		// before it, Linux takes that for data sent too early, and resets the subflow.
		f.c.AckFirst(now)
	}
	f.dispatch(now)
	return f.id
}

// Waits says that the flow is in TIME-WAIT, and that its engine connection can forget it.
func (f *Flow) Waits() bool { return f.c.Waits() }

// Remains takes the place of a flow that Waits. It goes on answering, with the DATA_ACK as it stands now, and neither asks
// the engine nor tells it anything.
func (f *Flow) Remains(now time.Duration) *tcp.Remains {
	r := f.c.Remains(now)
	f.Detach()
	return r
}

// Detach parts a flow that is over from its engine connection.
func (f *Flow) Detach() {
	f.LeaveGroup()
	f.in.drop()
	f.eng = nil
}

// ID is the flow's name within its connection; 0 before Attach.
func (f *Flow) ID() engine.PathID { return f.id }

// HandleSegment takes a segment for the flow. p holds its payload, or is the zero Ref; one reference
// passes.
func (f *Flow) HandleSegment(now time.Duration, s *packet.Segment, p pool.Ref) {
	f.read()
	f.c.HandleSegment(now, s, p)
	f.forget()
	f.after(now)
}

// HandleICMP takes an ICMP error that quotes a segment of the flow.
func (f *Flow) HandleICMP(now time.Duration, e *packet.ICMPError) {
	f.c.HandleICMP(now, e)
	f.after(now)
}

// Next is when HandleTimeout is due; false: never.
func (f *Flow) Next() (at time.Duration, ok bool) {
	at, ok = f.c.Next()
	for _, d := range [...]time.Duration{f.hs.again, f.sig.again, f.fc.again, f.probe.again} {
		if d != 0 && (!ok || d < at) {
			at, ok = d, true
		}
	}
	return at, ok
}

// HandleTimeout does what is due at now. Calling it early is harmless.
func (f *Flow) HandleTimeout(now time.Duration) {
	f.c.HandleTimeout(now)
	f.joinTimeout(now)
	f.signalTimeout(now)
	f.probeTimeout(now)
	f.fastcloseTimeout(now)
	f.after(now)
}

// after ends every call of the owner's that may have moved the flow.
func (f *Flow) after(now time.Duration) {
	if f.rst.doomed {
		f.rst.doomed = false
		f.Abort(now, f.rst.reason)
	}
	f.dispatch(now)
}

// Poll gives out the next segment that is to leave: the caller provides out.Options with a capacity of 40
// bytes, and calls until it says false. The payload stays valid until Sent.
func (f *Flow) Poll(now time.Duration, out *packet.Segment) bool {
	f.dispatch(now)
	if f.c.Poll(now, out) {
		return true
	}
	// A pure ACK has room for few options: what is left goes with the next one.
	return f.more(now) && f.c.Poll(now, out)
}

// Sent says that everything polled has left.
func (f *Flow) Sent(now time.Duration) { f.c.Sent(now) }

// SendFailed says that of what a flow has given out not all could leave, and why. For TCP it is lost.
func (f *Flow) SendFailed(err error) {
	if f.eng != nil {
		f.eng.HandleSendFailed(f.id, err)
	}
}

// SetSuper sets the largest payload of a segment that is to be split on its way out; 0: none is.
func (f *Flow) SetSuper(bytes int) { f.c.SetSuper(bytes) }

// Cork says whether the engine is likely to send more soon: see tcp.Conn.Cork.
func (f *Flow) Cork(on bool) { f.c.Cork(on) }

// Corked says whether something has waited since the last Cork.
func (f *Flow) Corked() bool { return f.c.Corked() }

// Done says that nothing more comes of the flow, not even an answer to a late segment: the owner forgets it.
func (f *Flow) Done() bool { return f.c.Done() }

// Trim implements engine.Trimmer.
func (f *Flow) Trim() {
	f.c.Trim()
	f.tx.trim()
}

// Conn is the TCP connection below, for what the owner wants to know or to set beyond the subflow's duties.
func (f *Flow) Conn() *tcp.Conn { return f.c }

// Room is how many payload bytes Send takes now.
func (f *Flow) Room() int {
	if f.held() {
		return 0
	}
	room := max(0, f.c.Room())
	if room == 0 && f.plain() && f.c.ShutOut() {
		return 1 // the engine probes the data-level window, of which plain TCP has none: this byte is for TCP's own probes
	}
	return room
}

// plain says that no data-level signals travel any more, or never did.
func (f *Flow) plain() bool { return !f.hs.multipath() || f.eng != nil && f.eng.FellBack() }

// held says that the flow carries no data: it is not open yet, or about to end.
func (f *Flow) held() bool {
	return !f.hs.settled || f.hs.joining() || f.rst.aborted || f.fc.waiting || f.hs.closing
}

// Send queues one mapping. A mapping beyond Room is taken as well.
func (f *Flow) Send(now time.Duration, m engine.Mapping, p pool.Ref) {
	if f.rst.aborted || f.fc.waiting || f.hs.closing {
		p.Release()
		return
	}
	if m.DataFIN && f.sendsCapable(f.tx.next()) {
		m = f.splitFIN(now, m)
	}
	f.in.room = false // the engine has seen it for itself
	f.tx.push(m)
	f.c.Queue(now, p)
}

// Ack carries the newest DATA_ACK and window at once: the engine says when that is due, and what leaves
// meanwhile for other reasons has them anyway. In a plain connection it carries the window alone.
func (f *Flow) Ack(now time.Duration, a engine.Ack) {
	switch {
	case f.rst.aborted || f.fc.waiting:
	case a.Valid && f.hs.role == roleCapable && !f.hs.client && !f.in.heard:
		// The client has said nothing yet that would be acknowledged. Its first data is likely to come
		// within the time of a delayed ACK, and then takes along what shows it that DSS options pass.
		f.c.Ack(now)
	default:
		f.c.AckNow(now)
	}
}

// probe is a question to the peer.
type probe struct {
	open  bool          // it has no answer yet
	next  time.Duration // when another may leave
	again time.Duration // when another is to leave, if there is no answer by then; 0: none is
}

// probePace is the time between two keep-alives: Linux answers one of them in 500 ms, and drops the others. The rest is for jitter.
const probePace = 600 * time.Millisecond

// Probe asks for a sign of life with a TCP keep-alive: Multipath TCP has no option that must be answered. Soon after another
// one it waits for its turn, and does not leave when the peer is heard meanwhile.
func (f *Flow) Probe(now time.Duration) (leaves time.Duration) {
	p := &f.probe
	p.open = true
	if now < p.next {
		p.again = p.next
		return p.again
	}
	p.next, p.again = now+probePace, 0
	f.c.KeepAlive(now)
	return now
}

// Remind makes the peer send its newest DATA_ACK: that of an ACK of its TCP's.
func (f *Flow) Remind(now time.Duration) {
	if !f.c.Repeat(now) {
		f.Probe(now)
	}
}

// probeTimeout sends the probe that has waited.
func (f *Flow) probeTimeout(now time.Duration) {
	if p := &f.probe; p.again != 0 && now >= p.again {
		if p.again = 0; p.open {
			f.Probe(now)
		}
	}
}

// Limit caps the bytes in flight; 0 lifts the cap.
func (f *Flow) Limit(bytes int64) { f.c.Limit(bytes) }

// Close sends a FIN once everything queued has left. After a Signal of MP_FASTCLOSE it sends that on an
// ACK instead, until it is answered (option A of RFC 8684 section 3.5).
func (f *Flow) Close(now time.Duration) {
	switch {
	case f.rst.aborted || f.hs.closing || f.fc.waiting:
	case f.fc.set:
		f.fastclose(now)
	default:
		f.hs.closing = true
		f.c.Close(now)
	}
}

// Abort resets the subflow. The RST says why, and carries MP_FASTCLOSE and MP_FAIL if they are due.
func (f *Flow) Abort(now time.Duration, r engine.ResetReason) {
	if f.rst.aborted {
		return
	}
	f.rst.aborted, f.rst.reason = true, r
	f.fc.waiting, f.fc.again, f.hs.again, f.sig.again, f.probe.again = false, 0, 0, 0, 0
	f.in.drop()
	f.tx.drop()
	f.c.Abort(now)
}
