package driver

import (
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
)

const (
	// stageSize is for records with little payload: a header and a small message come in one read.
	stageSize = 4 << 10
	// headSize takes what follows a payload that goes to a chunk: the next record's header.
	headSize = 64
	// smallChunk is the payload up to which a copy is cheaper than a chunk that stays mostly empty.
	smallChunk = 16 << 10
	// plainHead is the header of a record as bulk transfers have it: a DSS with an 8-byte DATA_ACK and
	// an 8-byte data sequence number, no checksum, nothing before it.
	plainHead = 26
	// maxHeads is how many headers one read takes, each before a payload that goes to the application.
	maxHeads = 8
)

type stage [stageSize]byte

var stages = sync.Pool{New: func() any { return new(stage) }}

// readBuffers are where a read of one flow puts its bytes: in the application's buffer, in a pooled
// chunk, or, where only headers and small messages are to be expected, in a stage.
//
// In the application's buffer a read goes on behind the header that is to come, on the guess that this is
// a plain one and that its payload is next in order and as long as the one before: then one system call
// serves several records. A wrong guess costs a copy.
type readBuffers struct {
	left   int    // payload bytes that the current record still has
	app    []byte // payload that is next in order may go here; nil: none may
	like   int    // payload bytes of the latest record
	astray bool   // they were not next in order: do not count on those that follow

	*layout     // from Buffers until what came is fed, or nothing did: an idle flow has none
	total   int // bytes in all
	direct  int // payload that is the application's, of what the read brought
	chunk   *pool.Chunk
	stage   *stage
}

// layout is where the parts of a read go.
type layout struct {
	iov   [MaxBuffers][]byte
	at    [MaxBuffers]int // where in app they are; -1: elsewhere
	n     int             // how many
	heads [maxHeads][plainHead]byte
	head  [headSize]byte
}

var layouts = sync.Pool{New: func() any { return new(layout) }}

// Buffers implements Target.
func (r *readBuffers) Buffers() [][]byte {
	r.layout, r.total = layouts.Get().(*layout), 0
	switch {
	case len(r.app) > 0:
		r.aim()
	case r.left > 0:
		n := min(r.left, pool.MaxSize)
		r.chunk = pool.Get(n)
		r.add(r.chunk.Bytes()[:n], -1)
		r.add(r.head[:], -1)
	default:
		r.addStage()
	}
	return r.iov[:r.n]
}

// aim lays the application's buffer out for the rest of this record and for those that may follow.
func (r *readBuffers) aim() {
	at, room, heads := 0, r.left, 0
	for at < len(r.app) {
		if room == 0 {
			r.add(r.heads[heads][:], -1)
			heads++
			if room = r.like; room < moreDirect || heads == maxHeads {
				room = len(r.app)
			}
		}
		n := min(room, len(r.app)-at)
		r.add(r.app[at:at+n], at)
		at += n
		room -= n
	}
	if r.like < moreDirect && len(r.app) < stageSize {
		r.addStage() // small messages, and little room for them: take what else is there
	}
}

func (r *readBuffers) add(b []byte, at int) {
	r.iov[r.n], r.at[r.n] = b, at
	r.n++
	r.total += len(b)
}

func (r *readBuffers) addStage() {
	r.stage = stages.Get().(*stage)
	r.add(r.stage[:], -1)
}

// Drop implements Target.
func (r *readBuffers) Drop() {
	if r.stage != nil {
		stages.Put(r.stage)
		r.stage = nil
	}
	if r.chunk != nil {
		r.chunk.Release()
		r.chunk = nil
	}
	if r.layout != nil {
		clear(r.iov[:r.n])
		r.n = 0
		layouts.Put(r.layout)
		r.layout = nil
	}
}

// feed gives the n bytes that were read to the flow. direct is how many of them are the application's
// then: the first ones of its buffer.
func (r *readBuffers) feed(now time.Duration, eng *engine.Conn, f *flow, n int) (direct int, err error) {
	r.direct = 0
	for i := 0; n > 0 && err == nil; i++ {
		b := r.iov[i][:min(n, len(r.iov[i]))]
		n -= len(b)
		free := len(r.app) // up to here nothing waits in it to be fed
		if n > 0 && i+1 < r.n && r.at[i+1] >= 0 {
			free = r.at[i+1]
		}
		err = r.take(now, eng, f, b, r.at[i], free)
	}
	r.Drop()
	return r.direct, err
}

// take feeds b, which lies at offset at of the application's buffer (-1: elsewhere).
func (r *readBuffers) take(now time.Duration, eng *engine.Conn, f *flow, b []byte, at, free int) (err error) {
	for n := 0; len(b) > 0 && err == nil; b = b[n:] {
		if left := f.f.PayloadLeft(); left > 0 {
			n, err = r.payload(now, eng, f, b[:min(left, len(b))], at, free)
		} else if n, err = f.f.FeedHead(now, b); f.f.PayloadLeft() > 0 {
			r.like, r.astray = f.f.PayloadLeft(), !eng.InOrder(f.id)
		}
		if at >= 0 {
			at += n
		}
	}
	return err
}

// payload feeds some of b, all of which is payload, and says how much. The application has it where it
// is next in order: if it does not lie in the right place, because the header in front was not as
// guessed, it is moved there.
func (r *readBuffers) payload(now time.Duration, eng *engine.Conn, f *flow, b []byte, at, free int) (n int, err error) {
	if at >= 0 {
		free = at + len(b)
	}
	if n = min(len(b), free-r.direct, eng.DirectRoom(f.id)); n > 0 && len(r.app) > 0 {
		if at != r.direct {
			copy(r.app[r.direct:], b[:n])
		}
		r.direct += n
		return n, f.f.FeedDirect(now, n)
	}
	if r.chunk != nil {
		p := pool.Ref{C: r.chunk, B: b}
		r.chunk = nil
		return len(b), f.f.FeedPayload(now, trim(p))
	}
	return len(b), f.f.Feed(now, b)
}
