package engine

// windowFor is how much the peer takes from s beyond what was sent; of no flow in particular where s is nil.
//
// Linux offers a window for as many full segments as its buffer has memory for, and a short segment takes as much. Once what it
// holds out of order takes more than the buffer has, it moves nothing from its subflows any more, not even what is missing: the
// connection stands still for good. So data that may have to wait there for another subflow's counts in full segments here too.
func (c *Conn) windowFor(s *subflow) int64 {
	left := int64(c.peer.edge - c.snd.nxt)
	if c.outruns(s) {
		left -= c.sent.padding
	}
	return left
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
