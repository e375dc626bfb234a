package stream

import (
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

// Sink takes what a flow has read: *engine.Conn, under its connection's lock.
type Sink interface {
	HandleEstablished(now time.Duration, id engine.PathID)
	HandleDSS(now time.Duration, id engine.PathID, d *options.DSS)
	HandleWindow(now time.Duration, id engine.PathID, dataAck uint64, window int64)
	HandleBytes(now time.Duration, id engine.PathID, p pool.Ref)
	HandleDirect(now time.Duration, id engine.PathID, n int)
	HandleOption(now time.Duration, id engine.PathID, o options.Option)
	HandleRoom(now time.Duration, id engine.PathID)
	HandleProgress(now time.Duration, id engine.PathID)
	HandleFIN(now time.Duration, id engine.PathID)
	// Advertise is the DATA_ACK and the window as they stand; what a record takes along counts as told.
	Advertise(now time.Duration) engine.Ack
}

// FlowConfig says how a flow begins.
type FlowConfig struct {
	Client        bool       // we opened the flow: the peer's first record confirms it (Sink.HandleEstablished)
	Local         engine.Key // our key: a WINDOW that the peer sends before any DATA_ACK counts from our first byte
	Pending       bool       // client, first flow, early data: message 2 has not come; until Open, MaxEarly payload bytes may leave
	Confirm       *Confirm   // server, first flow: message 3 is still to come, behind the early data
	Cap           int        // payload bytes queued at most; 0: DefaultCap
	EstimateStats bool       // no SetStats will come: measure by echoes and DATA_ACKs
}

// DefaultCap is one run: what is kept on one flow while it has room.
const DefaultCap = 1 << 20

// Flow is one subflow over a byte stream: it turns what the engine sends into records, and records
// into what the engine takes. It does no I/O, reads no clock and has no lock: the owner of its
// connection's lock calls it. Feed... bring bytes in; Gather and Wrote take bytes out.
type Flow struct {
	cfg  FlowConfig
	sink Sink
	id   engine.PathID
	now  time.Duration // of the latest call

	in  input
	out output
	ack ackState
	est estimate

	limit   int64 // bytes in flight, 0: none
	blocked bool  // the socket is full
	starved bool  // Room was 0
	full    bool  // the queue has reached the cap and not drained to half of it

	pending     bool // message 2 has not come
	established bool // HandleEstablished was called, or never will be
	closing     bool // a FIN follows the queue
	shut        bool // the FIN is the owner's to send: nothing more leaves
	aborted     bool
	reason      engine.ResetReason
	err         error // why the flow aborted itself
}

var _ engine.Flow = (*Flow)(nil)

// NewFlow makes a flow whose bytes begin behind its handshake.
func NewFlow(cfg FlowConfig) *Flow {
	if cfg.Cap <= 0 {
		cfg.Cap = DefaultCap
	}
	f := &Flow{cfg: cfg, pending: cfg.Pending, established: !cfg.Client && cfg.Confirm == nil}
	f.est.init()
	return f
}

// Bind says whom the flow reports to, and under which name. It comes before the first Feed.
func (f *Flow) Bind(s Sink, id engine.PathID) { f.sink, f.id = s, id }

// Open says that message 2 has come: third, the options of message 3, leaves next, and the limit on
// early data is lifted. A client calls it before its first Feed, also without early data.
func (f *Flow) Open(now time.Duration, third ...options.Option) {
	f.now = now
	var b []byte
	for _, o := range third {
		b = o.Append(b)
	}
	f.out.opts = append(b, f.out.opts...)
	f.pending = false
	f.wake(now)
}

// Confirmed says whether message 3 has come, or that none is due.
func (f *Flow) Confirmed() bool { return f.cfg.Confirm == nil }

// Aborted says that the flow is to be reset, by the engine or, when Err is not nil, by itself. What
// is Pending then ends with the reason; after it the owner closes at once.
func (f *Flow) Aborted() (engine.ResetReason, bool) { return f.reason, f.aborted }

// Err is why the flow aborted itself: for Conn.HandleClosed.
func (f *Flow) Err() error { return f.err }

// FINQueued says that the engine has closed the flow and that everything queued has left: the owner
// sends a FIN now. From then on the flow takes nothing more.
func (f *Flow) FINQueued() bool {
	if f.closing && !f.aborted && !f.pending && !f.out.writing && f.Pending() == 0 {
		f.shut = true
	}
	return f.shut
}

// Release gives back every buffer. The socket is gone, and no write of gathered slices is under way.
func (f *Flow) Release() {
	f.aborted, f.in.left = true, 0
	f.out.writing, f.out.ended = false, true
	f.out.drop()
	f.in.releaseChunk()
}

// SetCap sets how many payload bytes Send may queue.
func (f *Flow) SetCap(now time.Duration, bytes int) {
	f.now, f.cfg.Cap = now, max(1, bytes)
	f.wake(now)
}

// SetBlocked says whether the socket is full: then the flow has no room until it has drained.
func (f *Flow) SetBlocked(now time.Duration, blocked bool) {
	f.now, f.blocked = now, blocked
	f.wake(now)
}

// Room is how many payload bytes Send takes now. A queue that has filled up takes no more until it
// has drained to half of its cap: mappings come in runs, not in crumbs.
func (f *Flow) Room() int {
	n := f.room()
	f.starved = f.starved || n == 0
	return n
}

func (f *Flow) room() int {
	if f.blocked || f.closing || f.aborted || f.out.n >= maxRecords {
		return 0
	}
	n := f.cfg.Cap - f.out.queued
	if f.pending {
		n = min(n, MaxEarly-int(f.out.sent)-f.out.queued)
	} else {
		f.full = n <= 0 || f.full && n < f.cfg.Cap/2
		if f.full {
			return 0
		}
	}
	busy := f.est.inFlight(&f.out) + int64(f.out.queued)
	if l := f.window(); l > 0 {
		f.est.rate.pressed = f.est.rate.pressed || l-busy < crumb
		n = int(min(l-busy, int64(n)))
	}
	if n < min(crumb, f.cfg.Cap/4) && busy > 0 && !f.pending {
		return 0
	}
	return max(0, n)
}

// crumb is a room that is not worth a mapping while anything is on the way: about one TCP segment.
const crumb = 1400

// window is the limit on the bytes in flight: the engine's, or a guess of what the path holds where
// nothing but echoes tells; 0: none.
func (f *Flow) window() int64 {
	if f.est.alone(&f.cfg) {
		if w := f.est.window(); f.limit == 0 || w < f.limit {
			return w
		}
	}
	return f.limit
}

// wake tells the engine that a flow without room has some again.
func (f *Flow) wake(now time.Duration) {
	if f.starved && f.sink != nil && f.room() > 0 {
		f.starved = false
		f.sink.HandleRoom(now, f.id)
	}
}

// Send queues one mapping. It takes over the reference. A mapping beyond Room is taken as well.
func (f *Flow) Send(now time.Duration, m engine.Mapping, p pool.Ref) {
	f.now = now
	if f.aborted || f.shut {
		p.Release()
		return
	}
	if m.Infinite {
		p.Release()
		f.fail(now, engine.ResetMiddlebox, violation("6", "an infinite mapping"))
		return
	}
	f.ack.merge(m.Ack)
	f.out.push(m, p)
}

// Ack replaces the DATA_ACK and window that leave next, with data or without.
func (f *Flow) Ack(now time.Duration, a engine.Ack) {
	f.now = now
	if f.aborted || f.shut {
		return
	}
	f.ack.merge(a)
	f.ack.dirty = true
}

// maxOptions bounds the bytes of options that wait: a peer that makes us answer and never reads
// costs no more.
const maxOptions = 4 << 10

// Signal queues an option. A peer that does not read what it makes us answer loses the flow.
func (f *Flow) Signal(now time.Duration, o options.Option) {
	f.now = now
	if f.aborted || f.shut {
		return
	}
	if len(f.out.opts)+o.Len() > maxOptions {
		f.fail(now, engine.ResetResources, &engine.ResetError{Reason: engine.ResetResources, Path: f.id})
		return
	}
	f.out.opts = o.Append(f.out.opts)
}

// Probe asks for an ECHO_REPLY, which comes as Sink.HandleProgress. One that is under way will do.
func (f *Flow) Probe(now time.Duration) (leaves time.Duration) {
	f.now, f.est.probe = now, true
	return now
}

// Remind asks in the same way. Nobody calls it: the kernel's TCP tells nothing of its Patience.
func (f *Flow) Remind(now time.Duration) { f.Probe(now) }

// Close sends a FIN once everything queued has left (FINQueued).
func (f *Flow) Close(now time.Duration) { f.now, f.closing = now, true }

// Abort drops what is queued. Unless a record is half written, MP_TCPRST says why.
func (f *Flow) Abort(now time.Duration, r engine.ResetReason) {
	f.now = now
	if f.aborted {
		return
	}
	f.aborted, f.reason = true, r
	f.in.left = 0
	f.in.releaseChunk()
	if !f.out.writing {
		f.out.abort(r)
	}
}

// fail aborts the flow for a reason of its own.
func (f *Flow) fail(now time.Duration, r engine.ResetReason, err error) {
	if f.err == nil {
		f.err = err
	}
	f.Abort(now, r)
}

// Limit caps the bytes in flight; 0 lifts the cap.
func (f *Flow) Limit(bytes int64) { f.limit = max(0, bytes) }

// Trim gives back what an idle flow keeps for speed.
func (f *Flow) Trim() { f.out.trim() }
