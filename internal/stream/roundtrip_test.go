package stream

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

func TestRoundTripEveryCut(t *testing.T) {
	wire := script(t, 0)[:2000]
	_, whole := established(t, FlowConfig{})
	f := NewFlow(FlowConfig{})
	f.Bind(whole, 1)
	require.NoError(t, f.Feed(0, wire))
	f.Release()
	for cut := range wire {
		f, r := established(t, FlowConfig{})
		require.NoError(t, f.Feed(0, wire[:cut]))
		require.NoError(t, f.Feed(0, wire[cut:]))
		require.Equal(t, whole.events, r.events)
		require.Equal(t, whole.data.Bytes(), r.data.Bytes())
		f.Release()
	}
}

// Any sequence of calls arrives in order and equal, through any cut on both sides: the model is the
// list of what was sent. Of acknowledgements the newest arrives, and none that was not made.
func TestAnythingArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &pipe{a: NewFlow(FlowConfig{}), b: NewFlow(FlowConfig{}), sent: map[uint64]bool{}, ssn: 1}
		m.a.Bind(&m.ra, 1)
		m.b.Bind(&m.rb, 1)
		t.Repeat(map[string]func(*rapid.T){
			"send":   m.send,
			"ack":    m.ack,
			"signal": m.signal,
			"echo":   func(*rapid.T) { m.b.Probe(0) },
			"move":   func(t *rapid.T) { m.move(t, rapid.IntRange(0, 3000).Draw(t, "bytes")) },
			"":       func(*rapid.T) {},
		})
		for m.a.Pending()+m.b.Pending() > 0 {
			m.move(t, 1<<20)
		}
		m.check(t)
		m.a.Release()
		m.b.Release()
	})
}

// pipe is two flows and the bytes between them.
type pipe struct {
	now    time.Duration
	a, b   *Flow
	ra, rb recorder
	ssn    uint32
	data   []byte
	opts   []string // signalled, in order
	maps   []string // mapped, in order
	newest engine.Ack
	sent   map[uint64]bool // DATA_ACKs that were made
}

func (m *pipe) send(t *rapid.T) {
	b := payload(rapid.SampledFrom([]int{1, 2, inlineMax, inlineMax + 1, 1400, 20_000}).Draw(t, "len"), int(m.ssn))
	mp := engine.Mapping{DSN: 77 + uint64(m.ssn), SSN: m.ssn, Len: len(b), Ack: m.newest}
	mp.DataFIN = rapid.Bool().Draw(t, "fin")
	if mp.HasChecksum = rapid.Bool().Draw(t, "checksum"); mp.HasChecksum {
		mp.Checksum = uint16(m.ssn)
	}
	m.a.Send(m.now, mp, pool.Copy(b))
	m.data = append(m.data, b...)
	m.maps = append(m.maps, fmt.Sprint(mp.DSN, mp.SSN, mp.Len, mp.DataFIN, mp.HasChecksum, mp.Checksum))
	m.ssn += uint32(len(b))
}

func (m *pipe) ack(t *rapid.T) {
	m.newest = engine.Ack{
		Valid:   true,
		DataAck: m.newest.DataAck + uint64(rapid.IntRange(0, 5000).Draw(t, "more")),
		Window:  rapid.Int64Range(0, 1<<33).Draw(t, "window"),
	}
	m.sent[m.newest.DataAck] = true
	m.a.Ack(m.now, m.newest)
}

func (m *pipe) signal(t *rapid.T) {
	o := options.RemoveAddr{N: 1}
	o.IDs[0] = uint8(len(m.opts))
	m.opts = append(m.opts, o.String())
	m.a.Signal(m.now, o)
}

// move carries up to n bytes each way, in cuts of any size.
func (m *pipe) move(t *rapid.T, n int) {
	m.now += time.Duration(rapid.IntRange(0, 200).Draw(t, "ms")) * time.Millisecond
	for _, d := range []struct{ from, to *Flow }{{m.a, m.b}, {m.b, m.a}} {
		var b []byte
		for _, s := range d.from.Gather(nil) {
			b = append(b, s...)
		}
		b = b[:min(n, len(b))]
		d.from.Wrote(m.now, len(b))
		for len(b) > 0 {
			k := rapid.IntRange(1, len(b)).Draw(t, "cut")
			if err := d.to.Feed(m.now, b[:k]); err != nil {
				t.Fatal(err)
			}
			b = b[k:]
		}
	}
}

func (m *pipe) check(t *rapid.T) {
	require.Equal(t, m.data, append([]byte(nil), m.rb.data.Bytes()...))
	var opts, maps []string
	var lastAck uint64
	for _, e := range m.rb.events {
		d, isDSS := parseDSS(e)
		switch {
		case isDSS:
			if d.HasMap {
				n := int(d.DataLen)
				if d.DataFIN {
					n--
				}
				maps = append(maps, fmt.Sprint(d.DSN, d.SSN, n, d.DataFIN, d.HasChecksum, d.Checksum))
			}
			if d.HasAck {
				require.GreaterOrEqual(t, d.DataAck, lastAck, "acknowledgements never go back")
				require.True(t, m.sent[d.DataAck])
				lastAck = d.DataAck
			}
		case len(e) > 3 && e[:3] == "REM":
			opts = append(opts, e)
		}
	}
	require.Equal(t, m.opts, opts)
	require.Equal(t, m.maps, maps)
	require.Equal(t, m.newest.DataAck, lastAck, "the newest one arrives")
}

// parseDSS reads back what recorder wrote down.
func parseDSS(e string) (d options.DSS, ok bool) {
	if len(e) < 3 || e[:3] != "DSS" {
		return d, false
	}
	_, err := fmt.Sscanf(e, "DSS ack=0x%x", &d.DataAck)
	d.HasAck = err == nil
	rest := e[3:]
	if d.HasAck {
		rest = e[len("DSS ack=0x0123456789abcdef"):]
	}
	_, err = fmt.Sscanf(rest, " dsn=0x%x ssn=%d len=%d", &d.DSN, &d.SSN, &d.DataLen)
	d.HasMap = err == nil
	for i := range rest {
		if _, err := fmt.Sscanf(rest[i:], " csum=0x%04x", &d.Checksum); err == nil {
			d.HasChecksum = true
		}
	}
	d.DataFIN = len(e) > 9 && e[len(e)-9:] == " DATA_FIN"
	return d, true
}
