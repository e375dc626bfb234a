package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// fetch is one download, over as many requests as it takes.
type fetch struct {
	url     string
	client  *http.Client
	ledger  *ledger
	retries int
	sum     string // SHA-256 in lower-case hexadecimal; empty: not checked
	screen  *screen
	stderr  io.Writer

	offset int64        // where the current request began
	got    atomic.Int64 // bytes there are, those of earlier runs too
	size   atomic.Int64 // -1: unknown
	moved  atomic.Int64 // bytes that came over the network
	began  time.Time
	took   time.Duration
}

// lasting is a failure that trying again does not mend.
type lasting struct{ err error }

func (e *lasting) Error() string { return e.err.Error() }
func (e *lasting) Unwrap() error { return e.err }

// toFile downloads to name, by way of name.part.
func (f *fetch) toFile(ctx context.Context, name string) (err error) {
	p, err := openPart(name, f.url)
	if err != nil {
		return err
	}
	defer p.close()
	if n := p.have(); n > 0 {
		fmt.Fprintf(f.stderr, "going on after %s of %s\n", formatSize(n), name)
	}
	if err := f.attempts(ctx, func(ctx context.Context) error { return f.resume(ctx, p) }); err != nil {
		if n := p.have(); n > 0 {
			return fmt.Errorf("%w\n%s of it are in %s; run the same command again to go on", err, formatSize(n), p.name())
		}
		p.discard()
		return err
	}
	if f.sum != "" {
		have, err := p.digest()
		if err != nil {
			return err
		}
		if have != f.sum {
			p.discard()
			return fmt.Errorf("the file has the SHA-256 %s, not %s: it was thrown away", have, f.sum)
		}
	}
	return p.finish(name)
}

// toStream downloads to w in one go: there is nothing to resume.
func (f *fetch) toStream(ctx context.Context, w io.Writer) error {
	digest := sha256.New()
	f.retries = 0
	err := f.attempts(ctx, func(ctx context.Context) error {
		resp, err := f.request(ctx, 0, "")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the server answered %s", resp.Status)
		}
		f.size.Store(resp.ContentLength)
		return f.copy(io.MultiWriter(w, digest), resp.Body)
	})
	if have := hex.EncodeToString(digest.Sum(nil)); err == nil && f.sum != "" && have != f.sum {
		return fmt.Errorf("the file has the SHA-256 %s, not %s", have, f.sum)
	}
	return err
}

// pause is the time between two attempts.
const pause = time.Second

// attempts tries until it works, the failure is lasting, or there have been enough. An attempt that got
// bytes does not count.
func (f *fetch) attempts(ctx context.Context, try func(context.Context) error) error {
	f.began = time.Now()
	f.size.Store(-1)
	ctx, cancel := context.WithCancel(ctx)
	stop := f.show()
	defer func() {
		f.took = time.Since(f.began)
		stop()
		f.ledger.refresh()
		cancel()
	}()
	for left := f.retries; ; left-- {
		before := f.moved.Load()
		err := try(f.ledger.trace(ctx))
		var last *lasting
		if err == nil || errors.As(err, &last) || settled(err) || ctx.Err() != nil {
			return err
		}
		if f.moved.Load() > before {
			left = f.retries
		}
		if left <= 0 {
			return err
		}
		f.screen.clear()
		fmt.Fprintf(f.stderr, "%v; trying again\n", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// request asks for the bytes from offset on, as long as the file is still the one that validator names.
func (f *fetch) request(ctx context.Context, offset int64, validator string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, &lasting{err}
	}
	req.Header.Set("User-Agent", "mptcp-get")
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		req.Header.Set("If-Range", validator)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	if s := resp.StatusCode; s >= 400 && s < 500 && s != http.StatusRequestedRangeNotSatisfiable && s != http.StatusTooManyRequests && s != http.StatusRequestTimeout {
		resp.Body.Close()
		return nil, &lasting{fmt.Errorf("the server answered %s for %s", resp.Status, f.url)}
	}
	return resp, nil
}

// resume fetches what is missing from p.
func (f *fetch) resume(ctx context.Context, p *part) error {
	resp, err := f.request(ctx, p.have(), p.validator())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK: // from the start: nothing there yet, no ranges, or the file has changed
		if err := p.restart(validatorOf(resp.Header)); err != nil {
			return &lasting{err}
		}
		f.size.Store(resp.ContentLength)
	case http.StatusPartialContent:
		first, size, err := parseContentRange(resp.Header.Get("Content-Range"))
		if err != nil || first != p.have() {
			return &lasting{fmt.Errorf("the server sent another range than asked for: %q", resp.Header.Get("Content-Range"))}
		}
		f.size.Store(size)
	case http.StatusRequestedRangeNotSatisfiable:
		if size, ok := strings.CutPrefix(resp.Header.Get("Content-Range"), "bytes */"); ok && size == strconv.FormatInt(p.have(), 10) && p.have() > 0 {
			return nil // everything was there already
		}
		if err := p.restart(""); err != nil {
			return &lasting{err}
		}
		return errors.New("the file on the server has become shorter")
	default:
		return fmt.Errorf("the server answered %s", resp.Status)
	}
	f.offset = p.have()
	f.got.Store(f.offset)
	if err := f.copy(p, resp.Body); err != nil {
		return err
	}
	if size := f.size.Load(); size >= 0 && p.have() != size {
		return fmt.Errorf("the server sent %d bytes of %d", p.have(), size)
	}
	return nil
}

// copy moves the body and counts. Failures of the disk are lasting.
func (f *fetch) copy(w io.Writer, body io.Reader) error {
	buf := make([]byte, 256<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return &lasting{err}
			}
			f.got.Add(int64(n))
			f.moved.Add(int64(n))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// parseContentRange reads "bytes 100-199/200"; the size is -1 when it is "*".
func parseContentRange(text string) (first, size int64, err error) {
	bad := fmt.Errorf("malformed Content-Range %q", text)
	span, total, ok := strings.Cut(strings.TrimPrefix(text, "bytes "), "/")
	if !ok || !strings.HasPrefix(text, "bytes ") {
		return 0, 0, bad
	}
	from, to, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, bad
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	if err1 != nil || err2 != nil || first < 0 || last < first {
		return 0, 0, bad
	}
	if total == "*" {
		return first, -1, nil
	}
	if size, err = strconv.ParseInt(total, 10, 64); err != nil || last >= size {
		return 0, 0, bad
	}
	return first, size, nil
}

// show draws progress until the returned function is called.
func (f *fetch) show() (stop func()) {
	if !f.screen.live() {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(2 * tick)
		defer t.Stop()
		for {
			select {
			case <-done:
				f.screen.clear()
				return
			case <-t.C:
				f.screen.progress(f.lines()...)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// lines are the live progress: the whole, then each path.
func (f *fetch) lines() []string {
	got, size := f.got.Load(), f.size.Load()
	speed := formatRate(f.moved.Load(), time.Since(f.began))
	head := fmt.Sprintf("%10s  %12s", formatSize(got), speed)
	if size > 0 {
		left := ""
		if r := perSecond(f.moved.Load(), time.Since(f.began)); r > 0 {
			left = "  " + (time.Duration((size-got)/r) * time.Second).String() + " left"
		}
		head = fmt.Sprintf("[%s] %3d %%  %s of %s  %s%s", bar(float64(got)/float64(size), 24), percent(got, size), formatSize(got), formatSize(size), speed, left)
	}
	lines := []string{head}
	for _, p := range f.ledger.paths(endpoints) {
		lines = append(lines, fmt.Sprintf("  %-44s %10s", p.Name, formatSize(p.Received)))
	}
	return lines
}

// report says on standard error what was done, in a few lines.
func (f *fetch) report(name string) {
	if f.moved.Load() == 0 {
		fmt.Fprintf(f.stderr, "%s: complete already\n", name)
		return
	}
	fmt.Fprintf(f.stderr, "%s: %s in %s, %s, over %s\n", name, formatSize(f.moved.Load()), formatTime(f.took), formatRate(f.moved.Load(), f.took), f.ledger.carriedBy())
	for _, p := range f.ledger.paths(endpoints) {
		fmt.Fprintf(f.stderr, "  %-44s %10s\n", p.Name, formatSize(p.Received))
	}
}
