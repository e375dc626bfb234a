package driver

import (
	"io"

	"github.com/mptcp-go/mptcp/internal/pool"
)

// ownStage is what a reader goroutine keeps while it waits: most of a payload follows the header in
// chunks.
const ownStage = 512

// readOwn is the reader goroutine of a flow that can't be read in the reader role.
func (c *Conn) readOwn(f *flow) {
	stage := make([]byte, ownStage)
	c.mu.Lock()
	for !f.eof && !f.gone {
		left := 0
		if f.intake == nil {
			left = f.f.PayloadLeft()
		}
		c.mu.Unlock()
		var n int
		var err error
		var chunk *pool.Chunk
		if left > 0 {
			chunk = pool.Get(min(left, pool.MaxSize))
			n, err = f.net.Read(chunk.Bytes()[:min(left, pool.MaxSize)])
		} else {
			n, err = f.net.Read(stage)
		}
		c.mu.Lock()
		c.tookOwn(f, chunk, stage, n, err)
		c.leave(c.now())
		c.mu.Lock()
	}
	c.mu.Unlock()
}

// tookOwn feeds what a reader goroutine has read.
func (c *Conn) tookOwn(f *flow, chunk *pool.Chunk, stage []byte, n int, err error) {
	now := c.now()
	switch {
	case f.gone || f.eof || n == 0:
		if chunk != nil {
			chunk.Release()
		}
	case chunk != nil:
		c.heard(now, f)
		p := pool.Ref{C: chunk, B: chunk.Bytes()[:n]}
		if e := f.f.FeedPayload(now, trim(p)); e != nil {
			c.refuse(now, f, e)
		}
	default:
		if e := c.feed(now, f, stage[:n]); e != nil && f.intake != nil {
			c.miscarry(now, e)
		} else if e != nil {
			c.refuse(now, f, e)
		}
	}
	switch {
	case err == nil || f.gone || f.eof:
	case err == io.EOF:
		c.ended(now, f)
	case f.intake != nil:
		c.unanswered(now, f, err)
	default:
		c.lose(now, f, err)
	}
}

// trim moves a small payload out of a large chunk, of which it would waste the rest.
func trim(p pool.Ref) pool.Ref {
	if len(p.B) > smallChunk || p.C.Cap() <= smallChunk {
		return p
	}
	q := pool.Copy(p.B)
	p.Release()
	return q
}
