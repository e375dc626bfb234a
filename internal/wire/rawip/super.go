package rawip

// Whether super-segments get through depends on the host's filters, on its address translation and on the
// device: no look at the configuration can tell. So each flow finds out with its own data: it sends one, and
// only when the peer has acknowledged it, more.

// probeSize is the largest first super-segment, in bytes: when it is lost, little is.
const probeSize = 16 << 10

const (
	maxTimeouts = 2       // in a row, until what had worked is left
	maxFailures = 3       // lost probes, and times that it was left, until a flow gives up
	trusted     = 1 << 20 // so many bytes acknowledged since the probe make up for all failures
)

type superState uint8

const (
	superUntried superState = iota
	superProbing            // one is on its way
	superProven
	superResting // left after timeouts: tried again when the path shows that it is alive
	superGone    // not for this flow
)

// super is what one flow knows of super-segments.
type super struct {
	state      superState
	start, end uint32 // sequence numbers of the probe
	failures   int
	timeouts   int    // since the last progress
	una        uint32 // the newest acknowledgement
	begun      bool   // there was one
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
	switch end := seq + uint32(n); {
	case s.state == superUntried:
		s.state, s.start, s.end = superProbing, seq, end
	case s.state == superProbing && int32(end-s.end) > 0:
		s.end = end // whoever gathers a batch asks once for all of it
	}
}

// acked notes that all before seq has arrived, which counts when it is news, and reports whether that proves the probe. An acknowledgement
// of a probe of which a byte has been declared lost proves nothing: lost has ended that probe.
func (s *super) acked(seq uint32) (proven bool) {
	if s.begun && int32(seq-s.una) <= 0 {
		return false
	}
	s.begun, s.una, s.timeouts = true, seq, 0
	switch {
	case s.state == superProbing && int32(seq-s.end) >= 0:
		s.state = superProven
		return true
	case s.state == superProven && int32(seq-s.end) >= trusted:
		s.failures, s.end = 0, seq
	case s.state == superResting:
		s.state = superUntried
	}
	return false
}

// lost notes that the segment that begins with seq counts as lost, and reports whether the flow gives up.
func (s *super) lost(seq uint32, timeout bool) (gone bool) {
	next := superUntried
	switch s.state {
	case superProbing:
		inside := int32(seq-s.start) >= 0 && int32(seq-s.end) < 0
		if !inside && !timeout {
			return false
		}
	case superProven:
		if timeout {
			s.timeouts++
		}
		if s.timeouts < maxTimeouts {
			return false
		}
		next = superResting
	default:
		return false
	}
	s.failures++
	if s.failures >= maxFailures {
		next = superGone
	}
	s.state = next
	return next == superGone
}
