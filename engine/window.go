package engine

import (
	"time"

	"github.com/mptcp-go/mptcp/internal/seqnum"
)

const (
	// startWindow is the window that a connection begins with: what 100 Mbit/s fill in 20 ms.
	startWindow = 256 << 10
	// tightWindow is what one connection is offered while all together are over the memory budget:
	// one record, so that every one still moves.
	tightWindow = 64 << 10
	// ackStep bounds how much is received or read before the peer hears of it, a quarter of the
	// window being the other bound. Each costs a system call on either side, and wakes the peer.
	ackStep = 1 << 20
	// ackDelay is how long an acknowledgement waits for data that would carry it. While records flow no
	// runtime timer below 20 ms may be pending: one alone doubles the latency of a ping-pong.
	ackDelay = 25 * time.Millisecond
	// quietStart: in its first bytes a connection acknowledges only by delay or along with data;
	// requests and answers carry each other's acknowledgements.
	quietStart = 64 << 10
	// windowSegment stands for the MSS in the rules against silly windows (RFC 9293 section 3.8.6.2.2),
	// which a connection over several subflows does not have: below this, a record's cost is not in its bytes.
	windowSegment = 16 << 10
)

// recvWindow is the connection-level receive window: "a unique receive window, shared between the
// subflows [...] relative to the DATA_ACK" (RFC 8684 section 3.3.4), and the decision when to tell the
// peer about it.
//
// It grows up to the limit in two ways: to twice what the application reads in a round trip, with
// something on top while that rises (dynamic right-sizing), and, where no round-trip time is known,
// whenever the peer fills the window and the application keeps up.
type recvWindow struct {
	mem   Memory
	limit int64 // Config.RecvBuffer
	size  int64 // what it is tuned to now
	tight bool  // the memory budget was used up when it was last advertised

	first uint64 // the first data sequence number
	right uint64 // promised: everything below may be sent
	told  uint64 // the same as a carrier that rounds has told it; see rounded
	acked uint64 // the DATA_ACK that went out last
	owed  bool   // an acknowledgement is due at due
	due   time.Duration

	filled uint64        // do not grow again for a full window before the peer is beyond this
	since  time.Duration // the round in which reads are counted began then ...
	reads  int64         // ... and saw this many bytes read ...
	prev   int64         // ... after a round with this many
}

// init sets the limits: limit is in bytes, a nil mem is unlimited.
func (w *recvWindow) init(limit int64, mem Memory) {
	*w = recvWindow{mem: mem, limit: max(limit, 1)}
	w.size = min(startWindow, w.limit)
}

// start begins the sequence space at rcvNxt. Before anything is advertised the peer may send promised
// bytes, which the carrier's specification says.
func (w *recvWindow) start(rcvNxt uint64, promised int64) {
	w.first, w.acked, w.told = rcvNxt, rcvNxt, rcvNxt
	w.right = rcvNxt + uint64(promised)
	w.filled = rcvNxt
}

// setLimit changes the limit. The window that has been promised stays.
func (w *recvWindow) setLimit(limit int64) {
	w.limit = max(limit, 1)
	w.size = min(w.size, w.limit)
}

// rightEdge is the first data sequence number that the peer may not send.
func (w *recvWindow) rightEdge() uint64 { return w.right }

// offer is the right edge that could be promised now if none had been, and the size of the window that
// it comes from.
func (w *recvWindow) offer(rcvNxt uint64, buffered int) (edge uint64, size int64) {
	size = w.size
	if w.tight {
		size = min(size, tightWindow)
	}
	edge = rcvNxt + uint64(max(0, size-int64(buffered)))
	return edge, size
}

// advertise is the window, in bytes beyond rcvNxt, for an acknowledgement that leaves now. The edge only
// moves right: "a receiver MUST NOT shrink the right edge of the receive window (i.e., DATA_ACK +
// receive window)" (RFC 8684 section 3.3.4). Steps that are too small to be worth a record stay back
// until they add up: the receiver's half of silly window avoidance (RFC 9293 section 3.8.6.2.2).
func (w *recvWindow) advertise(rcvNxt uint64, buffered int) int64 {
	w.tight = !w.affordable(tightWindow)
	edge, size := w.offer(rcvNxt, buffered)
	if seqnum.Diff(edge, w.right) >= min(size/2, windowSegment) {
		w.right = edge
	}
	w.acked, w.owed = rcvNxt, false
	return max(0, seqnum.Diff(w.right, rcvNxt))
}

// rounded is advertise for a carrier whose window counts in units of 1<<scale bytes. It rounds down, unless that would take back
// what was told: "the TCP will have to either advertise a new window that is beyond what it previously advertised (and perhaps
// beyond the buffer) or will have to advertise a smaller window" (RFC 7323 section 2.4). Each segment moves the edge on by less
// than a unit, so that an eighth more than the buffer does for segments of at least nine units; tiny ones would move it for ever.
func (w *recvWindow) rounded(rcvNxt uint64, buffered int, scale uint8) int64 {
	unit := int64(1) << scale
	n := w.advertise(rcvNxt, buffered) &^ (unit - 1)
	if up := n + unit; seqnum.Less(rcvNxt+uint64(n), w.told) && up+int64(buffered) <= w.size+max(unit, w.size/8) {
		n = up
	}
	w.told = seqnum.Max(w.told, rcvNxt+uint64(n))
	w.right = seqnum.Max(w.right, w.told)
	return n
}

// shouldAck says whether an acknowledgement is due at once, after input or a read. If not, and there is
// something to acknowledge, it will be when ackDelay is over.
func (w *recvWindow) shouldAck(now time.Duration, rcvNxt uint64, buffered int) bool {
	edge, size := w.offer(rcvNxt, buffered)
	var (
		received = seqnum.Diff(rcvNxt, w.acked)
		opened   = seqnum.Diff(edge, w.right)
		left     = seqnum.Diff(w.right, rcvNxt)
		step     = max(1, min(size/4, ackStep))
		worth    = max(step, min(size/2, windowSegment)) // less than that advertise keeps back
	)
	switch {
	case w.owed && now >= w.due:
		return true
	case seqnum.Diff(rcvNxt, w.first) < quietStart && left >= min(size/2, 2*windowSegment) && w.filled == w.first:
	case received >= step || opened >= worth:
		return true
	case left < windowSegment && opened > 0 && opened >= min(size/2, 2*windowSegment):
		return true
	}
	if received > 0 {
		w.owe(now)
	}
	return false
}

// reopened says whether the peer had better hear at once that the window is wider than what it was told last: by a
// step, and at least twice as wide, since an update for each segment that is read would be a waste.
func (w *recvWindow) reopened(rcvNxt uint64, buffered int) bool {
	edge, size := w.offer(rcvNxt, buffered)
	opened, left := seqnum.Diff(edge, w.right), seqnum.Diff(w.right, rcvNxt)
	return opened > 0 && opened >= max(left, min(size/2, windowSegment))
}

// owe makes an acknowledgement due after ackDelay at the latest.
func (w *recvWindow) owe(now time.Duration) {
	if !w.owed {
		w.owed, w.due = true, now+ackDelay
	}
}

// duplicate takes note of data that was there already: the peer has lost our DATA_ACK, or asks with an
// old byte whether a closed window has opened (RFC 9293 section 3.8.6.1: it must be answered).
func (w *recvWindow) duplicate(now time.Duration, rcvNxt uint64) {
	w.owe(now)
	if seqnum.Diff(w.right, rcvNxt) < windowSegment {
		w.due = now
	}
}

// deadline is when a delayed acknowledgement is due.
func (w *recvWindow) deadline() (time.Duration, bool) { return w.due, w.owed }

// consumed takes note of n bytes that the application has read. rtt is the longest of the subflows'
// round-trip times: what the paths together deliver meanwhile must fit (section 3.3.4: "the maximum
// round-trip time (RTT) of any path multiplied by the total bandwidth available across all paths"). 0
// means that no subflow knows its own.
func (w *recvWindow) consumed(now time.Duration, n int, rtt time.Duration) {
	w.reads += int64(n)
	elapsed := now - w.since
	if rtt <= 0 || elapsed < rtt {
		return
	}
	perRound := int64(float64(w.reads) * float64(rtt) / float64(elapsed))
	// Twice, since a round's data arrives while the last one's is read; and as much again as it has
	// grown, since a sender in slow start will have grown again by the time this window is in force.
	if 2*perRound > w.size {
		w.grow(2*perRound + 2*max(0, perRound-w.prev))
	}
	w.since, w.reads, w.prev = now, 0, perRound
}

// arrived takes note of data accepted up to end. A window that the peer has filled although the
// application keeps up, whether it waits behind a hole or in flight, is too small: it is doubled, once
// per window.
func (w *recvWindow) arrived(end uint64, buffered int) {
	if seqnum.Diff(w.right, end) > w.size/8 || int64(buffered) > w.size/2 || seqnum.LessEq(end, w.filled) {
		return
	}
	w.filled = w.right
	w.grow(2 * w.size)
}

// grow sets the size to at most want if limit and memory budget allow.
func (w *recvWindow) grow(want int64) {
	want = min(want, w.limit)
	if want > w.size && w.affordable(want-w.size) {
		w.size = want
	}
}

// affordable asks the memory budget for n bytes without keeping them: a window is a promise, and only
// what arrives takes memory.
func (w *recvWindow) affordable(n int64) bool {
	if w.mem == nil {
		return true
	}
	if !w.mem.Grab(n) {
		return false
	}
	w.mem.Free(n)
	return true
}
