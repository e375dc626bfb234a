package stream

import (
	"math"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

const (
	// maxRecords bounds the queue in entries: beyond it Room is 0.
	maxRecords = 512
	// maxSlices bounds what one Gather adds: a vectored write takes no more on any system.
	maxSlices = 64
	// inlineMax is the longest payload that is copied behind its header, so that a small record is
	// one slice.
	inlineMax = 88
	// headMax is WINDOW and DSS at their longest.
	headMax = windowLong + 28
)

// record is one queued mapping. Its header is made when it is gathered, with the newest DATA_ACK, and
// made anew at every Gather until its first byte has left.
type record struct {
	m    engine.Mapping
	ref  pool.Ref
	head [headMax + inlineMax]byte
	n    int        // bytes of head in use
	size int        // bytes of the header without the inlined payload
	off  int        // bytes that have left
	ack  engine.Ack // what the header says
}

func (r *record) inlined() bool { return r.n > r.size }
func (r *record) total() int    { return r.size + r.ref.Len() }

// payloadOut is how many of the payload's bytes have left.
func (r *record) payloadOut() int { return max(0, r.off-r.size) }

// rest appends what has not left yet.
func (r *record) rest(iov [][]byte) [][]byte {
	if r.off < r.n {
		iov = append(iov, r.head[r.off:r.n])
	}
	if r.inlined() || r.ref.Len() == 0 {
		return iov
	}
	return append(iov, r.ref.B[r.payloadOut():])
}

// output is what waits to be written: a ring of records, and in front of the first one that has not
// begun, options and state.
type output struct {
	ring    []record // the length is a power of two
	head, n int
	queued  int    // payload bytes that have not left
	sent    uint64 // payload bytes that have left, ever
	lastDSN uint64 // one beyond the last data sequence number that has begun to leave

	opts []byte // whole options in order
	ctl  []byte // options and state that leave next: frozen, since a write may be under way
	off  int    // bytes of ctl that have left

	writing bool // between Gather and Wrote: what is gathered stays as it is
	ended   bool // abort has dropped the queue
}

func (q *output) at(i int) *record { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *output) push(m engine.Mapping, p pool.Ref) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.n++
	r := q.at(q.n - 1)
	r.m, r.ref = m, p
	r.n, r.size, r.off = 0, 0, 0
	q.queued += p.Len()
}

// grow moves the records. Slices that a Gather has handed out stay valid: they lie in the old array.
func (q *output) grow() {
	ring := make([]record, max(4, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

// half says that a record has begun to leave and not ended.
func (q *output) half() bool { return q.n > 0 && q.at(0).off > 0 }

// pop forgets the first record and its payload.
func (q *output) pop() {
	r := q.at(0)
	r.ref.Release()
	r.ref = pool.Ref{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
}

// trim gives the array of an empty queue back.
func (q *output) trim() {
	if q.n == 0 && !q.writing {
		q.ring, q.head = nil, 0
	}
}

// popLast forgets the last record, which has not begun.
func (q *output) popLast() {
	r := q.at(q.n - 1)
	q.queued -= r.ref.Len()
	r.ref.Release()
	r.ref = pool.Ref{}
	q.n--
}

// drop gives everything back.
func (q *output) drop() {
	for q.n > 0 {
		q.pop()
	}
	q.queued = 0
	q.ring, q.opts, q.ctl, q.off = nil, nil, nil, 0
}

// abort drops what has not begun and leaves the options behind that wait (MP_FASTCLOSE may be among
// them) and MP_TCPRST. A record that is half written is finished before them.
func (q *output) abort(r engine.ResetReason) {
	if q.ended {
		return
	}
	q.ended = true
	for q.n > 1 || q.n == 1 && !q.half() {
		q.popLast()
	}
	q.ctl = append(q.ctl[:len(q.ctl):len(q.ctl)], q.opts...)
	q.ctl = options.TCPRst{Reason: uint8(r)}.Append(q.ctl)
	q.opts = nil
	if !q.half() {
		q.ring, q.head = nil, 0
	}
}

// ackState is the newest DATA_ACK and window, and what the peer has been told on this flow.
type ackState struct {
	cur   engine.Ack
	dirty bool // cur is to leave, with or without data
	sent  engine.Ack
	first bool // a window has left that counts from the peer's first byte
}

// edge is the right edge of the window: the first byte that this side does not take.
func edge(a engine.Ack) uint64 { return a.DataAck + uint64(a.Window) }

// merge takes over a newer state: neither number ever goes back.
func (s *ackState) merge(a engine.Ack) {
	if !a.Valid && s.cur.Valid {
		return
	}
	if a.Valid && s.cur.Valid {
		beyond := max(int64(edge(a)-s.cur.DataAck), s.cur.Window)
		if d := int64(a.DataAck - s.cur.DataAck); d > 0 {
			s.cur.DataAck = a.DataAck
			beyond -= d
		}
		s.cur.Window = max(0, beyond)
		return
	}
	if !a.Valid {
		a.Window = max(a.Window, s.cur.Window)
	}
	s.cur = a
}

// windowNews says that the peer does not know the right edge yet.
func (s *ackState) windowNews() bool {
	return s.cur.Valid && (!s.sent.Valid || edge(s.cur) != edge(s.sent))
}

// Pending is how many bytes wait to be written; headers that are not made yet count at their longest. Behind our FIN
// nothing does: not even the answer to an ECHO that the peer sends before its own.
func (f *Flow) Pending() int {
	if f.shut {
		return 0
	}
	q := &f.out
	n := len(q.ctl) - q.off
	if f.aborted {
		if q.half() {
			n += q.at(0).total() - q.at(0).off
		}
		return n
	}
	if !f.pending {
		n += len(q.opts)
		if f.ack.dirty && f.ack.cur.Valid {
			n += 12 + windowLong
		}
		if f.est.owed {
			n += echoLen
		}
		if f.est.wants(f.now, false, &f.cfg, q) {
			n += echoLen
		}
	}
	for i := 0; i < q.n && !f.held(i); i++ {
		r := q.at(i)
		if r.off > 0 {
			n += r.total() - r.off
		} else {
			n += headMax + r.ref.Len()
		}
	}
	return n
}

// Queued is how many payload bytes wait to be written. alone: no option or acknowledgement waits with
// them, and no record is half written.
func (f *Flow) Queued() (payload int, alone bool) {
	q := &f.out
	alone = !f.aborted && !f.pending && !f.closing && q.off == len(q.ctl) && len(q.opts) == 0 && !q.half() &&
		!f.ack.dirty && !f.est.owed && !f.est.wants(f.now, false, &f.cfg, q)
	return q.queued, alone
}

// held says that record i may not leave before message 2.
func (f *Flow) held(i int) bool {
	if !f.pending {
		return false
	}
	n := int(f.out.sent)
	for j := range i + 1 {
		n += f.out.at(j).ref.Len()
	}
	return n-f.out.at(0).payloadOut() > MaxEarly
}

// Gather appends the slices to write next to iov. They stay as they are until Wrote, which must
// follow, also when nothing was written. Acknowledgements and options come before the first record
// that has not begun: they never queue behind data.
func (f *Flow) Gather(iov [][]byte) [][]byte {
	q := &f.out
	q.writing = true
	end := len(iov) + maxSlices - 2
	i := 0
	if q.half() {
		iov = q.at(0).rest(iov)
		i = 1
	}
	data := i < q.n && !f.aborted && !f.held(i)
	if data && f.ack.cur.Valid && f.sink != nil {
		// The records may have waited for long, and no other may follow soon.
		f.ack.merge(f.sink.Advertise(f.now))
	}
	f.freeze(data)
	if q.off < len(q.ctl) {
		iov = append(iov, q.ctl[q.off:])
	}
	if f.aborted {
		return iov
	}
	left := f.batch()
	for news := f.ack.windowNews(); i < q.n && len(iov) < end && left > 0 && !f.held(i); i++ {
		f.encode(q.at(i), news)
		news = false
		iov = q.at(i).rest(iov)
		left -= q.at(i).ref.Len()
	}
	return iov
}

// batch is how much payload one Gather takes: an ECHO travels in front of each.
func (f *Flow) batch() int {
	if f.est.alone(&f.cfg) {
		return f.est.grain()
	}
	return math.MaxInt
}

// freeze collects what leaves before the next record, unless the last collection is still waiting.
func (f *Flow) freeze(data bool) {
	q := &f.out
	if q.off < len(q.ctl) || f.aborted {
		f.est.retry(f.now)
		return
	}
	q.off = 0
	if f.pending {
		q.ctl = f.appendFirstWindow(q.ctl[:0])
		return
	}
	q.ctl, q.opts = q.opts, q.ctl[:0]
	if cap(q.opts) > maxOptions/4 {
		q.opts = nil
	}
	q.ctl = f.est.append(q.ctl, f.now, data, &f.cfg, q)
	// The first DATA_ACK of a flow leaves before any window that counts from it.
	if f.ack.cur.Valid && (f.ack.dirty && !data || !f.ack.sent.Valid) {
		q.ctl = options.DSS{HasAck: true, Ack64: true, DataAck: f.ack.cur.DataAck}.Append(q.ctl)
		if f.ack.windowNews() || f.ack.sent == f.ack.cur {
			q.ctl = appendWindow(q.ctl, edge(f.ack.cur), f.ack.cur.DataAck)
		}
		f.ack.sent = f.ack.cur
	}
	f.ack.dirty = false
}

// appendFirstWindow tells a server that answers early data how much we take.
func (f *Flow) appendFirstWindow(b []byte) []byte {
	if f.ack.cur.Window <= 0 || f.ack.first || f.out.n == 0 {
		return b
	}
	f.ack.first = true
	return appendInitialWindow(b, uint64(f.ack.cur.Window))
}

// encode makes a record's header, with the window in front if the peer does not know it. The first
// DATA_ACK of a flow and its window travel in ctl: until that has been frozen, a record carries none.
func (f *Flow) encode(r *record, window bool) {
	b := r.head[:0]
	r.ack = engine.Ack{}
	if f.ack.sent.Valid {
		r.ack = f.ack.cur
	}
	if r.ack.Valid && window {
		b = appendWindow(b, edge(r.ack), f.ack.sent.DataAck)
	}
	n := r.m.Len
	if r.m.DataFIN {
		n++
	}
	b = options.DSS{
		HasAck: r.ack.Valid, Ack64: r.ack.Valid, DataAck: r.ack.DataAck,
		HasMap: true, DSN64: true, DSN: r.m.DSN, SSN: r.m.SSN, DataLen: uint16(n),
		HasChecksum: r.m.HasChecksum, Checksum: r.m.Checksum, DataFIN: r.m.DataFIN,
	}.Append(b)
	r.size = len(b)
	if r.ref.Len() <= inlineMax {
		b = append(b, r.ref.B...)
	}
	r.n = len(b)
}

// Wrote says that n bytes of what Gather returned have left.
func (f *Flow) Wrote(now time.Duration, n int) {
	f.now = now
	q := &f.out
	q.writing = false
	f.est.out += uint64(n)
	missing := f.est.missing(q)
	if q.half() {
		n -= f.leave(n)
	}
	if m := min(n, len(q.ctl)-q.off); m > 0 {
		q.off += m
		n -= m
	}
	for n > 0 && q.n > 0 {
		n -= f.leave(n)
	}
	f.est.wrote(now, missing, &f.cfg, q)
	if f.aborted {
		q.abort(f.reason)
		return
	}
	f.wake(now)
}

// leave takes up to n bytes off the first record and returns how many it took.
func (f *Flow) leave(n int) int {
	q := &f.out
	r := q.at(0)
	if r.off == 0 && n > 0 {
		if r.ack.Valid {
			f.ack.sent = r.ack
		}
		if end := r.m.DSN + uint64(r.m.Len); q.sent == 0 || int64(end-q.lastDSN) > 0 {
			q.lastDSN = end
		}
	}
	was := r.payloadOut()
	n = min(n, r.total()-r.off)
	r.off += n
	q.queued -= r.payloadOut() - was
	q.sent += uint64(r.payloadOut() - was)
	if r.off == r.total() {
		q.pop()
	}
	return n
}
