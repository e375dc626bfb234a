package driver

import (
	"net"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
)

// flow is one subflow with its socket. The connection's lock guards it, except for buf, which belongs
// to the holder of the reader role while it is in a system call.
type flow struct {
	id  engine.PathID
	f   Flow
	net net.Conn
	raw Raw // nil: blocking calls only

	own      bool // has a reader goroutine of its own
	joining  bool // nothing has come from the peer yet
	gone     bool // not in Conn.flows any more
	eof      bool // nothing more is read: the peer's FIN has come, or it broke the protocol
	finSent  bool
	writer   func() // what a writer goroutine does
	writing  bool   // somebody has the write token
	idle     bool   // what is pending does not leave by itself
	blocked  bool   // a writer goroutine waits for the socket
	hurried  bool   // the blocking write under way got a deadline
	inFlight bool   // a system call reads what Gather returned
	drained  bool   // the last read left nothing in the socket
	burst    int    // bytes read since other flows were looked at
	hold     time.Duration
	prologue []byte
	intake   Intake
	broken   error         // writing failed
	until    time.Duration // when intake must be done, or reading after broken; 0: no limit
	buf      readBuffers
	pace     pace
}

// pace is what the kernel says of a flow, and what follows from it.
type pace struct {
	stats engine.FlowStats
	at    time.Duration // when stats were read
	rate  int64         // that lowat and the flow's cap follow, bytes per second
	lowat int
	full  bool // the socket was full since the last look
}

// stageSize is for records with little payload: a header and a small message come in one read.
const stageSize = 4 << 10

// headSize takes what follows a payload: the next record's header.
const headSize = 64

// smallChunk is the payload up to which a copy is cheaper than a chunk that stays mostly empty.
const smallChunk = 16 << 10

type stage [stageSize]byte

var stages = sync.Pool{New: func() any { return new(stage) }}

// plainHead is the header of a record as bulk transfers have it: a DSS with an 8-byte DATA_ACK and an
// 8-byte data sequence number, no checksum, nothing before it.
const plainHead = 26

// readBuffers are where a read of one flow puts its bytes: in the application's buffer, in a pooled
// chunk, or, between payloads, in a stage.
//
// Where the application's buffer is longer than the payload that is known to come, the read goes on
// behind the next header, on the guess that this is a plain one and that its payload is next in order
// too: then one system call serves several records. A wrong guess costs a copy.
type readBuffers struct {
	left  int    // payload bytes that the current record still has
	app   []byte // in order: the first left bytes may go here
	guess bool   // what follows the next header is read behind them
	chunk *pool.Chunk
	stage *stage
	head  [headSize]byte
}

// Buffers implements Target.
func (r *readBuffers) Buffers() (a, b, c []byte) {
	r.guess = false
	switch {
	case r.left == 0:
		r.stage = stages.Get().(*stage)
		return r.stage[:], nil, nil
	case len(r.app) > 0 && len(r.app) < r.left:
		return r.app, nil, nil
	case len(r.app) >= r.left+moreDirect:
		r.guess = true
		return r.app[:r.left], r.head[:plainHead], r.app[r.left:]
	case len(r.app) > 0:
		return r.app[:r.left], r.head[:], nil
	}
	n := min(r.left, pool.MaxSize)
	r.chunk = pool.Get(n)
	return r.chunk.Bytes()[:n], r.head[:], nil
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
}

// size is how much the buffers take.
func (r *readBuffers) size() int {
	switch {
	case r.stage != nil:
		return stageSize
	case r.guess:
		return len(r.app) + plainHead
	case r.chunk == nil && len(r.app) < r.left:
		return len(r.app)
	default:
		return r.left + headSize
	}
}

// feed gives the n bytes that were read to the flow. direct is how many of them are the application's
// already.
func (r *readBuffers) feed(now time.Duration, eng *engine.Conn, id engine.PathID, f Flow, n int) (direct int, err error) {
	switch {
	case r.stage != nil:
		err = f.Feed(now, r.stage[:n])
		r.Drop()
		return 0, err
	case r.chunk != nil:
		m := min(n, r.left)
		p := pool.Ref{C: r.chunk, B: r.chunk.Bytes()[:m]}
		r.chunk = nil
		err = f.FeedPayload(now, trim(p))
		n -= m
	default:
		direct = min(n, r.left, len(r.app))
		err = f.FeedDirect(now, direct)
		n -= direct
	}
	head := n
	if r.guess {
		head = min(n, plainHead)
	}
	if err == nil && head > 0 {
		err = f.Feed(now, r.head[:head])
	}
	if n -= head; err != nil || n == 0 {
		return direct, err
	}
	more, err := feedGuess(now, eng, id, f, r.app[direct:direct+n])
	return direct + more, err
}

// feedGuess takes what was read behind a header: payload as far as the guess was right, copied from
// there on.
func feedGuess(now time.Duration, eng *engine.Conn, id engine.PathID, f Flow, b []byte) (direct int, err error) {
	if direct = min(len(b), f.PayloadLeft(), eng.DirectRoom(id)); direct > 0 {
		err = f.FeedDirect(now, direct)
	}
	if err == nil && direct < len(b) {
		err = f.Feed(now, b[direct:])
	}
	return direct, err
}

// feed takes bytes that were read outside the reader role.
func (c *Conn) feed(now time.Duration, f *flow, b []byte) error {
	c.heard(now, f)
	if f.intake != nil {
		n, done, err := f.intake.Feed(now, c.eng, b)
		if err != nil {
			return err
		}
		b = b[n:]
		if !done {
			return nil
		}
		f.intake, f.until = nil, 0
	}
	if len(b) == 0 || f.gone {
		return nil
	}
	return f.f.Feed(now, b)
}

// heard notes that the peer is there.
func (c *Conn) heard(now time.Duration, f *flow) {
	c.lastIO = now
	f.joining = false
}

func (c *Conn) flow(id engine.PathID) *flow {
	for _, f := range c.flows {
		if f.id == id {
			return f
		}
	}
	return nil
}
