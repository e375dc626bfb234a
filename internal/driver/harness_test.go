package driver

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/leaks"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

func TestMain(m *testing.M) { leaks.Main(m) }

const (
	ourKey   engine.Key = 0x1111
	theirKey engine.Key = 0x2222
)

func testEngine() engine.Config {
	return engine.Config{
		Rand: rand.Reader, SendBuffer: 1 << 20, RecvBuffer: 1 << 20, JoinDelay: time.Hour, JoinBytes: 1 << 60,
		NoPathTimeout: time.Minute, CloseTimeout: time.Minute, Loopback: true,
	}
}

// wire is a Flow that takes plain records. What the engine sends is kept; it writes what the test puts in out, and nothing else.
type wire struct {
	eng  *engine.Conn
	id   engine.PathID
	head []byte // of a record, not complete
	left int
	sent []byte
	out  []byte
	caps []int

	direct, copied, chunks int // payload bytes by the way that they came
}

func (w *wire) Room() int { return 1 << 20 }
func (w *wire) Send(_ time.Duration, _ engine.Mapping, p pool.Ref) {
	w.sent = append(w.sent, p.B...)
	p.Release()
}
func (w *wire) Ack(time.Duration, engine.Ack)           {}
func (w *wire) Signal(time.Duration, options.Option)    {}
func (w *wire) Close(time.Duration)                     {}
func (w *wire) Abort(time.Duration, engine.ResetReason) {}
func (w *wire) Limit(int64)                             {}
func (w *wire) Probe(now time.Duration) time.Duration   { return now }
func (w *wire) Remind(time.Duration)                    {}
func (w *wire) Stats(time.Duration) engine.FlowStats    { return engine.FlowStats{} }
func (w *wire) Pending() int                            { return len(w.out) }
func (w *wire) Queued() (int, bool)                     { return 0, true }
func (w *wire) Resumed(time.Duration)                   {}
func (w *wire) Gather(iov [][]byte) [][]byte            { return append(iov, w.out) }
func (w *wire) Wrote(_ time.Duration, n int)            { w.out = w.out[n:] }
func (w *wire) FINQueued() bool                         { return false }
func (w *wire) Aborted() (engine.ResetReason, bool)     { return 0, false }
func (w *wire) Release()                                {}
func (w *wire) SetStats(engine.FlowStats)               {}
func (w *wire) SetBlocked(time.Duration, bool)          {}
func (w *wire) SetCap(_ time.Duration, bytes int)       { w.caps = append(w.caps, bytes) }
func (w *wire) PayloadLeft() int                        { return w.left }
func (w *wire) bind(e *engine.Conn, id engine.PathID)   { w.eng, w.id = e, id }
func (w *wire) FeedEOF(now time.Duration) error {
	w.eng.HandleFIN(now, w.id)
	return nil
}

func (w *wire) FeedPayload(now time.Duration, p pool.Ref) error {
	w.chunks += p.Len()
	return w.payload(now, p)
}

func (w *wire) payload(now time.Duration, p pool.Ref) error {
	n := p.Len()
	if n > w.left {
		p.Release()
		return fmt.Errorf("%d bytes of payload where %d are left", n, w.left)
	}
	w.left -= n
	w.eng.HandleBytes(now, w.id, p)
	return nil
}

func (w *wire) FeedDirect(now time.Duration, n int) error {
	if n > w.left {
		return fmt.Errorf("%d direct bytes where %d are left", n, w.left)
	}
	w.left -= n
	w.direct += n
	w.eng.HandleDirect(now, w.id, n)
	return nil
}

func (w *wire) Feed(now time.Duration, b []byte) error {
	for len(b) > 0 {
		n, err := w.FeedHead(now, b)
		if b = b[n:]; err != nil {
			return err
		}
		if n = min(w.left, len(b)); n == 0 {
			continue
		}
		w.copied += n
		if err := w.payload(now, pool.Copy(b[:n])); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func (w *wire) FeedHead(now time.Duration, b []byte) (n int, err error) {
	for n < len(b) && w.left == 0 {
		w.head = append(w.head, b[n])
		n++
		if len(w.head) < 2 || len(w.head) < int(w.head[1]) {
			continue
		}
		raw, _, err := options.Next(w.head)
		if err != nil {
			return n, err
		}
		w.head = nil
		if err := w.option(now, raw); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (w *wire) option(now time.Duration, raw options.Raw) error {
	o, err := options.Decode(raw)
	if err != nil {
		return err
	}
	if d, ok := o.(options.DSS); ok {
		if d.HasMap {
			w.left = int(d.DataLen)
		}
		if d.DataFIN {
			w.left--
		}
		w.eng.HandleDSS(now, w.id, &d)
	}
	return nil
}

// stream writes the records of a peer.
type stream struct {
	bytes.Buffer
	at int // payload so far
}

// record adds one as bulk transfers have it, whose header takes plainHead bytes.
func (s *stream) record(payload []byte) { s.mapping(payload, true) }

func (s *stream) mapping(payload []byte, ack bool) {
	s.Write(options.DSS{
		HasAck: ack, Ack64: true, DataAck: ourKey.IDSN() + 1, HasMap: true, DSN64: true,
		DSN: theirKey.IDSN() + 1 + uint64(s.at), SSN: uint32(s.at) + 1, DataLen: uint16(len(payload)),
	}.Append(nil))
	s.Write(payload)
	s.at += len(payload)
}

// ack adds a DATA_ACK without data, window what follows it as an option of its own.
func (s *stream) ack() {
	s.Write(options.DSS{HasAck: true, Ack64: true, DataAck: ourKey.IDSN() + 1}.Append(nil))
}

func (s *stream) window() { s.Write(options.Private{Type: 1, N: 4}.Append(nil)) }

// pattern is n bytes that differ from their neighbours at every distance that matters here.
func pattern(n, seed int) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// attached is a connection that is established over one end of a pipe.
func attached(t testing.TB, p Params) (*Conn, *wire, net.Conn) {
	ours, theirs := net.Pipe()
	c, w := attachedTo(t, p, ours)
	return c, w, theirs
}

func attachedTo(t testing.TB, p Params, ours net.Conn) (*Conn, *wire) {
	if p.Engine.Rand == nil {
		p.Engine = testEngine()
	}
	p.Key = ourKey
	c := NewConn(p, func(now time.Duration, e *engine.Conn) { e.SetRemote(now, theirKey) })
	w := new(wire)
	_, err := c.Attach(Subflow{Flow: w, Bind: w.bind, Net: ours, Params: engine.FlowParams{Initial: true}, Established: true})
	require.NoError(t, err)
	return c, w
}

// end ends a connection of attached at once.
func end(t testing.TB, c *Conn, theirs net.Conn) {
	require.NoError(t, c.Abort(engine.ResetUnspecified))
	require.NoError(t, theirs.Close())
	<-c.Closed()
}
