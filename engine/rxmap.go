package engine

import (
	"math"
	"sort"

	"github.com/mptcp-go/mptcp/internal/deque"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

const (
	// maxMappings bounds the mappings that one subflow may declare ahead of its bytes. A segment of
	// 1,460 bytes has one each: 6 MiB, the default receive buffer, in flight on one subflow.
	maxMappings = 4096
	// maxUnmapped bounds the bytes that are held for a mapping that has not come: beyond it the
	// subflow is reset. RFC 8684 section 3.3.1 allows a receive window of data; its smallest useful
	// size does, since a mapping travels with its bytes or just before them.
	maxUnmapped = 64 << 10
	// maxAhead is how far a mapping may reach beyond the bytes: TCP's largest window (RFC 7323).
	maxAhead = 1 << 30
)

// rxOutcome is what rxMappings.next found.
type rxOutcome uint8

const (
	rxNone    rxOutcome = iota // nothing to deliver now
	rxPiece                    // a piece to deliver
	rxCorrupt                  // the DSS checksum of the mapping at dsn is wrong (RFC 8684 section 3.7)
)

// rxMappings turns the byte stream of one subflow into pieces of the data stream: add takes the
// mappings, bytes the bytes, in subflow order, next gives the pieces. Mappings may come before their
// bytes or after them, once or with every segment that they cover.
//
// With checksums, nothing of a mapping is delivered before its checksum is known to be right.
type rxMappings struct {
	checksum bool
	// exact refuses any mapping that does not begin where the one before it ended: for carriers in
	// which nothing gets lost or repeated.
	exact bool

	pos  uint64   // offset in the subflow's stream of the next byte to give out; SSN 1 is offset 0
	held refQueue // the bytes from pos on
	maps deque.Deque[rxMapping]

	cleared  bool // the checksum of the first mapping was right
	corrupt  bool // ... or wrong
	infinite bool // the infinite mapping (data-level length 0) applies from pos on
	delta    uint64

	hasFin bool
	finDSN uint64
}

// rxMapping maps n bytes from offset off of the subflow's stream to data sequence number dsn.
type rxMapping struct {
	off, dsn uint64
	n        int
	sum      uint16 // what the bytes must sum up to, with checksums
	fin      bool   // a DATA_FIN follows
}

func (m *rxMapping) end() uint64   { return m.off + uint64(m.n) }
func (m *rxMapping) delta() uint64 { return m.dsn - m.off }

func (r *rxMappings) init(checksum bool) { *r = rxMappings{checksum: checksum} }

func badMapping(detail string) error {
	return &ProtocolError{Section: "RFC 8684 section 3.3.1", Detail: detail}
}

// errSSN says that a mapping's subflow sequence number is far from any that the subflow's bytes can have.
var errSSN = badMapping("mapping before the subflow's first byte, or far beyond its bytes")

// add takes the mapping of a DSS, its data sequence number promoted to 64 bits. An error is a
// violation by the peer: the subflow is to be reset.
func (r *rxMappings) add(dsn uint64, d *options.DSS) error {
	switch {
	case r.infinite && d.DataFIN && d.DataLen == 1: // after MP_FAIL, when no data follows that the peer's infinite mapping would go with
		return r.addFinOnly(dsn, d)
	case r.infinite && d.DataFIN:
		return r.noteFin(dsn + uint64(d.DataLen-1))
	case r.infinite:
		// "Once MPTCP falls back to regular TCP, it MUST NOT revert to MPTCP later in the connection"
		// (section 3.7); a late copy of an older mapping says nothing new.
		return nil
	case d.DataLen == 0:
		return r.addInfinite(dsn, d)
	case d.HasChecksum != r.checksum:
		return &ProtocolError{Section: "RFC 8684 section 3.3",
			Detail: "DSS checksum present without being negotiated, or the reverse"}
	}
	n := int(d.DataLen)
	if d.DataFIN {
		n--
	}
	if n == 0 {
		return r.addFinOnly(dsn, d)
	}
	off, ok := r.offset(d.SSN)
	switch {
	case !ok || int64(off-r.pos) > maxAhead:
		return errSSN
	case r.exact && off != r.end():
		return badMapping("mapping does not begin at the subflow's next byte")
	}
	m := rxMapping{off: off, dsn: dsn, n: n, fin: d.DataFIN}
	if r.checksum {
		m.sum = payloadSum(dsn, d.SSN, d.DataLen, d.Checksum)
		return r.addChecked(m)
	}
	return r.addPlain(m)
}

// offset is the place in the subflow's stream of a relative subflow sequence number: of all that have
// these 32 bits, the one nearest to pos.
func (r *rxMappings) offset(ssn uint32) (uint64, bool) {
	d := int64(int32(ssn - uint32(r.pos+1)))
	return r.pos + uint64(d), d >= 0 || uint64(-d) <= r.pos
}

// end is where the known mappings end.
func (r *rxMappings) end() uint64 {
	if n := r.maps.Len(); n > 0 {
		return r.maps.At(n - 1).end()
	}
	return r.pos
}

// declared is the data sequence number at which the known mappings end.
func (r *rxMappings) declared() uint64 {
	m := r.maps.At(r.maps.Len() - 1)
	return m.dsn + uint64(m.n)
}

// search is the index of the first mapping that ends beyond off.
func (r *rxMappings) search(off uint64) int {
	if off >= r.end() {
		return r.maps.Len()
	}
	return sort.Search(r.maps.Len(), func(i int) bool { return r.maps.At(i).end() > off })
}

// addPlain stores what is new in m. Without checksums the cut does not matter: a mapping may overlap
// others as long as it says the same as they do, and neighbours that go on seamlessly become one.
func (r *rxMappings) addPlain(m rxMapping) error {
	if m.fin {
		if err := r.noteFin(m.dsn + uint64(m.n)); err != nil {
			return err
		}
	}
	off, end := max(m.off, r.pos), m.end()
	for i := r.search(off); off < end; i++ {
		stop := end
		if i < r.maps.Len() {
			known := r.maps.At(i)
			if known.off <= off {
				if known.delta() != m.delta() {
					return badMapping("mapping contradicts an earlier one")
				}
				off = known.end()
				continue
			}
			stop = min(end, known.off)
		}
		if i > 0 && r.maps.At(i-1).end() == off && r.maps.At(i-1).delta() == m.delta() {
			i--
			r.maps.At(i).n += int(stop - off)
		} else if r.maps.Len() >= maxMappings {
			return badMapping("too many mappings ahead of their bytes")
		} else {
			r.maps.Insert(i, rxMapping{off: off, dsn: off + m.delta(), n: int(stop - off)})
		}
		off = stop
	}
	return nil
}

// addChecked stores m with its checksum, which holds for exactly these bytes: any other cut of the
// same bytes is a contradiction, an identical repetition is none.
func (r *rxMappings) addChecked(m rxMapping) error {
	i := r.search(m.off)
	if i < r.maps.Len() && r.maps.At(i).off < m.end() {
		known := r.maps.At(i)
		if known.off != m.off || known.dsn != m.dsn || known.n != m.n || known.sum != m.sum {
			return badMapping("mapping contradicts an earlier one")
		}
		known.fin = known.fin || m.fin
		if i == 0 && r.cleared && m.fin {
			return r.noteFin(m.dsn + uint64(m.n))
		}
		return nil
	}
	switch {
	case m.end() <= r.pos:
		return nil // repeated after its bytes were delivered
	case m.off < r.pos:
		return badMapping("mapping covers bytes that were delivered under another checksum")
	case r.maps.Len() >= maxMappings:
		return badMapping("too many mappings ahead of their bytes")
	}
	r.maps.Insert(i, m)
	return nil
}

// addFinOnly takes a DATA_FIN without data: "the DSS MUST have a subflow sequence number of 0, a
// Data-Level Length of 1 [...]. The checksum in this case will only cover the pseudo-header" (section
// 3.3.3).
func (r *rxMappings) addFinOnly(dsn uint64, d *options.DSS) error {
	if r.checksum && payloadSum(dsn, d.SSN, d.DataLen, d.Checksum) != 0 {
		return &ProtocolError{Section: "RFC 8684 section 3.3.3", Detail: "wrong checksum on a DATA_FIN without data"}
	}
	return r.noteFin(dsn)
}

func (r *rxMappings) noteFin(dsn uint64) error {
	if r.hasFin && r.finDSN != dsn {
		return &ProtocolError{Section: "RFC 8684 section 3.3.3", Detail: "DATA_FIN moved"}
	}
	r.hasFin, r.finDSN = true, dsn
	return nil
}

// fin is the data sequence number of the DATA_FIN, once one has come that can be believed.
func (r *rxMappings) fin() (dsn uint64, ok bool) { return r.finDSN, r.hasFin }

// addInfinite takes an infinite mapping, which RFC 8684 section 3.7 lets act "retroactively, referring
// to the start of the subflow sequence number of the most recent segment that was known to be
// delivered intact". It may be sent only when all outstanding data is contiguous, so it must agree
// with every mapping that still has bytes to come; then it says the same for the bytes between them
// and before it (Linux names the segment that carries it, not an earlier one).
func (r *rxMappings) addInfinite(dsn uint64, d *options.DSS) error {
	if r.exact {
		return badMapping("infinite mapping on a carrier without fallback")
	}
	off := r.pos + uint64(int64(int32(d.SSN-uint32(r.pos+1))))
	delta := dsn - off
	for i := range r.maps.Len() {
		if r.maps.At(i).delta() != delta {
			return badMapping("infinite mapping contradicts an earlier one")
		}
	}
	r.setInfinite(r.pos + delta)
	return nil
}

// setInfinite maps all bytes that are held and all that come, without an end and without a checksum,
// from dsn on.
func (r *rxMappings) setInfinite(dsn uint64) {
	r.infinite, r.delta = true, dsn-r.pos
	r.corrupt, r.cleared = false, false
	r.maps.Reset()
}

// bytes takes over the next bytes of the subflow.
func (r *rxMappings) bytes(p pool.Ref) { r.held.push(p) }

// next gives the next piece of data out, with its reference and its data sequence number. It is called
// until it has no piece. After rxCorrupt nothing more comes before setInfinite or drop.
func (r *rxMappings) next() (dsn uint64, p pool.Ref, o rxOutcome) {
	switch {
	case r.corrupt:
		return r.maps.At(0).dsn, p, rxCorrupt
	case r.held.bytes == 0:
		return 0, p, rxNone
	case r.infinite:
		p, dsn = r.held.pop(), r.pos+r.delta
		r.pos += uint64(p.Len())
		return dsn, p, rxPiece
	case r.maps.Len() == 0 || r.maps.At(0).off > r.pos:
		return 0, p, rxNone
	}
	m := r.maps.At(0)
	if r.checksum && !r.cleared {
		if r.held.bytes < m.n {
			return 0, p, rxNone
		}
		// A DATA_FIN that contradicts an earlier one is no more to be trusted than bytes that changed.
		if r.sumHeld(m.n) != m.sum || m.fin && r.noteFin(m.dsn+uint64(m.n)) != nil {
			r.corrupt = true
			return m.dsn, p, rxCorrupt
		}
		r.cleared = true
	}
	dsn = m.dsn + (r.pos - m.off)
	p = r.held.take(int(min(m.end()-r.pos, math.MaxInt32)))
	r.advance(p.Len())
	return dsn, p, rxPiece
}

// sumHeld is the sum of the first n bytes held: "the checksum for a DSN_MAP can be constructed by
// simply adding together the checksums for the data of each constituent TCP segment" (section 3.3.1).
func (r *rxMappings) sumHeld(n int) uint16 {
	var s onesSum
	for i := 0; n > 0; i++ {
		b := r.held.refs.At(i).B
		b = b[:min(n, len(b))]
		s.add(b)
		n -= len(b)
	}
	return sumKey(s.fold())
}

// short says whether a checksum waits for the rest of its mapping, and for which.
func (r *rxMappings) short() (dsn uint64, ok bool) {
	if !r.checksum || r.infinite || r.corrupt || r.cleared || r.held.bytes == 0 || r.maps.Len() == 0 {
		return 0, false
	}
	m := r.maps.At(0)
	return m.dsn, m.off == r.pos && r.held.bytes < m.n
}

// advance passes n bytes of the first mapping.
func (r *rxMappings) advance(n int) {
	r.pos += uint64(n)
	if m := r.maps.At(0); m.end() == r.pos {
		r.maps.Pop()
		r.cleared = false
	}
}

// unmapped is how many bytes are held because no mapping, or none to be trusted, covers the first of
// them. Beyond maxUnmapped the subflow is to be reset: "If a mapping for that subflow-level sequence
// space does not arrive within a receive window of data, that subflow SHOULD be treated as broken,
// closed with a RST" (section 3.3.1).
func (r *rxMappings) unmapped() int {
	if r.infinite || !r.corrupt && r.maps.Len() > 0 && r.maps.At(0).off <= r.pos {
		return 0
	}
	return r.held.bytes
}

// current is the data sequence number of the next byte, where a mapping covers it.
func (r *rxMappings) current() (dsn uint64, ok bool) {
	switch {
	case r.infinite:
		return r.pos + r.delta, true
	case r.maps.Len() == 0 || r.maps.At(0).off > r.pos:
		return 0, false
	}
	return r.pos + r.maps.At(0).delta(), true
}

// directRoom is how many of the next bytes may go past this type, straight to where current says: none
// while bytes are held before them, or while a checksum has to be looked at first.
func (r *rxMappings) directRoom() int {
	switch {
	case r.held.bytes > 0 || r.corrupt:
		return 0
	case r.infinite:
		return math.MaxInt32
	case r.checksum || r.maps.Len() == 0 || r.maps.At(0).off > r.pos:
		return 0
	}
	return int(min(r.maps.At(0).end()-r.pos, math.MaxInt32))
}

// directNext says whether the bytes of a mapping that comes next may go that way.
func (r *rxMappings) directNext() bool {
	return r.held.bytes == 0 && !r.corrupt && !r.checksum && r.maps.Len() == 0
}

// direct says that n bytes, at most directRoom, went there.
func (r *rxMappings) direct(n int) {
	if n > r.directRoom() {
		panic("engine: more direct bytes than mapped")
	}
	if r.infinite {
		r.pos += uint64(n)
		return
	}
	r.advance(n)
}

// drop releases what is held.
func (r *rxMappings) drop() {
	r.held.drop()
	r.maps.Reset()
	r.corrupt, r.cleared = false, false
}
