package wire

import "github.com/mptcp-go/mptcp/engine"

// maxDataLen is the longest data-level length of a DSS: a 16-bit field.
const maxDataLen = 1<<16 - 1

// txMapping maps n bytes of payload from offset off of the subflow on.
type txMapping struct {
	off    uint64
	dsn    uint64
	n      int
	sum    uint16
	hasSum bool
	fin    bool // a DATA_FIN follows
	frozen bool // it was declared: "A sender MUST NOT change this mapping after it has been declared"
	kind   mappingKind
}

type mappingKind uint8

const (
	mapped   mappingKind = iota
	infinite             // data-level length 0: the last mapping there is
	bare                 // payload behind it
)

func (m *txMapping) end() uint64 { return m.off + uint64(m.n) }

// dataLen is what the option's data-level length says.
func (m *txMapping) dataLen() uint16 {
	switch {
	case m.kind == infinite:
		return 0
	case m.fin:
		return uint16(m.n) + 1
	}
	return uint16(m.n)
}

// longest is how many bytes one mapping takes.
func (m *txMapping) longest() int {
	if m.fin {
		return maxDataLen - 1
	}
	return maxDataLen
}

// maxRun bounds what one entry grows to, so that a run of bytes that never ends is forgotten piece by piece.
const maxRun = 1 << 20

// joins says whether o can go on in the same entry.
func (m *txMapping) joins(o *txMapping) bool {
	switch {
	case m.kind != o.kind || m.kind == infinite || m.n >= maxRun:
		return false
	case m.kind == bare:
		return true
	}
	return m.open() && !o.hasSum && m.dsn+uint64(m.n) == o.dsn
}

// open says whether the mapping can still grow.
func (m *txMapping) open() bool { return m.kind == bare || !m.frozen && !m.fin && !m.hasSum }

// txMappings are the mappings of all payload that the peer's TCP has not acknowledged, in the order of the
// subflow: what is sent again is sent with the mapping that it had. They leave no hole.
//
// Without checksums the engine's cut is of no consequence, and one option covers as many segments as its
// length field counts; a mapping takes its final shape when its first byte leaves.
type txMappings struct {
	ring []txMapping // length a power of two
	head int
	n    int
	end  uint64 // offset of the next byte that is pushed; 0 stands for 1, where a subflow begins
}

func (t *txMappings) at(i int) *txMapping { return &t.ring[(t.head+i)&(len(t.ring)-1)] }

// next is the offset of the next byte that is pushed.
func (t *txMappings) next() uint64 { return max(t.end, 1) }

// push appends the mapping of the next m.Len bytes.
func (t *txMappings) push(m engine.Mapping) {
	x := txMapping{off: t.next(), dsn: m.DSN, n: m.Len, sum: m.Checksum, hasSum: m.HasChecksum, fin: m.DataFIN}
	if m.Infinite {
		x.kind = infinite
		if m.Continued {
			x.kind = bare
		}
	}
	t.end = x.off + uint64(m.Len)
	if t.n > 0 {
		if last := t.at(t.n - 1); last.joins(&x) {
			last.n += x.n
			last.fin = x.fin
			return
		}
	}
	t.insert(t.n, x)
}

// insert puts m before the i-th mapping.
func (t *txMappings) insert(i int, m txMapping) {
	if t.n == len(t.ring) {
		ring := make([]txMapping, max(2, 2*len(t.ring)))
		for i := range t.n {
			ring[i] = *t.at(i)
		}
		t.ring, t.head = ring, 0
	}
	t.n++
	for j := t.n - 1; j > i; j-- {
		*t.at(j) = *t.at(j - 1)
	}
	*t.at(i) = m
}

// find is the index of the mapping that covers off; -1: none does.
func (t *txMappings) find(off uint64) int {
	lo, hi := 0, t.n
	for lo < hi { // the first that ends beyond off
		mid := (lo + hi) / 2
		if t.at(mid).end() > off {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo == t.n || t.at(lo).off > off {
		return -1
	}
	return lo
}

// limit is how many of the n bytes from off on lie in one mapping, or would, if the bytes behind all others followed
// on them. size is the payload of a full segment:
// a mapping that is not declared yet will end where one does.
func (t *txMappings) limit(off uint64, n, size int) int {
	i := t.find(off)
	if i < 0 {
		return n
	}
	m := t.at(i)
	grows := i == t.n-1 && m.open() && m.n < maxDataLen
	if !grows {
		n = int(min(uint64(n), m.end()-off))
	}
	if !grows && !m.frozen && m.kind == mapped {
		n = min(n, m.cut(size))
	}
	return n
}

// cut is how many bytes the mapping covers once it is declared, the payload of a full segment being size.
func (m *txMapping) cut(size int) int {
	most := m.longest()
	if m.n <= most {
		return m.n
	}
	if size > 0 && size < most {
		most -= most % size
	}
	return most
}

// declare is the mapping that goes with n bytes from off on, a full segment having size. From now on it
// stays as it is.
func (t *txMappings) declare(off uint64, size int) *txMapping {
	i := t.find(off)
	if i < 0 {
		return nil
	}
	m := t.at(i)
	if m.frozen || m.kind == bare {
		return m
	}
	m.frozen = true
	if cut := m.cut(size); m.kind == mapped && cut < m.n {
		rest := *m
		rest.off, rest.dsn, rest.n, rest.frozen = m.off+uint64(cut), m.dsn+uint64(cut), m.n-cut, false
		m.n, m.fin = cut, false
		t.insert(i+1, rest)
		m = t.at(i) // the ring may have moved
	}
	return m
}

// ack forgets the mappings that lie below off.
func (t *txMappings) ack(off uint64) {
	for t.n > 0 && t.at(0).end() <= off {
		t.head = (t.head + 1) & (len(t.ring) - 1)
		t.n--
	}
}

// trim gives the ring back when it is empty, for who is idle: a fast path empties it all the time.
func (t *txMappings) trim() {
	if t.n == 0 {
		t.drop()
	}
}

// drop forgets all: the subflow is over.
func (t *txMappings) drop() { t.ring, t.head, t.n = nil, 0, 0 }
