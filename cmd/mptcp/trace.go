package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/httpx"
)

const traceHelp = `
Runs one transfer and shows what happens on its way: every segment with its options, and the events of the connection
between them. With a URL the transfer is a GET, whose body -o keeps; with HOST:PORT standard input is sent, and what
comes back goes to -o.

Segments are seen with -mode wire, the default here, which needs Linux and CAP_NET_RAW ("mptcp info"). In the other
modes they are the kernel's: only events are shown, and tcpdump shows the rest.

A line begins with the seconds since the start. Then come
  1 > SYN ...     a segment sent on path 1; "<": received. Numbers count from the first of each direction, as
                  Wireshark counts; SACK blocks too. What MPTCP options say is as on the wire.
  * connection 1  an event of a connection

At the end come the counters of our TCP that are not 0: those of RFC 4898 under its names, those of Multipath TCP under
Linux's ("nstat -az 'MPTcpExt*'").

-w writes the segments to a file that Wireshark and tshark open. It holds the payload, and the keys of the connection:
whoever has it while the connection lives can join that.

Examples:
  mptcp trace http://server.example:8080/file
  mptcp trace -w file.pcap -q http://server.example:8080/file && tshark -r file.pcap -Y tcp.options.mptcp.subtype==1
  mptcp trace -w - http://server.example:8080/file | wireshark -k -i -
  echo hello | mptcp trace server.example:7000
  mptcp trace -mode stream -chunks http://server.internal:8080/file

` + policyHelp

// tracer is what the flags of trace say.
type tracer struct {
	dialFlags
	file, out     string
	quiet, chunks bool
}

func runTrace(ctx context.Context, e *env) error {
	c := e.flags("trace [flags] URL|HOST:PORT", traceHelp)
	var t tracer
	t.register(c)
	t.mode, c.Lookup("mode").DefValue = "wire", "wire"
	c.StringVar(&t.file, "w", "", "write the segments to `FILE` in pcap format; - is standard output, without lines")
	c.StringVar(&t.out, "o", "", "write what is received to `FILE`; default: throw it away")
	c.BoolVar(&t.chunks, "chunks", false, "show also which path each chunk of data goes to, and how the paths do")
	c.BoolVar(&t.quiet, "q", false, "show no lines, only the sum")
	args, err := c.parse(1, 1)
	if err != nil {
		return err
	}
	u, addr, err := traceTarget(args[0])
	if err != nil {
		return err
	}
	if t.file != "" && t.mode != "wire" {
		return usagef("-w needs -mode wire: in mode %s the segments are the kernel's, and tcpdump writes them", t.mode)
	}
	return t.run(ctx, e, u, addr)
}

// traceTarget is a URL, or nil and an address.
func traceTarget(text string) (*url.URL, string, error) {
	if strings.Contains(text, "://") {
		u, err := parseURL(text)
		return u, "", err
	}
	if _, _, err := net.SplitHostPort(text); err != nil {
		return nil, "", usagef("%q is neither a URL nor HOST:PORT", text)
	}
	return nil, text, nil
}

func (t *tracer) run(ctx context.Context, e *env, u *url.URL, addr string) (err error) {
	var files openFiles
	defer func() { err = errors.Join(err, files.close()) }()
	text, pcap, body := e.stdout, io.Writer(nil), io.Discard
	switch {
	case t.file == "-":
		text, pcap = nil, e.stdout
	case t.file != "":
		if pcap, err = files.create(t.file); err != nil {
			return err
		}
	}
	if t.out != "" {
		if body, err = files.create(t.out); err != nil {
			return err
		}
	}
	if t.quiet {
		text = nil
	}
	r, err := newRecorder(text, pcap, t.chunks)
	if err != nil {
		return err
	}
	n, counters, err := t.transfer(ctx, e, r, u, addr, body)
	packets, lost, failure := r.close()
	switch {
	case err != nil && packets == 0 && n == 0: // it did not begin
	case t.mode == "wire":
		fmt.Fprintf(e.stderr, "%d segments, %s received\n%s", packets, formatSize(n), formatCounters(counters))
	default:
		fmt.Fprintf(e.stderr, "%s received; the segments are the kernel's\n", formatSize(n))
	}
	if lost > 0 {
		fmt.Fprintf(e.stderr, "%d segments or events came faster than they could be written, and are missing\n", lost)
	}
	return errors.Join(err, failure)
}

// openFiles are files to be closed at the end.
type openFiles []*os.File

func (l *openFiles) create(name string) (io.Writer, error) {
	f, err := os.Create(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	*l = append(*l, f)
	return f, nil
}

func (l *openFiles) close() (err error) {
	for _, f := range *l {
		err = errors.Join(err, f.Close())
	}
	return err
}

// transfer runs the transfer to its end, connections and all, and returns how many bytes have come and what our TCP has
// counted.
func (t *tracer) transfer(ctx context.Context, e *env, r *recorder, u *url.URL, addr string, body io.Writer) (n int64, counters extapi.Counters, err error) {
	tr := &mptcp.Transport{Capture: r.capture}
	defer closeTransport(tr)
	if u != nil {
		addr = peerOf(u)
	}
	dialer, err := t.dialer(e, tr, addr)
	if err != nil {
		return 0, counters, err
	}
	dialer.Trace = r.trace
	if u != nil {
		n, err = t.get(ctx, dialer, u, body)
	} else {
		n, err = t.talk(ctx, e, dialer, addr, body)
	}
	if err == nil {
		awaitEnd(ctx, r)
	}
	return n, tr.Counters(), err
}

// lastWords is how long trace waits for the ends of connections that were closed, which are worth seeing too.
const lastWords = 2 * time.Second

// awaitEnd waits until both sides have closed everything.
func awaitEnd(ctx context.Context, r *recorder) {
	ctx, cancel := context.WithTimeout(ctx, lastWords)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for r.conns.Load() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// get is a GET without compression.
func (t *tracer) get(ctx context.Context, d *mptcp.Dialer, u *url.URL, body io.Writer) (int64, error) {
	transport := httpx.NewTransport(d, &http.Transport{DisableCompression: true, TLSHandshakeTimeout: t.timeout})
	transport.DialContext = withTimeout(d, t.timeout)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("User-Agent", "mptcp-trace")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(body, resp.Body)
	if err == nil && resp.StatusCode >= 400 {
		err = fmt.Errorf("the server answered %s", resp.Status)
	}
	return n, err
}

// talk sends standard input and receives until the peer ends.
func (t *tracer) talk(ctx context.Context, e *env, d *mptcp.Dialer, addr string, body io.Writer) (int64, error) {
	dialCtx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	c, err := d.DialMultipath(dialCtx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	sent := make(chan error, 1)
	go func() { // it ends with standard input, or with the connection
		var err error
		if e.stdin != nil {
			_, err = io.Copy(c, e.stdin)
		}
		sent <- errors.Join(err, c.CloseWrite())
	}()
	n, err := io.Copy(body, c)
	if ctx.Err() != nil {
		return n, ctx.Err()
	}
	if err == nil {
		select {
		case err = <-sent:
		default: // the peer does not want the rest
		}
	}
	return n, err
}
