package engine

import "time"

// maxSegments bounds the mappings that wait for their DATA_ACK, whatever their size. At the bound
// nothing new is mapped: small writes then pile up in the send buffer and leave as larger mappings.
const maxSegments = 4096

// segment is a mapping that has not been DATA_ACKed.
type segment struct {
	dsn      uint64
	n        int
	padding  int           // what its last TCP segment lacks of a full one
	sentAt   time.Duration // when it was last given to a flow
	carriers uint32        // slots of the flows that carry a copy and are not closed
	on       uint32        // slot of the flow that took it last
	end      uint32        // relative subflow sequence number behind it there
	arrived  bool          // there, before that flow went out of use (credit)
	lost     bool          // no flow that works carries it: it is sent again (RFC 8684 section 3.3.6)
	overdue  bool          // its DATA_ACK is: it is lost, and its carriers may take it once more
}

// sentQueue is the ring of segments in order of data sequence number. They never overlap and leave
// no hole.
type sentQueue struct {
	ring []segment // length a power of two
	head int
	n    int
	lost int // segments with lost set
	// padding is that of all segments.
	padding int64
	// suspect is behind the newest segment that was sent again although it had arrived: a DATA_ACK that ends there says
	// that nothing has.
	suspect uint64
	hint    int // no segment before this one (counted from head) is lost
}

func (q *sentQueue) at(i int) *segment { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

func (q *sentQueue) full() bool { return q.n >= maxSegments }

func (q *sentQueue) push(s segment) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.n++
	q.padding += int64(s.padding)
	*q.at(q.n - 1) = s
}

func (q *sentQueue) grow() {
	ring := make([]segment, max(8, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

// ack removes what lies below dsn. It calls off for every run of bytes that no longer is outstanding.
func (q *sentQueue) ack(dsn uint64, off func(s *segment, bytes int)) {
	for q.n > 0 {
		s := q.at(0)
		done := int64(dsn - s.dsn)
		if done <= 0 {
			return
		}
		if int(done) < s.n {
			off(s, int(done))
			s.dsn = dsn
			s.n -= int(done)
			return
		}
		off(s, s.n)
		if s.lost {
			q.lost--
		}
		q.padding -= int64(s.padding)
		q.head = (q.head + 1) & (len(q.ring) - 1)
		q.n--
		q.hint = max(0, q.hint-1)
	}
}

// nextLost returns the first segment that is to be sent again.
func (q *sentQueue) nextLost() *segment {
	if q.lost == 0 {
		return nil
	}
	for ; q.hint < q.n; q.hint++ {
		if s := q.at(q.hint); s.lost {
			return s
		}
	}
	return nil
}

func (q *sentQueue) setLost(i int, lost bool) {
	s := q.at(i)
	if s.lost == lost {
		return
	}
	s.lost = lost
	if lost {
		q.lost++
		q.hint = min(q.hint, i)
	} else {
		q.lost--
	}
}

// reassess marks as lost what none of the flows in live carries, and takes back what one does.
func (q *sentQueue) reassess(live uint32) {
	for i := range q.n {
		s := q.at(i)
		q.setLost(i, s.overdue || s.carriers&live == 0 && !s.arrived)
	}
}

// credit notes what lies below end, a relative subflow sequence number, on the flow with this slot, which goes out of use:
// it has arrived there. But what is missing in front of all others is missing, whatever was acknowledged.
func (q *sentQueue) credit(slot, end uint32) {
	for i := range q.n {
		switch s := q.at(i); {
		case s.on != slot || int32(end-s.end) < 0:
		case i == 0:
			q.suspect = s.dsn + uint64(s.n)
		default:
			s.arrived = true
		}
	}
}

// doubt sends the first segment again though it has arrived, as was said.
func (q *sentQueue) doubt() {
	if s := q.at(0); s.arrived {
		s.arrived = false
		q.suspect = s.dsn + uint64(s.n)
	}
}

// refuted says whether the peer lacks what has arrived, as was said: its DATA_ACK has ended at una, in front of that.
func (q *sentQueue) refuted(una uint64) bool { return q.n > 0 && q.at(0).arrived && una == q.suspect }

// distrust takes all credit back.
func (q *sentQueue) distrust() {
	for i := range q.n {
		q.at(i).arrived = false
	}
}

// forget drops a closed flow's slot from every segment, so that the slot can be used again.
func (q *sentQueue) forget(slot uint32) {
	for i := range q.n {
		s := q.at(i)
		s.carriers &^= slot
		if s.on == slot {
			s.on = 0
		}
	}
}

// drop forgets everything: the connection is over.
func (q *sentQueue) drop() { *q = sentQueue{} }
