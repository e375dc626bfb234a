package tcp

import (
	"math"
	"time"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// receiver is the receiving half.
type receiver struct {
	irs   uint32
	nxt   uint64 // RCV.NXT
	edge  uint64 // the right edge of the window, as far as it was ever announced
	zero  uint64 // RCV.NXT when a segment said last that the window is closed; 0: none ever did
	scale uint8  // shift of the windows that we announce

	q      reassembly
	finAt  uint64 // offset of the peer's FIN, with hasFIN
	hasFIN bool
	shut   bool // CloseRead: what arrives is acknowledged and thrown away

	unread int // bytes delivered and not consumed
	space  int // bytes that may wait unread: what the window is made of
	limit  int // the most that space may become
	mss    int // largest payload seen in a segment: the peer's segments, as far as known

	dsack    Range // to be reported with the next ACK (RFC 2883), with hasDSACK
	hasDSACK bool
	tune     autotune
}

// offset of a sequence number of the peer's. It is negative for one before the SYN.
func (r *receiver) offset(seq uint32) int64 {
	return int64(r.nxt) + int64(int32(seq-(r.irs+uint32(r.nxt))))
}

func (r *receiver) sequence(off uint64) uint32 { return r.irs + uint32(off) }

// duplicate notes what of [from, to) was received before, for a DSACK. False: nothing was.
func (r *receiver) duplicate(from, to int64) bool {
	if from < 1 || to <= from {
		return false
	}
	f, t := uint64(from), uint64(to)
	switch {
	case f < r.nxt:
		t = min(t, r.nxt)
	case !r.q.has(f, t):
		return false
	}
	r.dsack, r.hasDSACK = Range{From: f, To: t}, true
	return true
}

// handlePayload takes payload that begins at off, and a FIN behind it.
func (c *Conn) handlePayload(now time.Duration, off int64, p pool.Ref, fin bool) {
	if len(p.B) == 0 && !fin {
		return
	}
	if !c.state.mayReceive() {
		c.ack.at() // after the peer's FIN: a retransmission of it, or bytes that can't be
		return
	}
	end := off + int64(len(p.B))
	if off < int64(c.rcv.nxt) || c.rcv.q.has(uint64(off), uint64(end)) {
		if len(p.B) > 0 {
			c.rcv.duplicate(off, end)
			c.event().DupSegsIn++
		}
		c.ack.at()
	}
	if cut := int64(c.rcv.nxt) - off; cut > 0 {
		if cut > int64(len(p.B)) {
			return // even a FIN would lie before rcv.nxt
		}
		p, off = p.Slice(int(cut), len(p.B)), off+cut
	}
	if over := end - int64(max(c.rcv.edge, c.rcv.nxt)); over > 0 {
		c.event().BeyondWindow++
		c.ack.at()
		p, fin = p.Slice(0, len(p.B)-int(min(over, int64(len(p.B))))), false
	}
	if c.lost(now, uint64(off), p) {
		return
	}
	c.noteFIN(uint64(off)+uint64(len(p.B)), fin)
	if c.rcv.hasFIN && uint64(off)+uint64(len(p.B)) > c.rcv.finAt {
		p = p.Slice(0, int(max(c.rcv.finAt, uint64(off))-uint64(off))) // no byte comes after the FIN
	}
	if uint64(off) == c.rcv.nxt {
		c.inOrder(now, p)
	} else {
		c.outOfOrder(now, uint64(off), p)
	}
	c.reachFIN(now)
}

// lost says whether data came that nobody will ever take, and resets then: "if new data is received after
// CLOSE is called, its TCP implementation SHOULD send a RST to show that data was lost" (RFC 9293 section
// 3.6.1).
func (c *Conn) lost(now time.Duration, off uint64, p pool.Ref) bool {
	if len(p.B) == 0 || !c.rcv.shut || c.state == Established || off+uint64(len(p.B)) <= c.rcv.nxt {
		return false
	}
	c.reset()
	c.tell(now, ErrDiscarded)
	return true
}

// noteFIN remembers where the stream ends. The first FIN says so; another one elsewhere is a lie.
func (c *Conn) noteFIN(at uint64, fin bool) {
	if !fin || c.rcv.hasFIN {
		return
	}
	if n := len(c.rcv.q.islands); n > 0 && c.rcv.q.islands[n-1].To > at {
		return // bytes beyond it have been received already
	}
	c.rcv.finAt, c.rcv.hasFIN = at, true
}

// inOrder takes payload that begins at rcv.nxt, and whatever it joins.
func (c *Conn) inOrder(now time.Duration, p pool.Ref) {
	n := len(p.B)
	if n == 0 {
		return
	}
	c.rcv.mss = max(c.rcv.mss, min(n, c.fullPayload()))
	if c.rcv.q.pieces.Len() == 0 {
		more := p.Loan().More()
		c.deliver(now, p.Pass())
		c.ack.data(now, c, n, more)
		return
	}
	// A hole is being filled: "A TCP receiver SHOULD send an immediate ACK when the incoming segment fills
	// in all or part of a gap in the sequence space" (RFC 5681 section 4.2).
	c.ack.at()
	if !c.rcv.q.add(c.rcv.nxt, p, math.MaxInt) {
		// As many islands as there may be, and this touches none of them.
		c.deliver(now, p.Pass())
	}
	for c.state != Closed {
		ref, ok := c.rcv.q.next(c.rcv.nxt)
		if !ok {
			break
		}
		c.deliver(now, ref)
	}
	c.rcv.q.passed(c.rcv.nxt)
}

// deliver passes the next bytes on, and the reference with them.
func (c *Conn) deliver(now time.Duration, p pool.Ref) {
	n := len(p.B)
	c.rcv.nxt += uint64(n)
	c.stats.HCThruOctetsReceived += uint64(n)
	if c.rcv.shut {
		p.Release()
		return
	}
	c.rcv.unread += n
	c.h.Data(now, p)
}

// outOfOrder keeps payload that begins beyond rcv.nxt: "A TCP receiver SHOULD send an immediate duplicate
// ACK when an out-of-order segment arrives" (RFC 5681 section 4.2).
func (c *Conn) outOfOrder(now time.Duration, off uint64, p pool.Ref) {
	if len(p.B) == 0 {
		c.ack.at()
		return
	}
	c.event().OutOfOrderSegs++
	c.ack.duplicate(c.snd.sack)
	if !c.rcv.q.add(off, p, 2*c.rcv.space+pool.MaxSize) {
		c.event().ReassemblyDrops++
	}
}

// reachFIN takes the peer's FIN once everything before it has come.
func (c *Conn) reachFIN(now time.Duration) {
	if !c.rcv.hasFIN || c.rcv.nxt != c.rcv.finAt || !c.state.mayReceive() {
		return
	}
	c.rcv.nxt++
	c.rcv.q.drop()
	c.ack.at()
	switch c.state {
	case Established:
		c.state = CloseWait
	case FinWait1:
		c.state = Closing // its own FIN is not acknowledged, or it would be FIN-WAIT-2
	case FinWait2:
		c.timeWait(now)
	}
	c.h.FIN(now)
	if c.state == TimeWait {
		c.tell(now, nil)
	}
}
