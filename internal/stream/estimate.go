package stream

import (
	"encoding/binary"
	"time"

	"github.com/mptcp-go/mptcp/engine"
)

const (
	// echoEvery is how often an ECHO goes along with data: often enough for a round-trip time, too
	// seldom to be felt.
	echoEvery = 100 * time.Millisecond
	// echoFloor is the same where echoes are the only measure of what has arrived. Then there are
	// several in a window: with one, what is known of the path is up to two round trips old, and the
	// window has to be as large as that.
	echoFloor = time.Millisecond
	// maxEchoes is how many are under way at most.
	maxEchoes = 8
	// tail is how many bytes at the end of a run are not worth an ECHO of their own: a DATA_ACK of
	// the last byte settles them.
	tail = 8 << 10
	// waitMax is how long a reply may have waited to be read: else it says nothing about the path.
	waitMax = time.Millisecond
)

// echo is an ECHO under way.
type echo struct {
	token       uint32
	sentAt      time.Duration
	upTo        uint64        // payload bytes before it
	delivered   uint64        // estimate.acked when it was made
	deliveredAt time.Duration // estimate.ackedAt then
	deliveredBy time.Duration // when the echo that told so was made
	end         uint64        // it lies before this byte of the flow, headers included
	passed      time.Duration // when the path's TCP was seen to have acknowledged it; 0: not yet
}

// estimate measures the path by ECHO and its reply: TCP delivers in order, so that a reply says that
// everything before its ECHO has arrived, whatever other flows have lost.
type estimate struct {
	srtt, rttvar, minRTT time.Duration // srtt < 0: unknown

	token  uint32
	echoes [maxEchoes]echo // the first n, oldest first
	n      int
	frozen bool // the newest has been made and, as far as we know, not begun to leave
	probe  bool // send one also without data
	close  bool // send one behind the data that has left, since none follows
	sentAt time.Duration

	owed  bool // a reply: the newest only, state and not a queue
	reply uint32

	acked   uint64 // payload bytes that have arrived
	ackedAt time.Duration
	ackedBy time.Duration // when the ECHO that told so was made
	busyAt  time.Duration // since when something has been missing
	rate    rate

	lastRx  time.Duration
	resumed time.Duration    // when reading was taken up again; 0: it never stopped
	out     uint64           // bytes written, headers included
	sock    engine.FlowStats // what the socket's owner knows
	sockAt  uint64           // out at that time
	has     bool
	late    int  // replies that came long after TCP's acknowledgement, less those that did not
	early   bool // a proxy acknowledges early: TCP's account is not of this path
}

func (e *estimate) init() { e.srtt, e.rttvar, e.minRTT = -1, -1, -1 }

// owe takes the peer's ECHO.
func (e *estimate) owe(data []byte) { e.owed, e.reply = true, binary.BigEndian.Uint32(data) }

// wants says whether an ECHO should leave, with data or (a probe) without.
func (e *estimate) wants(now time.Duration, data bool, cfg *FlowConfig, q *output) bool {
	switch {
	case e.n == 0 && (e.probe || data && e.token == 0), e.close && e.n < maxEchoes:
		return true
	case !data:
		return false
	case !e.alone(cfg):
		return e.n == 0 && now-e.sentAt >= echoEvery
	case e.n == 0:
		return now-e.sentAt >= echoFloor
	}
	return e.n < maxEchoes && e.step(q)
}

// step says whether enough has left since the newest ECHO for another one.
func (e *estimate) step(q *output) bool {
	return int64(q.sent-e.echoes[e.n-1].upTo) >= int64(e.grain())
}

// grain is how much is sent from one ECHO to the next. They travel between records.
func (e *estimate) grain() int { return int(max(tail, e.window()/maxEchoes)) }

func (e *estimate) window() int64 { return e.rate.window(e.minRTT) }

// append appends the reply that is owed, and an ECHO if one is due.
func (e *estimate) append(b []byte, now time.Duration, data bool, cfg *FlowConfig, q *output) []byte {
	if e.owed {
		e.owed = false
		b = appendEcho(b, TypeEchoReply, e.reply)
	}
	if !e.wants(now, data, cfg, q) {
		return b
	}
	e.token++
	x := echo{
		token: e.token, sentAt: now, upTo: q.sent,
		delivered: e.acked, deliveredAt: max(e.ackedAt, e.busyAt), deliveredBy: max(e.ackedBy, e.busyAt),
	}
	if q.half() {
		r := q.at(0)
		x.upTo += uint64(r.ref.Len() - r.payloadOut())
	}
	e.echoes[e.n] = x
	e.n++
	e.probe, e.close, e.frozen, e.sentAt = false, false, true, now
	return appendEcho(b, TypeEcho, e.token)
}

// retry moves the time of an ECHO that a full socket has kept from leaving.
func (e *estimate) retry(now time.Duration) {
	if e.frozen && e.n > 0 {
		e.sentAt, e.echoes[e.n-1].sentAt = now, now
	}
}

// handleReply takes an ECHO_REPLY and says whether it answers an ECHO of ours, and with it all those
// before.
func (e *estimate) handleReply(now time.Duration, data []byte, cfg *FlowConfig, q *output) bool {
	token, i := binary.BigEndian.Uint32(data), 0
	for ; i < e.n && e.echoes[i].token != token; i++ {
	}
	if i == e.n {
		return false
	}
	x := e.echoes[i]
	e.n = copy(e.echoes[:], e.echoes[i+1:e.n])
	// The reply may be here before the writer has come back with Wrote.
	e.probe, e.frozen = false, e.frozen && e.n > 0
	if x.sentAt > e.resumed-waitMax {
		e.sample(now - x.sentAt)
		e.suspect(now, x)
	}
	if x.upTo > e.acked {
		e.rate.measure(now, x)
		e.acked, e.ackedAt, e.ackedBy = x.upTo, now, x.sentAt
		e.rate.round(x.upTo, e.missing(q))
	}
	if e.alone(cfg) && e.n == 0 && e.missing(q) > tail {
		e.probe = true
	}
	return true
}

// missing is how many payload bytes have left and not arrived, as far as replies tell. A reply can
// be ahead of Wrote.
func (e *estimate) missing(q *output) int64 { return max(0, int64(q.sent-e.acked)) }

// sample is RFC 6298 section 2.
func (e *estimate) sample(rtt time.Duration) {
	if rtt <= 0 {
		rtt = time.Microsecond
	}
	if e.srtt < 0 {
		e.srtt, e.rttvar, e.minRTT = rtt, rtt/2, rtt
		return
	}
	e.rttvar += ((e.srtt - rtt).Abs() - e.rttvar) / 4
	e.srtt += (rtt - e.srtt) / 8
	e.minRTT = min(e.minRTT, rtt)
}

// handleDataAck settles the tail of what was sent. It is no measure of more: DATA_ACK also moves for
// data that another path has brought.
func (e *estimate) handleDataAck(now time.Duration, ack uint64, q *output) {
	if int64(ack-q.lastDSN) >= 0 && !q.half() && e.missing(q) > 0 && e.missing(q) <= tail {
		e.acked, e.ackedAt = q.sent, now
	}
}

// wrote takes note of what has left. before is what was missing until now.
func (e *estimate) wrote(now time.Duration, before int64, cfg *FlowConfig, q *output) {
	if e.frozen && q.off > 0 {
		e.frozen = false
		if e.n > 0 {
			e.echoes[e.n-1].end = e.out
		}
	}
	if before == 0 {
		e.busyAt = now
	}
	if e.alone(cfg) && q.n == 0 && e.missing(q) > tail {
		e.close = e.n == 0 || e.step(q)
	}
}

// inFlight is what has been written and, as far as anybody knows, not arrived.
func (e *estimate) inFlight(q *output) int64 {
	if e.has && !e.early && e.sock.InFlight >= 0 {
		return e.sock.InFlight + max(0, e.sock.Unsent)
	}
	return e.missing(q)
}

// Resumed says that nobody has read the socket for a while until now.
func (f *Flow) Resumed(now time.Duration) { f.est.resumed = now }
