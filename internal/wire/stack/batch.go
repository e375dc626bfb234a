package stack

import (
	"sync"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// batchLen is how many segments leave in one call of the link: with more the gain per segment is lost in the
// noise, and acknowledgments wait for longer.
const batchLen = 32

// batch is room for segments on their way out. An idle subflow has none.
type batch struct {
	segs    [batchLen]packet.Segment
	options [batchLen][packet.MaxOptions]byte
}

var batches = sync.Pool{New: func() any { return new(batch) }}

// slot is the i-th segment, empty but for the room for its options.
func (b *batch) slot(i int) *packet.Segment {
	b.segs[i].Options = b.options[i][:0]
	return &b.segs[i]
}

// clear lets go of the payloads of the first n segments.
func (b *batch) clear(n int) {
	for i := range n {
		b.segs[i] = packet.Segment{}
	}
}
