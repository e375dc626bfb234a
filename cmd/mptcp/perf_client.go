package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// measurement is one test as the client sees it.
type measurement struct {
	*perf
	out      io.Writer
	ledger   *ledger
	streams  []*perfStream
	up, down atomic.Int64
	result   perfResult
}

type perfStream struct {
	conn *mptcp.Conn
	r    *bufio.Reader
	sent int64
}

// perfResult is the JSON of a test.
type perfResult struct {
	Server      string       `json:"server"`
	Carrier     string       `json:"carrier"`
	Direction   string       `json:"direction"`
	Connections int          `json:"connections"`
	Start       time.Time    `json:"start"`
	Intervals   []perfSample `json:"intervals"`
	End         perfSample   `json:"end"`
	Error       string       `json:"error,omitempty"`

	Counters *extapi.Counters `json:"counters,omitempty"` // of our own TCP, with -mode wire
}

// perfSample is a stretch of time.
type perfSample struct {
	From     float64     `json:"from_seconds"`
	To       float64     `json:"to_seconds"`
	Up       int64       `json:"up_bytes"`
	Down     int64       `json:"down_bytes"`
	UpRate   int64       `json:"up_bits_per_second"`
	DownRate int64       `json:"down_bits_per_second"`
	Paths    []pathTotal `json:"paths"`
}

// measure is the client.
func (p *perf) measure(ctx context.Context, e *env) error {
	t := &mptcp.Transport{}
	defer closeTransport(t)
	// A perf server is always of this program: it need not be asked.
	p.peer = p.mode == "auto" || p.mode == "stream"
	dialer, err := p.dialer(e, t, p.client)
	if err != nil {
		return err
	}
	m := &measurement{perf: p, out: e.stdout, ledger: newLedger()}
	if p.json {
		m.out = io.Discard
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer m.close()
	err = m.run(ctx, dialer)
	if p.mode == "wire" {
		c := t.Counters()
		m.result.Counters = &c
		fmt.Fprint(m.out, formatCounters(c))
	}
	if p.json {
		if err != nil {
			m.result.Error = err.Error()
		}
		return errors.Join(err, printJSON(e.stdout, m.result))
	}
	return err
}

func (m *measurement) run(ctx context.Context, d *mptcp.Dialer) error {
	m.result = perfResult{Server: m.client, Direction: m.direction(), Connections: m.perf.streams, Start: time.Now(), Intervals: []perfSample{}}
	if err := m.connect(ctx, d); err != nil {
		return err
	}
	m.result.Carrier = m.ledger.carriedBy().String()
	fmt.Fprintf(m.out, "%s, %s, %d connection(s) over %s\n", m.client, m.result.Direction, m.perf.streams, m.result.Carrier)
	stop := context.AfterFunc(ctx, m.abort)
	defer stop()
	began := time.Now()
	m.result.Start = began
	report := m.report(began)
	err := m.transfer(ctx)
	report()
	now := time.Since(began)
	m.result.End = m.sample(now).since(0, now, perfSample{})
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil {
		fmt.Fprintf(m.out, "in all\n")
	}
	m.line(m.result.End, true)
	return err
}

// connect opens the connections and asks for the test on each.
func (m *measurement) connect(ctx context.Context, d *mptcp.Dialer) error {
	ctx, cancel := context.WithTimeout(ctx, m.timeout)
	defer cancel()
	req := perfRequest{Version: perfVersion, Direction: m.direction(), Millis: m.duration.Milliseconds(), Bytes: m.share()}
	if req.Bytes > 0 {
		req.Millis = perfMaxTime.Milliseconds()
	}
	for range m.perf.streams {
		c, err := d.DialMultipath(ctx, "tcp", m.client)
		if err != nil {
			return err
		}
		s := &perfStream{conn: c, r: bufio.NewReaderSize(c, perfMaxLine)}
		m.streams = append(m.streams, s)
		end, _ := ctx.Deadline()
		_ = c.SetDeadline(end)
		if err := writeLine(c, req); err != nil {
			return err
		}
		var a perfAnswer
		if err := readLine(s.r, &a); err != nil {
			return err
		}
		if a.Error != "" {
			return errors.New("the server refuses: " + a.Error)
		}
		_ = c.SetDeadline(time.Now().Add(req.duration() + perfGrace))
		m.ledger.adopt(context.Background(), c) // until the connection ends
	}
	return nil
}

// share is what one connection sends when there is an amount.
func (m *measurement) share() int64 {
	if m.bytes <= 0 {
		return 0
	}
	n := int64(m.perf.streams)
	return (int64(m.bytes) + n - 1) / n
}

// transfer moves the data of all connections.
func (m *measurement) transfer(ctx context.Context) error {
	var all sync.WaitGroup
	errs := make([]error, len(m.streams))
	for i, s := range m.streams {
		all.Go(func() { errs[i] = m.move(ctx, s) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (m *measurement) move(ctx context.Context, s *perfStream) error {
	up := func() error {
		n, err := send(ctx, s.conn, m.share(), m.duration, &m.up)
		s.sent = n
		return err
	}
	down := func() error { return drain(s.r, &m.down) }
	switch m.direction() {
	case "down":
		return down()
	case "both":
		return together(up, func() error { return down() })
	}
	if err := up(); err != nil {
		return err
	}
	var a perfAnswer
	if err := readLine(s.r, &a); err != nil {
		return fmt.Errorf("the server did not say what it got: %w", err)
	}
	if a.Received != s.sent {
		return fmt.Errorf("the server got %d bytes of %d", a.Received, s.sent)
	}
	return nil
}

// abort ends everything at once.
func (m *measurement) abort() {
	for _, s := range m.streams {
		reset(s.conn)
	}
}

func (m *measurement) close() {
	for _, s := range m.streams {
		s.conn.Close()
	}
}

// report prints a line per interval until the returned function is called, and one for what is left then, if it is
// half an interval at least.
func (m *measurement) report(began time.Time) (stop func()) {
	if m.interval == 0 {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(m.interval)
		defer t.Stop()
		var last perfSample
		var from time.Duration
		for more := true; more; {
			select {
			case <-done:
				more = false
			case <-t.C:
			}
			now := time.Since(began)
			if !more && now-from < m.interval/2 {
				return
			}
			total := m.sample(now)
			s := total.since(from, now, last)
			m.result.Intervals = append(m.result.Intervals, s)
			m.line(s, false)
			last, from = total, now
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// sample is what has happened up to an instant.
func (m *measurement) sample(to time.Duration) perfSample {
	return perfSample{To: to.Seconds(), Up: m.up.Load(), Down: m.down.Load(), Paths: m.ledger.paths(endpoints)}
}

// since is what happened from one instant to another, given the totals at the first.
func (s perfSample) since(from, to time.Duration, before perfSample) perfSample {
	s.From, s.Up, s.Down = from.Seconds(), s.Up-before.Up, s.Down-before.Down
	s.UpRate, s.DownRate = 8*perSecond(s.Up, to-from), 8*perSecond(s.Down, to-from)
	s.Paths = slices.Clone(s.Paths)
	for i := range s.Paths {
		for _, b := range before.Paths {
			if b.Name == s.Paths[i].Name {
				s.Paths[i].Sent -= b.Sent
				s.Paths[i].Received -= b.Received
			}
		}
	}
	return s
}

// line prints a sample, and at the end each path.
func (m *measurement) line(s perfSample, last bool) {
	fmt.Fprintf(m.out, "%6.1f - %5.1f s", s.From, s.To)
	dir := m.direction()
	if dir != "down" {
		fmt.Fprintf(m.out, "   up %10s %9.1f Mbit/s", formatSize(s.Up), float64(s.UpRate)/1e6)
	}
	if dir != "up" {
		fmt.Fprintf(m.out, "   down %10s %9.1f Mbit/s", formatSize(s.Down), float64(s.DownRate)/1e6)
	}
	fmt.Fprintln(m.out)
	if !last && len(s.Paths) < 2 {
		return
	}
	for _, p := range s.Paths {
		fmt.Fprintf(m.out, "      %-44s sent %10s  received %10s\n", p.Name, formatSize(p.Sent), formatSize(p.Received))
	}
}
