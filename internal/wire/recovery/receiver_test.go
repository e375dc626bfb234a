package recovery

import (
	"slices"
	"time"
)

// receiver is RFC 9293 with RFC 2018, 2883 and 7323, in the most literal way: it keeps every range that
// has arrived, and answers.
type receiver struct {
	w          *world
	sack, ts   bool
	next       uint64
	have       []Range // above next, ascending, merged
	recent     []Range // blocks as they changed, newest first
	delayed    time.Duration
	every      int // ACK every so many segments in order; 0 and 1: each
	unacked    int
	timer      int
	tsRecent   time.Duration
	lastAcked  uint64
	ece        bool
	duplicates int
	received   uint64 // bytes that arrived for the first time
}

func newReceiver(w *world, cfg Config) *receiver {
	return &receiver{w: w, sack: cfg.SACK, ts: cfg.Timestamps, next: 1, lastAcked: 1}
}

func (r *receiver) take(p packet, marked bool) {
	r.ece = r.ece || marked
	// RFC 7323 section 4.3: "If SEG.TSval >= TS.Recent and SEG.SEQ <= Last.ACK.sent".
	if tick := p.sentAt / time.Millisecond * time.Millisecond; p.from <= r.lastAcked && tick >= r.tsRecent {
		r.tsRecent = tick
	}
	if p.to <= r.next || r.holds(p) {
		r.duplicates++
		if p.again {
			r.w.spurious++
		}
		r.answer(Range{From: p.from, To: p.to})
		return
	}
	before := r.next
	r.add(Range{From: max(p.from, r.next), To: p.to})
	inOrder := p.from <= before && len(r.have) == 0
	if inOrder && r.every > 1 {
		if r.unacked++; r.unacked < r.every {
			r.delay()
			return
		}
	}
	r.answer(Range{})
}

func (r *receiver) holds(p packet) bool {
	return slices.ContainsFunc(r.have, func(x Range) bool { return x.From <= p.from && p.to <= x.To })
}

// add merges a range into what has arrived, and remembers the block that it became.
func (r *receiver) add(x Range) {
	var kept []Range
	for _, h := range r.have {
		if h.To < x.From || h.From > x.To {
			kept = append(kept, h)
			continue
		}
		x = Range{From: min(x.From, h.From), To: max(x.To, h.To)}
	}
	if x.From <= r.next {
		r.received += x.To - r.next
		r.next = x.To
	} else {
		kept = append(kept, x)
		r.recent = slices.Insert(r.recent, 0, x)
	}
	slices.SortFunc(kept, func(a, b Range) int { return int(int64(a.From) - int64(b.From)) })
	r.have = kept
	r.recent = slices.DeleteFunc(r.recent, func(b Range) bool { return !slices.Contains(r.have, b) })
}

func (r *receiver) delay() {
	r.timer++
	n := r.timer
	r.w.at(r.w.now+r.delayed, func() {
		if n == r.timer && r.unacked > 0 {
			r.answer(Range{})
		}
	})
}

// answer sends an ACK; a duplicate is reported where SACK allows.
func (r *receiver) answer(duplicate Range) {
	r.unacked, r.lastAcked = 0, r.next
	r.timer++
	a := Ack{Off: r.next, Pure: true, EchoedAt: r.tsRecent, HasEcho: r.ts, ECE: r.ece}
	r.ece = false
	if r.sack {
		room := 3
		if duplicate.Len() > 0 {
			a.DSACK, a.HasDSACK = duplicate, true
			room--
		}
		a.Sacks = slices.Clone(r.recent[:min(room, len(r.recent))])
	}
	r.w.ack(a)
}
