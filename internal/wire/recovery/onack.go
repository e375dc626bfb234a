package recovery

import (
	"time"

	"github.com/mptcp-go/mptcp/congestion"
)

// maxSacks is how many SACK blocks fit into a TCP header.
const maxSacks = 4

// news is what one ACK tells.
type news struct {
	ack              *Ack
	una              uint64 // SND.UNA before it
	inFlight, flight int64  // before it
	acked, sacked    int64
	delivered        int64 // DeliveredData of RFC 6937
	duplicate        bool

	sentAt           time.Duration // of the newest segment delivered
	again            bool          // a segment was cumulatively acknowledged that was sent more than once
	oldest, youngest time.Duration // of those delivered that were sent but once
	hasOldest        bool          // one was cumulatively acknowledged
	hasYoungest      bool          // one was acknowledged at all
	valid            bool          // something was delivered whose time of sending is certain
	validAt          time.Duration // the newest of that
	sample           rateSample
	found            finding
}

// OnAck takes an ACK in, tells the controller, and says what it meant.
func (s *Sender) OnAck(now time.Duration, a *Ack) Outcome {
	now = s.advance(now)
	b := &s.board
	n := news{ack: a, una: b.una, inFlight: s.InFlight(), flight: s.flight()}
	n.duplicate = a.Off == b.una && b.una < b.nxt && a.Pure && !a.WindowChanged && !a.OptionsOnly
	s.tlp.wanted = false
	s.accumulate(now, &n)
	if s.cfg.SACK {
		s.select4(now, &n)
	} else {
		s.count(&n)
	}
	duplicated := s.duplicated(a)
	o := Outcome{Acked: n.acked, Sacked: n.sacked, Duplicate: n.duplicate, Reneged: s.renegs(now)}
	o.RTT, o.HasRTT = s.measure(now, &n)
	if n.acked > 0 {
		s.timer.base, s.tlp.base, s.timer.timeouts = now, now, 0
	}
	if s.undoable(&n, duplicated) || s.delayed(&n) {
		s.takeBack(now, &n)
		o.Spurious = true
	}
	o.Recovered = s.leave()
	if s.cfg.SACK {
		s.detect(now, &n.found)
	} else {
		s.conclude(&n)
	}
	o.Entered = s.congested(now, &n.found, n.inFlight, n.flight)
	o.Lost = n.found.bytes
	if s.probed(a, n.duplicate) {
		s.cfg.Controller.OnLoss(now, congestion.Loss{Bytes: s.mss, InFlight: n.inFlight, SentAt: s.tlp.original})
	}
	o.CWR = s.marked(now, &n)
	s.tell(now, &n)
	s.prr.onAck(n.delivered, s.InFlight(), s.Window(), s.mss, n.acked > 0 && n.found.bytes == 0)
	s.repace(now)
	s.rearm()
	return o
}

// accumulate takes the cumulative acknowledgment. What was never sent cannot be acknowledged.
func (s *Sender) accumulate(now time.Duration, n *news) {
	b := &s.board
	off := min(n.ack.Off, b.nxt)
	if off <= b.una {
		return
	}
	for r := b.first(); r != nil && r.from < off; r = b.first() {
		end := min(r.to, off)
		if r.state != sacked {
			s.deliver(now, n, r, end, true)
		}
		if r.to > off {
			b.shorten(off)
			break
		}
		b.drop()
	}
	if n.again { // what lies behind a retransmission may have waited there for it since long ago
		n.hasOldest, n.hasYoungest, n.youngest = false, false, 0
	}
	n.acked = int64(off - b.una)
	b.una = off
	b.fack = max(b.fack, off)
}

// select4 takes the SACK blocks, in ascending order: reordering is told by what is acknowledged below
// what already was.
func (s *Sender) select4(now time.Duration, n *news) {
	var blocks [maxSacks]Range
	k := 0
	for _, r := range n.ack.Sacks[:min(len(n.ack.Sacks), maxSacks)] {
		i := k
		for ; i > 0 && blocks[i-1].From > r.From; i-- {
			blocks[i] = blocks[i-1]
		}
		blocks[i] = r
		k++
	}
	for _, r := range blocks[:k] {
		s.selective(now, n, r)
	}
}

// selective takes one SACK block. A block that touches SND.UNA contradicts the cumulative
// acknowledgment, one beyond SND.NXT was made up: neither says anything.
func (s *Sender) selective(now time.Duration, n *news, block Range) {
	b := &s.board
	if block.From <= b.una || block.From >= block.To || block.To > b.nxt {
		return
	}
	pos, _ := b.cut(block.From) // where there is no room, the block is rounded inwards
	for ; pos < b.order.n && b.at(pos).from < block.To; pos++ {
		if r := b.at(pos); r.state != sacked {
			if r.to > block.To {
				if !b.split(pos, block.To) {
					break
				}
				r = b.at(pos)
			}
			n.sacked += r.len()
			s.deliver(now, n, r, r.to, false)
			b.set(pos, sacked)
		}
		if b.merge(pos) {
			pos--
		}
	}
	b.merge(pos)
}

// deliver notes that the bytes of r up to end have arrived.
func (s *Sender) deliver(now time.Duration, n *news, r *record, end uint64, cumulative bool) {
	b := &s.board
	n.delivered += int64(end - r.from)
	n.sentAt = max(n.sentAt, r.sentAt)
	s.rate.deliver(&n.sample, r)
	if r.original() {
		// RACK_detect_reordering: "If a never-retransmitted segment that's below RACK.fack is
		// (selectively or cumulatively) acknowledged, it has been delivered out of order" (RFC 8985
		// section 6.2).
		if end < b.fack {
			s.rack.reordering = true
		}
		if r.timed() {
			if cumulative && (!n.hasOldest || r.sentAt < n.oldest) {
				n.oldest, n.hasOldest = r.sentAt, true
			}
			n.youngest, n.hasYoungest = max(n.youngest, r.sentAt), true
		}
	} else if cumulative {
		n.again = true
	}
	b.fack = max(b.fack, end)
	if r.timed() && (r.original() || s.believable(now, r, n.ack, cumulative)) {
		s.rack.delivered(r.sentAt, place{r.train, end})
		n.valid, n.validAt = true, max(n.validAt, r.sentAt)
	}
}

// believable says that an ACK is for the latest copy of a retransmitted segment: neither an echo nor
// its haste belies it (RFC 8985 section 6.2, step 2). The echo is asked for what is cumulatively
// acknowledged only: of a segment above a hole the peer does not take the timestamp over ("SEG.SEQ <=
// Last.ACK.sent", RFC 7323 section 4.3), so that an old echo there says nothing, and a probe or a
// retransmission could never reveal the losses before it.
func (s *Sender) believable(now time.Duration, r *record, a *Ack, cumulative bool) bool {
	return !(cumulative && s.echoesBefore(a, r.sentAt)) && r.rtt(now) >= s.rtt.min()
}

// echoesBefore says that the segment that the ACK echoes left before at, for certain: the timestamp was
// rounded down.
func (s *Sender) echoesBefore(a *Ack, at time.Duration) bool {
	return s.cfg.Timestamps && a.HasEcho && a.EchoedAt+s.cfg.Tick <= at
}

// measure takes the samples that the ACK gives. The estimator gets the oldest segment's, which includes
// the peer's delay of the ACK, as the timer must; RACK and the controller get the newest one's.
func (s *Sender) measure(now time.Duration, n *news) (time.Duration, bool) {
	if n.valid {
		s.rack.rtt = max(now-n.validAt, time.Microsecond)
	}
	if n.hasYoungest {
		s.rtt.observe(now, max(now-n.youngest, time.Microsecond))
	}
	s.rate.finish(&n.sample, now, n.delivered, s.rtt.min())
	s.lasting.update(now, s.rate.delivered, s.rtt.srtt)
	var rtt time.Duration
	switch a := n.ack; {
	case n.hasOldest:
		rtt = now - n.oldest
	case n.acked > 0 && s.cfg.Timestamps && a.HasEcho && a.EchoedAt <= now:
		// Timestamps tell the copies of a retransmitted segment apart, and may be used "only if the segment
		// advances the left edge of the send window" (RFC 7323 section 4.1).
		rtt = min(now-a.EchoedAt, s.cfg.MaxRTO)
	case n.sacked > 0 && n.hasYoungest:
		rtt = now - n.youngest
	default:
		return 0, false
	}
	rtt = max(rtt, time.Microsecond)
	s.sampleRTT(now, rtt)
	if n.hasOldest {
		s.rtt.settle(n.oldest, rtt)
	}
	return rtt, true
}

// tell reports the ACK to the controller.
func (s *Sender) tell(now time.Duration, n *news) {
	bytes := n.delivered
	if n.una == 0 && n.acked > 0 {
		bytes-- // SYN is no data
	}
	if bytes <= 0 && n.acked == 0 && !n.ack.ECE {
		return
	}
	c := congestion.Ack{
		Bytes: bytes, InFlight: n.inFlight, SentAt: n.sentAt, SRTT: s.rtt.srtt, MinRTT: s.rtt.min(),
		AppLimited: n.una >= s.full, ECE: n.ack.ECE, DeliveryRate: n.sample.rate,
	}
	if n.hasYoungest {
		c.RTT = max(now-n.youngest, time.Microsecond)
	}
	if s.cfg.Timestamps && n.ack.HasClock {
		c.ReturnDelay = s.back.observe(now, n.ack.Clock, c.RTT)
	}
	s.cfg.Controller.OnAck(now, c)
	s.start.acked(bytes, s.cfg.Controller.Window(), s.mss)
}
