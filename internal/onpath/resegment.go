package onpath

import (
	"time"

	"github.com/mptcp-go/mptcp/options"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// Pieces says which pieces of a segment that was split have its options.
type Pieces uint8

const (
	AllPieces Pieces = iota // as segmentation offload does
	FirstPiece
	LastPiece
)

// maxPieces bounds what one packet becomes.
const maxPieces = 1024

// Split cuts segments into pieces of at most size bytes of payload. FIN and PSH go with the last one; SYNs
// stay whole.
func Split(size int, with Pieces) Element {
	return Func(func(p []byte, d Dir, emit Emit) {
		s, err := packet.Parse(p)
		n := len(s.Payload)
		if err != nil || size <= 0 || n <= size || n/size > maxPieces || s.Flags.Has(packet.SYN) {
			emit(p, d)
			return
		}
		for at := 0; at < n; at += size {
			piece, last := s, at+size >= n
			piece.Seq += uint32(at)
			piece.Payload = s.Payload[at:min(at+size, n)]
			if !last {
				piece.Flags &^= packet.FIN | packet.PSH
			}
			if with == FirstPiece && at > 0 || with == LastPiece && !last {
				piece.Options = withoutMPTCP(s.Options)
			}
			if q := render(&piece); q != nil {
				emit(q, d)
			}
		}
	})
}

// withoutMPTCP keeps what every segment needs: timestamps are no matter of where a segment was cut.
func withoutMPTCP(b []byte) (kept []byte) {
	eachOption(b, func(r options.Raw) bool {
		if !MPTCP(r) {
			kept = append(kept, r...)
		}
		return true
	})
	return kept
}

// Coalesce merges segments of a flow that follow each other within Wait into ones of up to Bytes of payload,
// as receive offloads and proxies do. The MPTCP options of one of them are kept: of the first, or of the
// last. Pure acknowledgments and what else has no payload pass and end what was being collected.
type Coalesce struct {
	Bytes    int
	Wait     time.Duration
	KeepLast bool

	pending flows[collected]
	order   []*collected // that hold something, oldest first
}

type collected struct {
	at   time.Duration // when it goes on
	s    packet.Segment
	data []byte
	d    Dir
	live bool
}

// Process implements Element.
func (c *Coalesce) Process(now time.Duration, p []byte, d Dir, emit Emit) {
	s, err := packet.Parse(p)
	if err != nil {
		emit(p, d)
		return
	}
	k := c.pending.make(flow{s.Src, s.Dst})
	plain := len(s.Payload) > 0 && s.Flags&(packet.SYN|packet.RST|packet.URG) == 0
	if k.live && (!plain || s.Seq != k.s.Seq+uint32(len(k.data)) || len(k.data)+len(s.Payload) > c.Bytes || k.s.Flags.Has(packet.FIN)) {
		c.finish(k, emit)
	}
	if !plain || len(s.Payload) > c.Bytes || len(c.order) >= maxFlows {
		emit(p, d)
		return
	}
	if !k.live {
		*k = collected{at: now + c.Wait, s: s, data: append([]byte(nil), s.Payload...), d: d, live: true}
		k.s.Options = append([]byte(nil), s.Options...)
		c.order = append(c.order, k)
		return
	}
	k.data = append(k.data, s.Payload...)
	k.s.Ack, k.s.Window, k.s.Flags = s.Ack, s.Window, k.s.Flags|s.Flags
	if c.KeepLast {
		k.s.Options = append(k.s.Options[:0], s.Options...)
	}
}

// finish sends what was collected on.
func (c *Coalesce) finish(k *collected, emit Emit) {
	for i, o := range c.order {
		if o == k {
			c.order = append(c.order[:i], c.order[i+1:]...)
			break
		}
	}
	k.live = false
	k.s.Payload = k.data
	if q := render(&k.s); q != nil {
		emit(q, k.d)
	}
}

// Next implements Timed.
func (c *Coalesce) Next() (time.Duration, bool) {
	if len(c.order) == 0 {
		return 0, false
	}
	return c.order[0].at, true
}

// Tick implements Timed.
func (c *Coalesce) Tick(now time.Duration, emit Emit) {
	for len(c.order) > 0 && c.order[0].at <= now {
		c.finish(c.order[0], emit)
	}
}
