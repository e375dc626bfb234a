package engine

// windowFor is how much the peer takes from s beyond what was sent; of no flow in particular where s is nil.
//
// Linux offers a window for as many full segments as its buffer has memory for, and a short segment takes as much. Once what it
// holds out of order takes more than the buffer has, it moves nothing from its subflows any more, not even what is missing: the
// connection stands still for good. So data that may have to wait there for another subflow's counts in full segments here too,
// a rest of the window that is less than one is no room, and some stays free: Linux guesses what memory a segment takes by those
// that it has seen. A standstill was met where 57 of them took 256 bytes more than its 131,072.
func (c *Conn) windowFor(s *subflow) int64 {
	left := int64(c.peer.edge - c.snd.nxt)
	if !c.outruns(s) {
		return left
	}
	if full := int64(c.fullSegment(s)); full > 0 {
		left -= c.sent.padding + int64(c.peer.edge-c.snd.una)/spareWindow
		left -= max(0, left) % full
	}
	return left
}

// spareWindow is the part of the peer's window, one in so many, that data which may have to wait there leaves free.
const spareWindow = 16

// fullSegment is the payload of a full segment of s; the largest there is where s is nil. 0: none is known.
func (c *Conn) fullSegment(s *subflow) (full int) {
	if s != nil {
		return s.stats.Segment
	}
	for _, x := range c.flows {
		full = max(full, x.stats.Segment)
	}
	return full
}

// outruns says whether what s carries next may arrive before what was sent earlier. What is lost goes before it anyway.
func (c *Conn) outruns(s *subflow) bool {
	for _, x := range c.flows {
		if x != s && x.tx.outstanding > 0 {
			return true
		}
	}
	return false
}
