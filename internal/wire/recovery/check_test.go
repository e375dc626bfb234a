package recovery

import (
	"fmt"
)

// broken says what is wrong inside the scoreboard; "" is nothing.
func (b *scoreboard) broken() string {
	sum := [3]int64{}
	at, lowest := b.una, b.nxt
	fly := map[int32]bool{}
	used := map[int32]bool{}
	for pos := range b.order.n {
		h := b.order.at(pos)
		r := &b.slab[h]
		if used[h] {
			return fmt.Sprintf("record %d stands twice", h)
		}
		used[h] = true
		if r.from != at || r.to <= r.from {
			return fmt.Sprintf("record %d is [%d,%d), expected from %d", pos, r.from, r.to, at)
		}
		at = r.to
		sum[r.state] += r.len()
		switch r.state {
		case flying:
			fly[h] = true
		case lost:
			lowest = min(lowest, r.from)
		case sacked:
			if pos > 0 && b.at(pos-1).state == sacked {
				return fmt.Sprintf("sacked neighbours at %d", pos)
			}
		}
	}
	if at != b.nxt {
		return fmt.Sprintf("records end at %d, nxt is %d", at, b.nxt)
	}
	if sum != [3]int64{b.flying, b.sacked, b.lost} {
		return fmt.Sprintf("counted %v, kept %v", sum, [3]int64{b.flying, b.sacked, b.lost})
	}
	if b.lost > 0 && b.holes > lowest {
		return fmt.Sprintf("holes %d above the lowest lost byte %d", b.holes, lowest)
	}
	return b.brokenLists(fly, used)
}

func (b *scoreboard) brokenLists(fly, used map[int32]bool) string {
	prev, n := none, 0
	for h := b.head; h != none; h = b.slab[h].next {
		r := &b.slab[h]
		if !fly[h] || r.prev != prev {
			return fmt.Sprintf("record %d does not belong into the list by time", h)
		}
		if prev != none && b.slab[prev].place().after(r.place()) {
			return fmt.Sprintf("list by time: %v before %v", b.slab[prev], *r)
		}
		prev = h
		n++
	}
	if n != len(fly) || b.tail != prev {
		return fmt.Sprintf("list by time has %d of %d", n, len(fly))
	}
	free := 0
	for h := b.free; h != none; h = b.slab[h].next {
		if used[h] {
			return fmt.Sprintf("record %d is free and used", h)
		}
		free++
	}
	if free+len(used) != len(b.slab) {
		return fmt.Sprintf("%d free and %d used of %d", free, len(used), len(b.slab))
	}
	return ""
}

// broken says what is wrong with the sender.
func (s *Sender) broken() string {
	if w := s.board.broken(); w != "" {
		return w
	}
	switch {
	case s.InFlight() < 0:
		return "negative in flight"
	case s.board.una > s.board.nxt:
		return "una beyond nxt"
	case s.RTO() <= 0:
		return "no timeout"
	case s.prr.credit < 0:
		return "negative credit"
	case s.board.lost > 0 && s.InFlight() == 0 && s.budget() <= 0:
		return "nothing is in flight, so that no ACK will come, and nothing may leave"
	}
	if at, ok := s.Next(); s.board.una < s.board.nxt && (!ok || at <= 0) {
		return "data is outstanding and no timer runs"
	}
	return ""
}
