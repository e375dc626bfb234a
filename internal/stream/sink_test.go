package stream

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/leaks"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// recorder is a Sink that writes down what it gets.
type recorder struct {
	events []string     // everything but payload, in order
	data   bytes.Buffer // payload in order
	room   int          // calls of HandleRoom
	direct int
	quiet  bool // count nothing, keep nothing
	onDSS  func()
	newest engine.Ack // what Advertise says
}

func (r *recorder) Advertise(time.Duration) engine.Ack { return r.newest }

func (r *recorder) add(format string, a ...any) {
	if !r.quiet {
		r.events = append(r.events, fmt.Sprintf(format, a...))
	}
}

func (r *recorder) HandleEstablished(time.Duration, engine.PathID) { r.add("established") }

func (r *recorder) HandleDSS(_ time.Duration, _ engine.PathID, d *options.DSS) {
	if r.quiet {
		return
	}
	r.add("%s", d.String())
	if r.onDSS != nil {
		r.onDSS()
	}
}

func (r *recorder) HandleWindow(_ time.Duration, _ engine.PathID, ack uint64, window int64) {
	if !r.quiet {
		r.add("window %d+%d", ack, window)
	}
}

func (r *recorder) HandleBytes(_ time.Duration, _ engine.PathID, p pool.Ref) {
	if !r.quiet {
		r.data.Write(p.B)
	}
	p.Release()
}

func (r *recorder) HandleDirect(_ time.Duration, _ engine.PathID, n int) { r.direct += n }

func (r *recorder) HandleOption(_ time.Duration, _ engine.PathID, o options.Option) {
	r.add("%s", o)
}

func (r *recorder) HandleRoom(time.Duration, engine.PathID)     { r.room++ }
func (r *recorder) HandleProgress(time.Duration, engine.PathID) { r.add("progress") }
func (r *recorder) HandleFIN(time.Duration, engine.PathID)      { r.add("FIN") }

var _ Sink = (*recorder)(nil)

// established is a flow behind its handshake on the side that answered.
func established(t testing.TB, cfg FlowConfig) (*Flow, *recorder) {
	f, r := NewFlow(cfg), new(recorder)
	f.Bind(r, 1)
	t.Cleanup(f.Release)
	return f, r
}

// drain takes everything out of a flow, in writes of at most step bytes (0: whole).
func drain(f *Flow, now time.Duration, step int) (all []byte) {
	for f.Pending() > 0 {
		var b []byte
		for _, s := range f.Gather(nil) {
			b = append(b, s...)
		}
		if step > 0 {
			b = b[:min(step, len(b))]
		}
		all = append(all, b...)
		f.Wrote(now, len(b))
	}
	return all
}

// feed gives b to f in pieces of at most step bytes (0: whole).
func feed(f *Flow, now time.Duration, b []byte, step int) error {
	for len(b) > 0 {
		n := len(b)
		if step > 0 {
			n = min(n, step)
		}
		if err := f.Feed(now, b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// payload is n bytes that differ from place to place.
func payload(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed)
	}
	return b
}

func requireViolation(t *testing.T, err error, detail string) {
	t.Helper()
	var p *engine.ProtocolError
	require.ErrorAs(t, err, &p)
	require.Contains(t, p.Detail, detail)
}

func copyOf(s string) pool.Ref { return pool.Copy([]byte(s)) }
