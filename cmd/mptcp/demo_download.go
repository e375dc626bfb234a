package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// outcome is what became of a download.
type outcome struct {
	bytes   int64
	took    time.Duration
	stall   time.Duration // the longest time without a byte for the application ...
	limit   time.Duration // ... and what it may be
	paths   []pathTotal   // one per link
	demands bool          // links have to carry their share
	wrong   error         // of the bytes
}

// verdict says what was not as it must be.
func (o outcome) verdict() error {
	errs := []error{o.wrong}
	if o.stall > o.limit {
		errs = append(errs, fmt.Errorf("the application waited %s for a byte, longer than %v", formatTime(o.stall), o.limit))
	}
	var sum int64
	for _, p := range o.paths {
		sum += p.Received
	}
	for _, p := range o.paths {
		if share := percent(p.Received, sum); o.demands && share < minShare {
			errs = append(errs, fmt.Errorf("%s carried only %d %% of the bytes; at least %d %% are needed", p.Name, share, minShare))
		}
	}
	return errors.Join(errs...)
}

// multipath downloads over every link while the script runs.
func (d *demo) multipath(ctx context.Context) (outcome, error) {
	cfg := mptcp.Config{RequireMultipath: true, Logger: d.log}
	cfg.Paths.AnyAnnouncedPort = true // the links are told apart by their ports
	o, err := d.download(ctx, cfg, d.script)
	o.demands = true
	return o, err
}

// plain downloads the same over the first link.
func (d *demo) plain(ctx context.Context) (outcome, error) {
	return d.download(ctx, mptcp.Config{Mode: mptcp.ModeTCP, Logger: d.log}, nil)
}

var errSilence = fmt.Errorf("no byte arrived for %v, on any link", patience)

// download fetches the data through link 1's address with an http.Client whose connections come from a
// multipath Dialer.
func (d *demo) download(ctx context.Context, cfg mptcp.Config, script []act) (o outcome, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	transport := &mptcp.Transport{}
	defer transport.Close()
	dialer := &mptcp.Dialer{Config: cfg, Transport: transport}
	client := &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableCompression: true}}
	defer client.CloseIdleConnections()

	p := &progress{d: d, ledger: newLedger(), began: time.Now(), script: script, quit: cancel}
	defer func() {
		o.bytes, o.took, o.stall, o.limit = p.got.Load(), time.Since(p.began), p.longest, d.limit
		o.paths = p.byLink()
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
	}()
	stop := p.start()
	defer stop()
	url := fmt.Sprintf("http://%v/random?bytes=%d", d.links[0].addr(), d.size)
	req, err := http.NewRequestWithContext(p.ledger.trace(ctx), http.MethodGet, url, nil)
	if err != nil {
		return o, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return o, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return o, fmt.Errorf("the server answered %s", resp.Status)
	}
	digest := sha256.New()
	if err := p.read(resp.Body, digest); err != nil {
		return o, err
	}
	o.wrong = compareDigest(digest, resp.Trailer.Get(digestTrailer), p.got.Load(), d.size)
	return o, nil
}

func compareDigest(got hash.Hash, want string, n, size int64) error {
	if have := hex.EncodeToString(got.Sum(nil)); n != size || have != want {
		return fmt.Errorf("the bytes are wrong: %d of %d, SHA-256 %s, the server sent %s", n, size, have, want)
	}
	return nil
}

// progress follows one download.
type progress struct {
	d       *demo
	ledger  *ledger
	began   time.Time
	script  []act
	quit    context.CancelCauseFunc
	got     atomic.Int64
	last    atomic.Int64  // when the last byte came, as time since began
	longest time.Duration // stall
}

// read takes the body and hashes it, notes stalls and lets the script happen.
func (p *progress) read(body io.Reader, digest io.Writer) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			now := time.Since(p.began)
			p.longest = max(p.longest, now-time.Duration(p.last.Swap(int64(now))))
			_, _ = digest.Write(buf[:n])
			p.act(p.got.Add(int64(n)))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// act does what the script has for this point.
func (p *progress) act(got int64) {
	for len(p.script) > 0 && float64(got) >= p.script[0].at*float64(p.d.size) {
		a := p.script[0]
		p.script = p.script[1:]
		a.what(p.d.links)
		p.d.screen.printf("at %d %%: %s\n", percent(got, p.d.size), a.say)
	}
}

// tick is how often the bars move.
const tick = 100 * time.Millisecond

// start draws the bars and gives up when no byte comes, until stop is called.
func (p *progress) start() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(tick)
		defer t.Stop()
		m := newMeter(len(p.d.links))
		for {
			select {
			case <-done:
				p.d.screen.clear()
				return
			case <-t.C:
			}
			if time.Since(p.began)-time.Duration(p.last.Load()) > patience {
				p.quit(errSilence)
			}
			if p.d.screen.live() {
				p.d.screen.progress(p.bars(m)...)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// byLink adds up the subflows over each link, which its address tells.
func (p *progress) byLink() []pathTotal {
	out := make([]pathTotal, len(p.d.links))
	for i := range out {
		out[i].Name = linkName(i)
	}
	found := p.ledger.paths(func(f extapi.SubflowInfo) string { return f.Remote.String() })
	for i, l := range p.d.links {
		for _, f := range found {
			if f.Name == l.addr().String() {
				out[i].Received, out[i].Sent, out[i].live = f.Received, f.Sent, f.live
			}
		}
	}
	return out
}

func linkName(i int) string { return fmt.Sprintf("link %d", i+1) }

// bars are the live lines: one per link, one for the whole.
func (p *progress) bars(m *meter) []string {
	lines := make([]string, 0, len(p.d.links)+1)
	now := p.byLink()
	for i, f := range now {
		rate := m.rate(i, f.Received)
		state := ""
		switch {
		case p.d.links[i].silent():
			state = "cut"
		case f.live == 0:
			state = "no subflow"
		}
		lines = append(lines, fmt.Sprintf("%s [%s] %10s/s  %10s  %s", f.Name, bar(float64(rate)/float64(p.d.specs[i].rate), 30),
			formatSize(rate), formatSize(f.Received), state))
	}
	got := p.got.Load()
	return append(lines, fmt.Sprintf("total  [%s] %3d %%  %s", bar(float64(got)/float64(p.d.size), 30), percent(got, p.d.size),
		strings.TrimSpace(formatRate(got, time.Since(p.began)))))
}

// meter turns counters into rates over the last half second or so.
type meter struct {
	seen [][]sample
}

type sample struct {
	at time.Time
	n  int64
}

func newMeter(n int) *meter { return &meter{seen: make([][]sample, n)} }

func (m *meter) rate(i int, n int64) int64 {
	const window = 6 // samples
	now := time.Now()
	m.seen[i] = append(m.seen[i], sample{now, n})
	if len(m.seen[i]) > window {
		m.seen[i] = m.seen[i][1:]
	}
	first := m.seen[i][0]
	return perSecond(n-first.n, now.Sub(first.at))
}
