package recovery

import "time"

// undo finds out whether a recovery was needed: by the timestamp of the first ACK after its first
// retransmission (Eifel, RFC 3522), or because the peer reports every retransmission as a duplicate
// (RFC 2883).
type undo struct {
	armed   bool
	sent    bool          // something was retransmitted
	eifel   bool          // the first ACK for it has not come
	firstAt time.Duration // when the first retransmission left
	una     uint64        // SND.UNA when the recovery began
	pending int64         // bytes retransmitted and not reported as duplicates
	ended   bool          // the recovery is over, but duplicates may still be reported
	until   uint64        // until SND.UNA passes
	reports int64         // bytes that were ever reported as duplicates
}

func (u *undo) begin(una uint64) { *u = undo{armed: true, una: una, reports: u.reports} }

func (u *undo) end(nxt uint64) { u.ended, u.until, u.eifel = true, nxt, false }

func (u *undo) clear() { *u = undo{reports: u.reports} }

func (u *undo) retransmits(now time.Duration, bytes int64) {
	if !u.armed || bytes <= 0 {
		return
	}
	if !u.sent {
		u.sent, u.eifel, u.firstAt = true, true, now
	}
	u.pending += bytes
}

// duplicated takes a DSACK block: it widens the reordering window, but for the probe's, which was sent
// on suspicion. It reports whether all retransmissions turn out to have been superfluous. A peer cannot
// report more than was retransmitted.
func (s *Sender) duplicated(a *Ack) bool {
	d, u := a.DSACK, &s.undo
	if !a.HasDSACK || !s.cfg.SACK || d.Len() == 0 || d.To > s.board.nxt || u.reports+d.Len() > s.retransmitted {
		return false
	}
	u.reports += d.Len()
	if s.tlp.out && s.tlp.again && d.To == s.tlp.end {
		return false
	}
	s.rack.duplicate(s.board.una, s.board.nxt)
	if !u.armed || !u.sent || d.To <= u.una {
		return false
	}
	u.pending -= d.Len()
	return u.pending <= 0
}

// undoable says that the retransmissions of this recovery were superfluous.
func (s *Sender) undoable(n *news, duplicated bool) bool {
	u := &s.undo
	if !u.armed {
		return false
	}
	if u.ended && s.board.una > u.until {
		u.clear()
		return false
	}
	if duplicated {
		return true
	}
	if !u.ended && !u.sent && s.board.lost == 0 {
		return true // all that was taken for lost has arrived before it was sent again
	}
	if u.eifel && n.acked > 0 && n.ack.HasEcho {
		u.eifel = false
		return s.echoesBefore(n.ack, u.firstAt)
	}
	return false
}

// takeBack undoes a recovery: "the congestion control state" is reversed, unless there is a mark (RFC
// 4015 section 3.4), what waits to be sent again was not lost, and the next packets may be reordered as
// well.
func (s *Sender) takeBack(now time.Duration, n *news) {
	if !n.ack.ECE {
		s.cfg.Controller.OnSpuriousLoss(now)
	}
	if s.episode.phase == timeoutRecovery {
		s.rtt.unsettle(now)
		s.timer.backoff = 0
	} else {
		s.rack.reordering = true
	}
	s.board.revive()
	s.undo.clear()
	s.calm()
}

// revive lets everything fly again that was taken for lost, each record at its time.
func (b *scoreboard) revive() {
	at := none
	for pos := 0; pos < b.order.n && b.lost > 0; pos++ {
		h := b.order.at(pos)
		r := &b.slab[h]
		if r.state != lost {
			continue
		}
		b.lost -= r.len()
		r.state = flying
		b.flying += r.len()
		at = b.linkNear(h, at)
	}
}

// linkNear links h like link, but looks from at, as those before it were put there.
func (b *scoreboard) linkNear(h, at int32) int32 {
	r := &b.slab[h]
	for next := b.after(at); next != none && !b.slab[next].place().after(r.place()); next = b.after(at) {
		at = next
	}
	for at != none && b.slab[at].place().after(r.place()) {
		at = b.slab[at].prev
	}
	b.linkAfter(h, at)
	return h
}

// after is the record behind h in time; none asks for the first.
func (b *scoreboard) after(h int32) int32 {
	if h == none {
		return b.head
	}
	return b.slab[h].next
}
