package tcp

import (
	"sort"

	"github.com/mptcp-go/mptcp/internal/deque"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// smallWrite is what is copied behind the bytes before it rather than kept where it lies: a segment's
// payload may lie in packet.MaxPieces pieces only.
const smallWrite = 1 << 10

// sendQueue holds the payload from SND.UNA on: what was sent and what waits.
type sendQueue struct {
	chunks deque.Deque[piece]
	grave  []pool.Ref // acknowledged, but perhaps still being written out: released by Sent
	lent   bool       // Poll has handed out pieces since the last Sent
	last   byte       // the newest that was acknowledged
}

// add appends p at offset off, and takes over its reference.
func (q *sendQueue) add(off uint64, p pool.Ref) {
	if len(p.B) == 0 {
		p.Release()
		return
	}
	if len(p.B) > smallWrite {
		q.chunks.Push(piece{off: off, ref: p})
		return
	}
	if q.chunks.Len() > 0 {
		if last := q.chunks.Last(); last.own {
			b, n := last.ref.C.Bytes(), len(last.ref.B)
			if n+len(p.B) <= len(b) {
				copy(b[n:], p.B)
				last.ref.B = b[:n+len(p.B)]
				p.Release()
				return
			}
		}
	}
	q.chunks.Push(piece{off: off, ref: pool.Copy(p.B), own: true})
	p.Release()
}

// index is the number of the chunk that holds off.
func (q *sendQueue) index(off uint64) int {
	return sort.Search(q.chunks.Len(), func(i int) bool { return q.chunks.At(i).end() > off })
}

// view puts up to n bytes from off on into out, as many as fit into its pieces, and says how many.
func (q *sendQueue) view(out *packet.Segment, off uint64, n int) int {
	done := 0
	for i := q.index(off); done < n && i < q.chunks.Len(); i++ {
		p := q.chunks.At(i)
		b := p.ref.B[off+uint64(done)-p.off:]
		b = b[:min(len(b), n-done)]
		if !out.AddPiece(b) {
			break
		}
		done += len(b)
	}
	q.lent = q.lent || done > 0
	return done
}

// acked lets go of what lies before una.
func (q *sendQueue) acked(una uint64) {
	for q.chunks.Len() > 0 && q.chunks.At(0).off < una {
		first := q.chunks.At(0)
		if una <= first.end() {
			q.last = first.ref.B[una-first.off-1]
		}
		if una < first.end() {
			return
		}
		p := q.chunks.Pop()
		if q.lent {
			q.grave = append(q.grave, p.ref)
		} else {
			p.ref.Release()
		}
	}
}

// sent releases what was acknowledged while it was lent.
func (q *sendQueue) sent() {
	q.lent = false
	for i, p := range q.grave {
		p.Release()
		q.grave[i] = pool.Ref{}
	}
	q.grave = q.grave[:0]
}

// drop lets go of everything.
func (q *sendQueue) drop() {
	for q.chunks.Len() > 0 {
		p := q.chunks.Pop()
		if q.lent {
			q.grave = append(q.grave, p.ref)
		} else {
			p.ref.Release()
		}
	}
	q.chunks = deque.Deque[piece]{}
}
