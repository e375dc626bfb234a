package recovery

import "time"

// OnSend tells that the bytes [from, to) leave, in one segment or super-segment or several at the same
// instant. What lies at Nxt and above is new, what lies below is a retransmission. SYN and FIN count as
// a byte each. appLimited says that the application has nothing more to send for now: what follows
// tells nothing about how fast the path is.
func (s *Sender) OnSend(now time.Duration, from, to uint64, appLimited bool) {
	now = s.advance(now)
	b := &s.board
	b.depart(now, from, to)
	if again := min(to, b.nxt); from < again {
		s.sendAgain(now, max(from, b.una), again)
	}
	if to > b.nxt {
		s.sendNew(now, to)
	}
	s.rate.limited(appLimited, s.InFlight())
	if s.InFlight()+s.mss > s.Window() {
		s.full = b.nxt
	}
	s.rearm()
}

func (s *Sender) sendNew(now time.Duration, to uint64) {
	b := &s.board
	n := int64(to - b.nxt)
	if b.una == b.nxt {
		s.rate.restart(now)
	}
	r := record{from: b.nxt, to: to, sentAt: now, train: b.train}
	s.rate.stamp(&r)
	switch last := b.last(); {
	case last != nil && last.state == flying && last.train == b.train && last.marks == r.marks &&
		last.delivered == r.delivered && last.len()+n <= maxRecord:
		b.extend(to)
	case last != nil && last.state == flying && b.order.n >= maxRecords:
		b.extend(to)
		last.sentAt, last.train = now, b.train
		last.marks |= untimed
		b.set(b.order.n-1, flying)
	default:
		b.push(r)
	}
	s.sent(now, n)
	if s.tlp.wanted {
		s.tlp.sent(now, b.nxt, false)
	} else {
		s.tlp.base = now
	}
}

// sendAgain notes a retransmission. What has been selectively acknowledged meanwhile stays so.
func (s *Sender) sendAgain(now time.Duration, from, to uint64) {
	if from >= to {
		return
	}
	if s.tlp.wanted && to == s.board.nxt {
		s.tlp.sentAgain(now, to, s.board.last().sentAt)
	}
	b := &s.board
	pos, ok := b.cut(from)
	if !ok {
		pos-- // no room for a record of its own: the whole one counts as sent again
	}
	var bytes int64
	for ; pos < b.order.n && b.at(pos).from < to; pos++ {
		r := b.at(pos)
		if r.state == sacked {
			continue
		}
		if r.to > to {
			b.split(pos, to)
			r = b.at(pos)
		}
		bytes += r.len()
		s.rate.stamp(r)
		r.sentAt, r.train = now, b.train
		r.marks |= retransmitted
		b.set(pos, flying)
		if b.merge(pos) {
			pos--
		}
	}
	s.retransmitted += bytes
	s.undo.retransmits(now, bytes)
	s.episode.must = false
	s.sent(now, bytes)
}

// sent is what new data and retransmissions have in common.
func (s *Sender) sent(now time.Duration, bytes int64) {
	if bytes <= 0 {
		return
	}
	s.prr.sent(bytes)
	s.frto.grant = max(0, s.frto.grant-bytes)
	s.pacer.sent(now, bytes)
	s.cfg.Controller.OnSent(now, bytes, s.InFlight())
}

// Retransmit returns the lowest bytes that are lost and were not sent again, at most a super-segment of
// them. The caller sends a prefix as far as Allowance goes, and says so to OnSend.
func (s *Sender) Retransmit() (Range, bool) {
	b := &s.board
	if b.lost == 0 || s.frto.state == frtoNewData {
		return Range{}, false
	}
	pos := 0
	if b.holes > b.una {
		pos = b.find(min(b.holes, b.nxt-1))
	}
	for b.at(pos).state != lost {
		pos++
	}
	r := Range{From: b.at(pos).from, To: b.at(pos).to}
	b.holes = r.From
	for pos++; pos < b.order.n && b.at(pos).state == lost && r.Len() < maxRecord; pos++ {
		r.To = b.at(pos).to
	}
	r.To = min(r.To, r.From+maxRecord)
	return r, true
}

// Probe returns the bytes of the last segment, at most an MSS: "If such an unsent segment is not
// available, then the sender SHOULD retransmit the highest-sequence segment sent so far" (RFC 8985
// section 7.3). False: nothing is outstanding.
func (s *Sender) Probe() (Range, bool) {
	r := s.board.last()
	if r == nil {
		return Range{}, false
	}
	return Range{From: max(r.from, s.board.nxt-min(s.board.nxt, uint64(s.mss))), To: r.to}, true
}

// Excuse says of bytes that have left that their loss is no sign of congestion: of a probe of the
// path's MTU, which "is treated as an indication of an MTU limit, and not as a congestion indicator"
// (RFC 4821 section 2).
func (s *Sender) Excuse(r Range) {
	b := &s.board
	r.From, r.To = max(r.From, b.una), min(r.To, b.nxt)
	if r.From >= r.To {
		return
	}
	pos, ok := b.cut(r.From)
	_, ok2 := b.cut(r.To)
	for ; ok && ok2 && pos < b.order.n && b.at(pos).from < r.To; pos++ {
		b.at(pos).marks |= excused
	}
}

// Refused says of bytes that they have not left after all: the link does not take packets of their size. They are lost at once, which
// is no sign of congestion either.
func (s *Sender) Refused(now time.Duration, r Range) {
	now = s.advance(now)
	s.Excuse(r)
	b := &s.board
	inFlight, flight := s.InFlight(), s.flight()
	var f finding
	for pos := range b.order.n {
		if at := b.at(pos); at.state == flying && at.from >= r.From && at.to <= r.To {
			s.lose(pos, &f)
		}
	}
	if f.bytes == 0 {
		return
	}
	s.reno.left = min(s.reno.left, b.flying)
	s.congested(now, &f, inFlight, flight)
	s.frto = frto{} // it asks about what has left
	s.episode.must = s.episode.phase == timeoutRecovery
	s.rearm()
}

// Allowance is how many bytes may leave now: lost ones first. 0: not before an ACK, or the instant that
// Next gives.
func (s *Sender) Allowance(now time.Duration) int64 {
	now = s.advance(now)
	n := s.budget()
	if n <= 0 {
		return 0
	}
	return s.pacer.allow(now, n, s.mss)
}

// budget is what congestion control alone would let leave.
func (s *Sender) budget() int64 {
	n := s.Window() - s.InFlight()
	switch {
	case s.frto.state == frtoNewData:
		n = s.frto.grant
	case s.prr.active:
		n = s.prr.credit
		if s.InFlight() == 0 { // no ACK will come that could raise it
			n = max(n, s.mss)
		}
	}
	if s.episode.must {
		n = max(n, s.mss)
	}
	return n
}
