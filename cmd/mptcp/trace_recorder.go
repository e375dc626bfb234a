package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pcapw"
)

// traceRoom bounds the bytes of packets that wait for being written: what shows them must not hold up what sends
// them.
const traceRoom = 64 << 20

// recordOverhead is about what a record takes beside its packet.
const recordOverhead = 128

// record is a packet or an event.
type record struct {
	at     time.Time
	sent   bool
	packet []byte
	conn   extapi.ConnID
	event  extapi.Event
}

// recorder writes what a transport and its connections do, from a goroutine of its own.
type recorder struct {
	text   *bufio.Writer // nil: no lines
	file   *bufio.Writer // of pcap; nil: no file
	pcap   *pcapw.Writer
	chunks bool // the events of single chunks too

	began   time.Time
	printer *segmentPrinter
	failure error // of writing, the first
	done    chan struct{}
	conns   atomic.Int64 // that have not ended

	mu      sync.Mutex
	some    sync.Cond
	queue   []record
	waiting int // bytes
	packets int64
	lost    int64
	ended   bool
}

// newRecorder begins to write lines to text and packets to file; either may be nil.
func newRecorder(text, file io.Writer, chunks bool) (*recorder, error) {
	r := &recorder{chunks: chunks, began: time.Now(), printer: newSegmentPrinter(), done: make(chan struct{})}
	r.some.L = &r.mu
	if text != nil {
		r.text = bufio.NewWriter(text)
	}
	if file != nil {
		var err error
		r.file = bufio.NewWriter(file)
		if r.pcap, err = pcapw.NewWriter(r.file, pcapw.LinkRaw); err != nil {
			return nil, err
		}
	}
	go r.work()
	return r, nil
}

// capture is for Transport.Capture.
func (r *recorder) capture(at time.Time, sent bool, packet []byte) {
	r.put(record{at: at, sent: sent, packet: append([]byte(nil), packet...)})
}

// trace is for Config.Trace.
func (r *recorder) trace(_ context.Context, info extapi.ConnInfo) extapi.Tracer {
	r.conns.Add(1)
	return &connTracer{r, info.ID, info.Established}
}

// connTracer records one connection's events.
type connTracer struct {
	r     *recorder
	id    extapi.ConnID
	began time.Time
}

// Trace implements extapi.Tracer.
func (t *connTracer) Trace(now time.Duration, ev extapi.Event) {
	switch ev.(type) {
	case extapi.Scheduled, extapi.MetricsUpdated:
		if !t.r.chunks {
			return
		}
	}
	t.r.put(record{at: t.began.Add(now), conn: t.id, event: ev})
}

// Close implements extapi.Tracer.
func (t *connTracer) Close() error {
	t.r.conns.Add(-1)
	return nil
}

func (r *recorder) put(x record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(x.packet) + recordOverhead
	if r.ended || r.waiting+n > traceRoom {
		r.lost++
		return
	}
	if x.packet != nil {
		r.packets++
	}
	r.waiting += n
	r.queue = append(r.queue, x)
	r.some.Signal()
}

// work writes what comes, until close.
func (r *recorder) work() {
	defer close(r.done)
	var batch []record
	for {
		r.mu.Lock()
		for len(r.queue) == 0 && !r.ended {
			r.some.Wait()
		}
		if len(r.queue) == 0 {
			r.mu.Unlock()
			return
		}
		batch, r.queue = r.queue, batch[:0]
		r.waiting = 0
		r.mu.Unlock()
		for i := range batch {
			r.note(r.write(&batch[i]))
			batch[i] = record{}
		}
		for _, w := range []*bufio.Writer{r.text, r.file} {
			if w != nil {
				r.note(w.Flush())
			}
		}
	}
}

func (r *recorder) note(err error) {
	if r.failure == nil {
		r.failure = err
	}
}

// write writes one record.
func (r *recorder) write(x *record) error {
	if x.packet != nil && r.pcap != nil {
		if err := r.pcap.Write(x.at, x.packet); err != nil {
			return err
		}
	}
	if r.text == nil {
		return nil
	}
	var lines []string
	if x.packet != nil {
		lines = r.printer.lines(x.packet, x.sent)
	} else {
		lines = append(lines, eventText(x.conn, x.event))
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(r.text, "%12.6f  %s\n", x.at.Sub(r.began).Seconds(), l); err != nil {
			return err
		}
	}
	return nil
}

// eventText is an event's line: its name and its fields.
func eventText(conn extapi.ConnID, ev extapi.Event) string {
	line := fmt.Sprintf("* connection %d: %s", conn, ev.Name())
	for _, a := range ev.LogValue().Resolve().Group() {
		line += fmt.Sprintf(" %s=%v", a.Key, a.Value)
	}
	return line
}

// close writes the rest. It returns how many packets there were, how many records found no room, and what went wrong.
func (r *recorder) close() (packets, lost int64, err error) {
	r.mu.Lock()
	r.ended = true
	r.some.Signal()
	r.mu.Unlock()
	<-r.done
	return r.packets, r.lost, r.failure
}
