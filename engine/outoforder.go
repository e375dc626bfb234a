package engine

import (
	"sort"

	"github.com/mptcp-go/mptcp/internal/deque"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/seqnum"
)

// Bounds of the out-of-order store. It takes maxOutOfOrder entries, and more where the receive buffer holds more
// pieces of shortPiece bytes, half of what a TCP segment carries: a peer that goes by the window loses none, even
// where a mapping ends in the middle of a segment now and then. Short pieces are packed (refqueue.go) when they
// waste memory; those that still do, because a peer picks its holes so that each keeps a packed chunk
// alive, are dropped beyond dropSlack and dropRatio, both well above where packing begins.
const (
	maxOutOfOrder = 4096
	shortPiece    = 730
	dropSlack     = 256 << 10
	dropRatio     = 4

	// Beyond crowded entries, pieces of up to crumbSize bytes are packed whether they waste memory or
	// not, so that a long run behind a hole takes few entries, however short the reads it came in.
	crowded   = maxOutOfOrder / 4
	crumbSize = 4 << 10
)

// outOfOrder holds the pieces behind a hole: sorted by data sequence number, not overlapping.
type outOfOrder struct {
	entries deque.Deque[piece]
	most    int // entries; 0: maxOutOfOrder
	bytes   int
	pinned  int64               // bytes of chunks
	chunks  map[*pool.Chunk]int // how many entries lie in each: paths take turns, so that neighbours seldom share one
	pack    packer
	packEnd uint64 // where the packer's latest piece ends in sequence space
}

// piece is n bytes from dsn on. Where nobody will read them, p is empty.
type piece struct {
	dsn uint64
	n   int
	p   pool.Ref
}

func (e *piece) end() uint64 { return e.dsn + uint64(e.n) }

// insert keeps those bytes of p that the store lacks, with references of their own. It returns how
// many it had, and how many it dropped at a bound.
func (s *outOfOrder) insert(dsn uint64, p pool.Ref, b *budget, discard bool) (dup, dropped int) {
	i := s.search(dsn)
	for p.Len() > 0 {
		n := int64(p.Len())
		if i < s.entries.Len() {
			e := s.entries.At(i)
			if seqnum.Diff(e.dsn, dsn) <= 0 {
				n = min(n, seqnum.Diff(e.end(), dsn))
				dup += int(n)
				p.B, dsn = p.B[n:], dsn+uint64(n)
				i++
				continue
			}
			n = min(n, seqnum.Diff(e.dsn, dsn))
		}
		e := piece{dsn: dsn, n: int(n), p: p.Slice(0, int(n))}
		if discard {
			e.p = pool.Ref{}
		}
		switch {
		case s.extend(i, e):
		case s.keep(i, e, b):
			i++
		default:
			dropped += int(n)
		}
		p.B, dsn = p.B[n:], dsn+uint64(n)
	}
	return dup, dropped
}

// search is the index of the first entry that ends beyond dsn. Most pieces go to the very end.
func (s *outOfOrder) search(dsn uint64) int {
	n := s.entries.Len()
	if n == 0 || seqnum.Diff(dsn, s.entries.At(n-1).end()) >= 0 {
		return n
	}
	return sort.Search(n, func(i int) bool { return seqnum.Diff(s.entries.At(i).end(), dsn) > 0 })
}

// extend lengthens the entry before index i by e where that costs no memory: in discarded data, and
// behind the packer's latest piece.
func (s *outOfOrder) extend(i int, e piece) bool {
	if i == 0 {
		return false
	}
	prev := s.entries.At(i - 1)
	if prev.end() != e.dsn {
		return false
	}
	switch {
	case prev.p.Len() == 0 && e.p.Len() == 0: // thrown away
	case prev.p.C != nil && prev.p.C == s.pack.c && s.packEnd == e.dsn && s.pack.fits(e.n) &&
		(packRatio*int64(e.n) < chunkCost(e.p) || s.crumb(e.p)):
		prev.p = s.pack.extend(prev.p, e.p.B)
		s.packEnd += uint64(e.n)
	default:
		return false
	}
	prev.n += e.n
	s.bytes += e.n
	return true
}

// crumb says whether p is to be packed for the sake of the number of entries.
func (s *outOfOrder) crumb(p pool.Ref) bool {
	return s.entries.Len() >= crowded && p.Len() > 0 && p.Len() <= crumbSize
}

// keep puts e before index i, with a reference of its own, unless a bound forbids it.
func (s *outOfOrder) keep(i int, e piece, b *budget) bool {
	if s.entries.Len() >= max(maxOutOfOrder, s.most) {
		return false
	}
	payload := s.bytes + e.n
	packed := s.crumb(e.p) || wasteful(e.p, s.pinned+s.cost(e.p), payload)
	if packed {
		e.p = s.pack.add(e.p.B)
	} else {
		e.p.Retain()
	}
	cost := s.cost(e.p)
	if packed && s.pinned+cost > dropSlack+dropRatio*int64(payload) || !b.grab(cost) {
		e.p.Release()
		if packed {
			s.pack.undo(e.n)
		}
		return false
	}
	if packed {
		s.packEnd = e.end()
	}
	s.pinned += cost
	s.bytes = payload
	s.entries.Insert(i, e)
	if e.p.C != nil {
		if s.chunks == nil {
			s.chunks = make(map[*pool.Chunk]int)
		}
		s.chunks[e.p.C]++
	}
	return true
}

// cost is by how much pinned grows with p.
func (s *outOfOrder) cost(p pool.Ref) int64 {
	if s.chunks[p.C] > 0 {
		return 0
	}
	return chunkCost(p)
}

// pop takes the first entry off, with its reference.
func (s *outOfOrder) pop() piece {
	e := s.entries.Pop()
	s.bytes -= e.n
	if n := s.chunks[e.p.C]; n > 1 {
		s.chunks[e.p.C] = n - 1
	} else if n == 1 {
		delete(s.chunks, e.p.C)
		s.pinned -= chunkCost(e.p)
	}
	if s.entries.Len() == 0 {
		s.pack.drop()
	}
	return e
}

// forget releases the bytes and remembers only which they were.
func (s *outOfOrder) forget() {
	for i := range s.entries.Len() {
		e := s.entries.At(i)
		e.p.Release()
		e.p = pool.Ref{}
	}
	s.pack.drop()
	s.pinned, s.chunks = 0, nil
}

// trim gives back what an empty store keeps for speed.
func (s *outOfOrder) trim() {
	if s.entries.Len() == 0 {
		s.chunks = nil
	}
	s.entries.Trim()
}
