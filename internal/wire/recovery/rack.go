package recovery

import "time"

// dupThresh is DupThresh of RFC 6675.
const dupThresh = 3

// rackPersist is for how many loss recoveries a widened reordering window stays (RFC 8985 section 6.2).
const rackPersist = 16

// granularity is added to timers that an ACK would have made superfluous, so that it gets the chance to:
// an ordinary timer and the batches of the receive path are no finer.
const granularity = time.Millisecond

// rack is the state of RFC 8985 section 5.3.
type rack struct {
	sentAt, rtt  time.Duration // RACK.xmit_ts, RACK.rtt
	newest       place         // RACK.segment
	any          bool          // something was delivered
	reordering   bool          // RACK.reordering_seen
	dsackRound   uint64        // RACK.dsack_round: SND.NXT when the last round began in which a DSACK came
	inDSACKRound bool
	multiplier   int64         // RACK.reo_wnd_mult
	persist      int           // RACK.reo_wnd_persist
	window       time.Duration // RACK.reo_wnd
	deadline     time.Duration // of the reordering timer
	waiting      bool          // it runs
}

func (k *rack) init() { k.multiplier = 1 }

// delivered is RACK_update of section 6.2 for bytes that were sent at an instant, in that place.
func (k *rack) delivered(sentAt time.Duration, p place) {
	if !k.any || p.after(k.newest) {
		k.sentAt, k.newest, k.any = sentAt, p, true
	}
}

// duplicate widens the window once for each round trip in which a DSACK came.
func (k *rack) duplicate(una, nxt uint64) {
	if k.inDSACKRound && una < k.dsackRound {
		return
	}
	k.dsackRound, k.inDSACKRound = nxt, true
	k.multiplier++
	k.persist = rackPersist
}

// recovered counts recoveries without a DSACK down.
func (k *rack) recovered() {
	if k.persist > 0 {
		k.persist--
	}
	if k.persist == 0 {
		k.multiplier = 1
	}
}

// reorderingWindow is RACK_update_reo_wnd of section 6.2, step 4.
func (s *Sender) reorderingWindow() time.Duration {
	k := &s.rack
	if !k.reordering && (s.Recovering() || s.board.sacked > (dupThresh-1)*s.mss) {
		return 0
	}
	return min(time.Duration(k.multiplier)*s.rtt.min()/4, s.rtt.srtt)
}

// detect is RACK_detect_loss of section 6.2, step 5. The timer runs to the first instant at which
// something is lost, not to the last one: what is lost is sent again as soon as it is known.
func (s *Sender) detect(now time.Duration, f *finding) {
	k := &s.rack
	k.waiting = false
	if !s.cfg.SACK || !k.any {
		return
	}
	k.window = s.reorderingWindow()
	b := &s.board
	for b.head != none {
		r := &b.slab[b.head]
		if !k.newest.after(r.place()) {
			return
		}
		if expires := r.sentAt + k.rtt + k.window; expires > now {
			k.deadline, k.waiting = expires, true
			return
		}
		s.lose(b.find(r.from), f)
	}
}

// finding is what one look at the scoreboard found lost.
type finding struct {
	bytes  int64         // all that is newly lost
	guilty int64         // of them, those that speak of congestion
	sentAt time.Duration // of the newest of those
}

// lose marks the record at pos as lost.
func (s *Sender) lose(pos int, f *finding) {
	r := s.board.at(pos)
	f.bytes += r.len()
	if !r.has(excused) {
		f.guilty += r.len()
		f.sentAt = max(f.sentAt, r.sentAt)
	}
	r.marks &^= excused
	s.board.set(pos, lost)
}
