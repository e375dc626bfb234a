package driver

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
)

// Params is what a connection is made of.
type Params struct {
	ID                    extapi.ConnID
	Carrier               extapi.Carrier
	Epoch                 time.Time // from which the carrier counts time; zero: the connection's beginning
	Engine                engine.Config
	Key                   engine.Key // this side's
	LocalAddr, RemoteAddr net.Addr   // of the first subflow: the connection's for life (RFC 6897 section 4.2.1)

	Join        Joiner        // how this side opens subflows; nil: it can't
	JoinTimeout time.Duration // of one Join; 0: none

	// Trace is called once, without the lock, before the first event. Nil, or a nil result: no trace.
	Trace func(extapi.ConnInfo) extapi.Tracer
	// OnClosed is called once, without the lock, when the application closed the connection or it died.
	OnClosed func(*Conn)
	// OnDone is called once, without the lock, when all is over, TIME_WAIT included: the token is free.
	OnDone func(*Conn)
}

// fixed is what a connection keeps of its Params.
type fixed struct {
	key             engine.Key
	local, remote   net.Addr
	rand            io.Reader
	joiner          Joiner
	joinTimeout     time.Duration
	trace           func(extapi.ConnInfo) extapi.Tracer
	onClosed, onEnd func(*Conn)
}

func (p *Params) fixed() fixed {
	return fixed{
		key: p.Key, local: p.LocalAddr, remote: p.RemoteAddr, rand: p.Engine.Rand, joiner: p.Join, joinTimeout: p.JoinTimeout,
		trace: p.Trace, onClosed: p.OnClosed, onEnd: p.OnDone,
	}
}

// Joiner opens the subflow that the engine asks for: it connects, shakes hands and makes it part of the
// connection (Attach, or Adopt). An error that is a *Refusal says that the peer answered and does not
// want it.
type Joiner func(ctx context.Context, c *Conn, r engine.JoinRequest) error

// Refusal is the error of a join that the peer refused: trying again is no use.
type Refusal struct{ Err error }

func (e *Refusal) Error() string { return "join refused: " + e.Err.Error() }

func (e *Refusal) Unwrap() error { return e.Err }

// Flow is the flow half of one subflow as its socket's owner sees it: protocol without I/O. All of it
// runs under the connection's lock.
type Flow interface {
	engine.Flow

	// Feed takes the next bytes from the socket, in any cut; FeedHead takes them up to where payload
	// begins, and says how many that were. FeedPayload and FeedDirect take bytes of the current record's
	// payload (at most PayloadLeft) that are in a pooled chunk, whose reference they take over, or in
	// the application's buffer already. FeedEOF takes the peer's FIN.
	Feed(now time.Duration, b []byte) error
	FeedHead(now time.Duration, b []byte) (n int, err error)
	PayloadLeft() int
	FeedPayload(now time.Duration, p pool.Ref) error
	FeedDirect(now time.Duration, n int) error
	FeedEOF(now time.Duration) error

	// Pending is the number of bytes to write. Queued is how many of them are payload; alone: nothing
	// else waits, and no record is half written. Gather appends them to iov; they stay valid until the
	// one Wrote that follows each Gather, whatever happens to the flow in between.
	Pending() int
	Queued() (payload int, alone bool)
	Gather(iov [][]byte) [][]byte
	Wrote(now time.Duration, n int)
	FINQueued() bool
	Aborted() (engine.ResetReason, bool)
	Release() // the socket is gone: gives back every buffer

	SetStats(engine.FlowStats)
	Resumed(now time.Duration) // nobody has read the socket for a while until now
	SetBlocked(now time.Duration, blocked bool)
	SetCap(now time.Duration, bytes int)
}

// Raw is a socket that can be tried without blocking. Reading belongs to whoever has the reader role,
// writing to whoever has the flow's write token; the two may run at once.
type Raw interface {
	// Readv reads into t's buffers. Nothing there: it waits, or with wait=false returns ErrAgain. While
	// it waits it holds no buffers. A read deadline on the net.Conn interrupts the wait.
	Readv(t Target, wait bool) (int, error)
	// Writev writes what the socket takes at once: ErrAgain when that is nothing.
	Writev(bufs [][]byte) (int, error)
	// WaitWrite waits until Writev has a chance.
	WaitWrite() error
	// Control runs f with the descriptor.
	Control(f func(fd uintptr)) error
	// SetLowat bounds what the socket takes beyond what it can send (TCP_NOTSENT_LOWAT), in bytes.
	SetLowat(bytes int)
	// Stats fills in what the kernel knows of the connection. LastProgress is minus its age.
	Stats(s *engine.FlowStats) error
}

// MaxBuffers is how many buffers one read fills at most.
const MaxBuffers = 2*maxHeads + 2

// Target hands out the buffers of a read when there is something to read.
type Target interface {
	Buffers() [][]byte // at most MaxBuffers
	Drop()             // nothing was read: the buffers are not needed
}

// Subflow is a TCP connection whose handshake is done, ready to be part of a connection.
type Subflow struct {
	Flow   Flow
	Bind   func(e *engine.Conn, id engine.PathID) // tells Flow whom it reports to
	Net    net.Conn
	Raw    Raw // nil: only blocking calls work
	Params engine.FlowParams

	Rest        []byte        // bytes that the handshake read beyond its end
	Established bool          // the peer has proved that it has the keys
	Intake      Intake        // takes the first bytes from the peer, ahead of Flow; nil: none
	Prologue    []byte        // leaves ahead of what Flow queues
	Hold        time.Duration // the prologue waits this long for company
	Timeout     time.Duration // of Intake; 0: none
}

// Intake takes the bytes that end a handshake. Done: the rest of b, from n on, is the flow's. When
// there will be none, it is fed no bytes and says why. It runs under the connection's lock.
type Intake interface {
	Feed(now time.Duration, c *engine.Conn, b []byte) (n int, done bool, err error)
}
