package recovery

// slowSYN starts slowly on a path that has lost the handshake more than once: "it is RECOMMENDED that
// implementations refrain from resetting the initial window to 1 segment, unless there have been more
// than one SYN or SYN/ACK retransmissions" (RFC 6928 section 2).
type slowSYN struct {
	losses int
	limit  int64 // bytes; 0: none
	mss    int64
}

// LostSYN tells how often a SYN or SYN/ACK has timed out that was sent without this sender.
func (s *Sender) LostSYN(n int) {
	for range n {
		s.timer.sinceSYN = true
		s.start.lost()
	}
	s.start.mss = s.mss
}

// lost notes a timeout of SYN. The controller hears nothing of it: it would set its threshold for a
// window that was never used.
func (c *slowSYN) lost() {
	c.losses++
	if c.losses > 1 {
		c.limit = 1
	}
}

// cap bounds a window.
func (c *slowSYN) cap(w int64) int64 {
	if c.limit > 0 {
		return min(w, max(c.limit, c.mss))
	}
	return w
}

// acked lets the limit grow as slow start would, until the controller's window is what limits.
func (c *slowSYN) acked(bytes, window, mss int64) {
	if c.limit == 0 {
		return
	}
	c.mss = mss
	c.limit = max(c.limit, mss) + min(max(bytes, 0), mss)
	if c.limit >= window {
		c.limit = 0
	}
}
