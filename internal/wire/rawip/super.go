package rawip

// Whether super-segments get through depends on the host's filters, on its address translation and on the
// device: no look at the configuration can tell. So each flow finds out with its own data: it sends one, and
// only when the peer has acknowledged it, more.

// probeSize is the largest first super-segment, in bytes: when it is lost, little is.
const probeSize = 16 << 10

const (
	maxProbes   = 3 // lost ones, until a flow gives up
	maxTimeouts = 2 // in a row, until it gives up what had worked
)

type superState uint8

const (
	superUntried superState = iota
	superProbing            // one is on its way
	superProven
	superGone // not for this flow
)

// super is what one flow knows of super-segments.
type super struct {
	state      superState
	start, end uint32 // sequence numbers of the probe
	failures   int    // probes that were lost
	timeouts   int    // since the last progress
}

// allowed is how many bytes of payload the next super-segment may have.
func (s *super) allowed(most int) int {
	switch s.state {
	case superUntried:
		return min(probeSize, most)
	case superProven:
		return most
	}
	return 0
}

// sent notes that a super-segment has left.
func (s *super) sent(seq uint32, n int) {
	if s.state == superUntried {
		s.state, s.start, s.end = superProbing, seq, seq+uint32(n)
	}
}

// acked notes that all before seq has arrived, and reports whether that proves the probe. An acknowledgement
// of a probe of which a byte has been declared lost proves nothing: lost has ended that probe.
func (s *super) acked(seq uint32) (proven bool) {
	s.timeouts = 0
	if s.state == superProbing && int32(seq-s.end) >= 0 {
		s.state = superProven
		return true
	}
	return false
}

// lost notes that the segment that begins with seq counts as lost, and reports whether the flow gives up.
func (s *super) lost(seq uint32, timeout bool) (gone bool) {
	switch s.state {
	case superProbing:
		inside := int32(seq-s.start) >= 0 && int32(seq-s.end) < 0
		if !inside && !timeout {
			return false
		}
		s.failures++
		s.state = superUntried
		gone = s.failures >= maxProbes
	case superProven:
		if timeout {
			s.timeouts++
		}
		gone = s.timeouts >= maxTimeouts
	}
	if gone {
		s.state = superGone
	}
	return gone
}
