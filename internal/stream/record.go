package stream

import (
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

// input is the parser's state between two cuts.
type input struct {
	opts    optionReader
	dss     options.DSS // of the latest record: a field, so that no call makes it escape
	left    int         // payload bytes of the record that are still to come
	got     uint64      // payload bytes that the flow has carried
	lastAck uint64      // newest DATA_ACK on this flow
	hasAck  bool

	chunk *pool.Chunk // collects payload that comes in pieces
	fill  int
}

// copyFloor is the smallest chunk that collects payload, so that small records share one.
const copyFloor = 2 << 10

// Feed takes bytes from the socket, in any cut, and copies their payload into pooled chunks. After an
// error the flow is aborted, and the error is Err.
func (f *Flow) Feed(now time.Duration, b []byte) error {
	return f.feed(now, pool.Ref{B: b})
}

// FeedRef is Feed with bytes that are in a pooled chunk already: it takes over the reference, and
// hands out large pieces of payload without a copy.
func (f *Flow) FeedRef(now time.Duration, p pool.Ref) error {
	err := f.feed(now, p)
	p.Release()
	return err
}

func (f *Flow) feed(now time.Duration, p pool.Ref) error {
	f.now, f.est.lastRx = now, now
	for p.Len() > 0 && !f.aborted {
		if f.in.left > 0 {
			n := min(f.in.left, p.Len())
			f.deliver(now, f.in.keep(p.Slice(0, n)))
			p = p.Slice(n, p.Len())
			continue
		}
		p = p.Slice(f.head(now, p.B), p.Len())
	}
	if f.in.left == 0 {
		f.in.releaseChunk()
	}
	f.wake(now)
	return f.err
}

// FeedHead is Feed that stops where payload begins. It returns how many bytes it took.
func (f *Flow) FeedHead(now time.Duration, b []byte) (n int, err error) {
	f.now, f.est.lastRx = now, now
	for n < len(b) && f.in.left == 0 && !f.aborted {
		n += f.head(now, b[n:])
	}
	if f.aborted {
		n = len(b)
	}
	f.wake(now)
	return n, f.err
}

// head takes the first option of b, or what there is of it, and returns how many bytes that were.
func (f *Flow) head(now time.Duration, b []byte) int {
	o, n, err := f.in.opts.next(b)
	if err == nil && o != nil {
		err = f.handle(now, o)
	}
	if err != nil {
		f.fail(now, reasonOf(err), err)
	}
	return n
}

// PayloadLeft is how many of the next bytes are payload of the record that has been begun.
func (f *Flow) PayloadLeft() int { return f.in.left }

// FeedPayload takes payload, at most PayloadLeft bytes, that was read into a pooled chunk. The
// reference passes on.
func (f *Flow) FeedPayload(now time.Duration, p pool.Ref) error {
	f.now, f.est.lastRx = now, now
	if f.aborted || p.Len() > f.in.left {
		p.Release()
		return f.err
	}
	f.deliver(now, p)
	f.wake(now)
	return f.err
}

// FeedDirect takes note of n payload bytes, at most PayloadLeft, that went straight into the
// application's buffer.
func (f *Flow) FeedDirect(now time.Duration, n int) error {
	f.now, f.est.lastRx = now, now
	if f.aborted || n > f.in.left {
		return f.err
	}
	f.in.left -= n
	f.in.got += uint64(n)
	f.sink.HandleDirect(now, f.id, n)
	f.wake(now)
	return f.err
}

// FeedEOF takes the peer's FIN. In the middle of a record it is an error.
func (f *Flow) FeedEOF(now time.Duration) error {
	f.now = now
	if f.aborted {
		return f.err
	}
	switch {
	case f.in.left > 0 || !f.in.opts.between():
		f.fail(now, engine.ResetProtocol, violation("5", "the stream ends within a record"))
		return f.err
	case f.cfg.Confirm != nil && f.cfg.Confirm.proof.Type != 0:
		f.fail(now, engine.ResetProtocol, ErrSecret)
		return f.err
	}
	f.sink.HandleFIN(now, f.id)
	return f.err
}

func (f *Flow) deliver(now time.Duration, p pool.Ref) {
	f.in.left -= p.Len()
	f.in.got += uint64(p.Len())
	f.sink.HandleBytes(now, f.id, p)
}

// keep returns a reference to payload that may outlive the caller's buffer. A piece that fills a fair
// part of its chunk is kept in it: else a few bytes could hold a large buffer for long.
func (i *input) keep(p pool.Ref) pool.Ref {
	if p.C != nil && p.Len() >= p.C.Cap()/4 {
		return p.Retain()
	}
	if i.chunk != nil && i.chunk.Cap()-i.fill < p.Len() {
		i.releaseChunk()
	}
	if i.chunk == nil {
		i.chunk = pool.Get(min(pool.MaxSize, max(p.Len(), copyFloor)))
	}
	b := i.chunk.Bytes()[i.fill : i.fill+p.Len() : i.fill+p.Len()]
	i.fill += copy(b, p.B)
	return pool.Ref{C: i.chunk, B: b}.Retain()
}

func (i *input) releaseChunk() {
	if i.chunk != nil {
		i.chunk.Release()
		i.chunk, i.fill = nil, 0
	}
}

// handle takes one option.
func (f *Flow) handle(now time.Duration, o options.Raw) error {
	sub, _ := o.Subtype()
	if f.cfg.Confirm != nil {
		return f.handleEarly(now, sub, o)
	}
	if !f.established && sub != options.SubTCPRst && sub != options.SubFastclose {
		f.established = true
		f.sink.HandleEstablished(now, f.id)
		if f.aborted {
			return f.err
		}
	}
	switch sub {
	case options.SubDSS:
		return f.handleDSS(now, o)
	case options.SubPrivate:
		return f.handlePrivate(now, o)
	case options.SubMPCapable, options.SubMPJoin:
		return violation("5", "a handshake's option behind the handshake")
	case options.SubAddAddr, options.SubRemoveAddr, options.SubMPPrio, options.SubMPFail,
		options.SubFastclose, options.SubTCPRst:
		d, err := options.Decode(o)
		if err != nil {
			return malformed(err)
		}
		f.sink.HandleOption(now, f.id, d)
	}
	return nil
}

// handleEarly takes an option that comes before message 3 is complete: mappings and what goes along
// with them, no DATA_ACK, and then message 3 itself.
func (f *Flow) handleEarly(now time.Duration, sub options.Subtype, o options.Raw) error {
	c := f.cfg.Confirm
	switch {
	case sub == options.SubMPCapable || isProof(o):
		complete, err := c.handle(o)
		if err != nil || !complete {
			return err
		}
		f.cfg.Confirm = nil
		f.established = true
		f.sink.HandleEstablished(now, f.id)
		return nil
	case c.proof.Type != 0:
		return ErrSecret
	case sub == options.SubDSS:
		return f.handleDSS(now, o)
	case sub == options.SubPrivate:
		return f.handlePrivate(now, o)
	case sub > options.SubTCPRst:
		return nil
	}
	return violation("4.3", "an option that may not come before message 3")
}

// handleDSS takes a DATA_ACK, a mapping, or both.
func (f *Flow) handleDSS(now time.Duration, o options.Raw) (err error) {
	d := &f.in.dss
	if *d, err = options.ParseDSS(o); err != nil {
		return malformed(err)
	}
	if d.HasAck && !d.Ack64 || d.HasMap && !d.DSN64 {
		return violation("6", "a DATA_ACK or data sequence number of 4 bytes")
	}
	payload := 0
	if d.HasMap {
		if payload, err = f.checkMapping(d); err != nil {
			return err
		}
	} else if d.DataFIN {
		return violation("6", "a DATA_FIN without a mapping")
	}
	if d.HasAck {
		if f.cfg.Confirm != nil {
			return violation("4.3", "a DATA_ACK before message 3")
		}
		f.in.lastAck, f.in.hasAck = d.DataAck, true
		f.est.handleDataAck(now, d.DataAck, &f.out)
	}
	f.in.left = payload
	f.sink.HandleDSS(now, f.id, d)
	return nil
}

// checkMapping returns the length of the payload that follows. The subflow sequence number must be
// the flow's payload offset: bytes that something on the way added or removed are never delivered.
func (f *Flow) checkMapping(d *options.DSS) (payload int, err error) {
	payload = int(d.DataLen)
	if d.DataLen == 0 {
		return 0, violation("6", "an infinite mapping")
	}
	if d.DataFIN {
		payload--
	}
	want := uint32(f.in.got) + 1
	if payload == 0 {
		// "the DSS MUST have a Subflow Sequence Number of 0, a Data-Level Length of 1" (RFC 8684
		// section 3.3.3) when DATA_FIN comes without data.
		want = 0
	}
	if d.SSN != want {
		return 0, errOffset
	}
	if c := f.cfg.Confirm; c != nil {
		if c.early -= payload; c.early < 0 {
			return 0, violation("4.3", "more early data than 16 KiB")
		}
	}
	return payload, nil
}

var errOffset = violation("6", "a subflow sequence number that is not the payload offset: something on the way changes the stream")

// reasonOf is what MP_TCPRST says of a violation.
func reasonOf(err error) engine.ResetReason {
	if err == errOffset {
		return engine.ResetMiddlebox
	}
	return engine.ResetProtocol
}

func (f *Flow) handlePrivate(now time.Duration, o options.Raw) error {
	p, err := options.ParsePrivate(o)
	if err != nil {
		return malformed(err)
	}
	switch p.Type {
	case TypeWindow:
		return f.handleWindow(now, &p)
	case TypeEcho, TypeEchoReply:
		if p.N != 4 {
			return violation("7.2", "an echo of another length than 4")
		}
		if p.Type == TypeEcho {
			f.est.owe(p.Payload())
		} else if f.est.handleReply(now, p.Payload(), &f.cfg, &f.out) {
			f.sink.HandleProgress(now, f.id)
		}
	case TypeProof:
		return violation("7.3", "a PROOF behind the handshake")
	}
	return nil
}

func (f *Flow) handleWindow(now time.Duration, p *options.Private) error {
	base := f.in.lastAck
	if p.Flags&windowInitial != 0 {
		base = f.cfg.Local.IDSN() + 1
	} else if !f.in.hasAck {
		return violation("7.1", "a WINDOW without flag I before any DATA_ACK")
	}
	w, err := windowBeyond(p, base)
	if err != nil {
		return err
	}
	f.sink.HandleWindow(now, f.id, base, w)
	return nil
}
