package nettest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// roles are what a program can be.
var roles = map[string]func(*actor) error{
	"server":  (*actor).serve,   // takes jobs
	"client":  (*actor).client,  // gives one
	"web":     (*actor).web,     // HTTP server
	"fetcher": (*actor).fetcher, // HTTP client
	"greeter": (*actor).greeter, // a server that speaks first
	"guest":   (*actor).guest,   // and its client
	"mute":    (*actor).mute,    // a server that never answers
	"caller":  (*actor).caller,  // and its client, which only connects
	"flooder": (*actor).flooder, // sends SYNs
	"prober":  (*actor).prober,  // sends some and tells what comes back

	"quick server": (*actor).quickServer, // takes many short connections
	"quick client": (*actor).quickClient, // and makes them
}

// actor is a program as it sees itself.
type actor struct {
	order
	began time.Time

	out sync.Mutex // guards standard output

	mu    sync.Mutex
	conns []net.Conn // oldest first

	stopped chan struct{} // closed when senders are to stop
	served  atomic.Int64  // connections of a quick server
}

// obey is the main function of a program.
func obey(text string) int {
	a := &actor{began: time.Now(), stopped: make(chan struct{})}
	if err := json.Unmarshal([]byte(text), &a.order); err != nil {
		a.fail(err)
		return 1
	}
	go func() {
		if err := roles[a.Role](a); err != nil {
			a.fail(err)
		}
	}()
	a.listen()
	return 0
}

// listen takes commands until standard input ends: then so does the program.
func (a *actor) listen() {
	stop := sync.OnceFunc(func() { close(a.stopped) })
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		verb, arg, _ := strings.Cut(in.Text(), " ")
		switch verb {
		case "stop":
			stop()
		case "state":
			a.state()
		case "usage":
			a.measure()
		case "close":
			if err := mptcp.DefaultTransport.Close(); err != nil {
				a.fail(err)
			}
		case "stacks":
			a.state()
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) // for whoever looks into a failure
		default:
			if err := a.steer(verb, arg); err != nil {
				a.fail(fmt.Errorf("%s: %w", in.Text(), err))
			}
		}
	}
}

func (a *actor) say(r report) {
	r.At = time.Since(a.began)
	b, err := json.Marshal(r)
	if err != nil {
		b = fmt.Appendf(nil, `{"Kind":"failed","Err":%q}`, err)
	}
	a.out.Lock()
	defer a.out.Unlock()
	os.Stdout.Write(append(b, '\n'))
}

func (a *actor) fail(err error) { a.say(report{Kind: "failed", Err: err.Error()}) }

// state reports the newest connection that is there.
func (a *actor) state() {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := report{Kind: "state"}
	if n := len(a.conns); n > 0 {
		r = describe(r, a.conns[n-1])
	}
	a.say(r)
}

// describe adds what is known of a connection.
func describe(r report, nc net.Conn) report {
	r.Local, r.Remote = nc.LocalAddr().String(), nc.RemoteAddr().String()
	if c, ok := extapi.From(nc); ok {
		r.Info, r.Subflows = c.Info(), c.Subflows()
		r.Conn = r.Info.ID
		r.Counters = mptcp.DefaultTransport.Counters()
		return r
	}
	if t, ok := nc.(*net.TCPConn); ok {
		r.Info.Carrier = extapi.CarrierTCP
		if on, err := t.MultipathTCP(); err == nil && on {
			r.Info.Carrier = extapi.CarrierKernel
		}
	}
	return r
}

// enter notes a connection and reports its events.
func (a *actor) enter(nc net.Conn) {
	a.mu.Lock()
	a.conns = append(a.conns, nc)
	a.mu.Unlock()
	c, ok := nc.(*mptcp.Conn)
	if !ok {
		return
	}
	events := c.Watch(context.Background())
	go func() {
		for ev := range events {
			r := report{Kind: "event", Conn: c.Info().ID, Event: ev.Name(), Detail: ev.LogValue().String()}
			switch ev := ev.(type) {
			case extapi.MetricsUpdated, extapi.DataReinjected, extapi.Scheduled:
				continue // many
			case extapi.SubflowEstablished:
				r.Subflows = []extapi.SubflowInfo{ev.Info}
			case extapi.SubflowClosed:
				r.Subflows = []extapi.SubflowInfo{ev.Info}
			}
			a.say(r)
		}
	}()
}

// config is the library's configuration that the order asks for.
func (a *actor) config() mptcp.Config {
	return mptcp.Config{
		Mode: a.Mode, Discovery: a.Discovery, Peers: a.Peers,
		Paths: a.Paths.paths(), ServerSpeaksFirst: a.SpeaksFirst, Checksum: a.Checksum,
	}
}

// open dials as the order says.
func (a *actor) open(addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	if a.Stack == "net" {
		var d net.Dialer
		d.SetMultipathTCP(a.Mode != mptcp.ModeTCP)
		if a.FastOpen {
			d.Control = fastOpening
		}
		return d.DialContext(ctx, "tcp", addr)
	}
	return (&mptcp.Dialer{Config: a.config()}).DialContext(ctx, "tcp", addr)
}

// fastOpening has a socket send its SYN with the first write. It is nil on systems that these programs do not run on.
var fastOpening func(network, addr string, c syscall.RawConn) error

// announce listens as the order says.
func (a *actor) announce() (net.Listener, error) {
	var l net.Listener
	var err error
	if a.Stack == "net" {
		var lc net.ListenConfig
		lc.SetMultipathTCP(a.Mode != mptcp.ModeTCP)
		l, err = lc.Listen(context.Background(), "tcp", a.Addr)
	} else {
		l, err = (&mptcp.ListenConfig{Config: a.config(), Announce: a.Announce}).Listen(context.Background(), "tcp", a.Addr)
	}
	if err == nil {
		a.say(report{Kind: "listening", Addr: l.Addr().String()})
	}
	return l, err
}

// accept hands every connection that comes to begin, which must not wait for it.
func (a *actor) accept(begin func(net.Conn)) error {
	l, err := a.announce()
	if err != nil {
		return err
	}
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		begin(nc)
	}
}

// serve does the jobs that come over connections.
func (a *actor) serve() error {
	return a.accept(func(nc net.Conn) {
		a.enter(nc)
		go func() {
			if err := a.serveOne(nc); err != nil {
				a.fail(err)
			}
		}()
	})
}

func (a *actor) serveOne(nc net.Conn) error {
	defer nc.Close()
	in := bufio.NewReaderSize(nc, 512)
	line, err := in.ReadBytes('\n')
	if len(line) == 0 && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
		return nil // closed unused: a dialer found no Multipath TCP here, or too late, or its preface came too late, and has dialled again
	}
	if err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	var j job
	if err := json.Unmarshal(line, &j); err != nil {
		return fmt.Errorf("job %q: %w", line, err)
	}
	a.say(describe(report{Kind: "accepted"}, nc))
	return a.work(nc, in, j.Down, j.Up, j)
}

// client gives its job to a server and does its own part.
func (a *actor) client() error {
	nc, err := a.open(a.Addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	a.enter(nc)
	a.say(describe(report{Kind: "connected"}, nc))
	line, err := json.Marshal(a.Job)
	if err != nil {
		return err
	}
	line = append(bytes.Repeat([]byte(" "), a.Job.Preface), line...)
	if _, err := nc.Write(append(line, '\n')); err != nil {
		return err
	}
	return a.work(nc, bufio.NewReaderSize(nc, 512), a.Job.Up, a.Job.Down, a.Job)
}

// work sends and receives at once, and reports when both are over.
func (a *actor) work(nc net.Conn, in *bufio.Reader, send, receive bool, j job) error {
	var wg sync.WaitGroup
	var sent, received tally
	var sendErr, receiveErr error
	over := make(chan struct{}) // nothing more comes
	wg.Go(func() {
		if send {
			sent, sendErr = a.send(nc, j)
		} else if j.Hold {
			<-over
		}
		if err := nc.(interface{ CloseWrite() error }).CloseWrite(); sendErr == nil {
			sendErr = err
		}
	})
	wg.Go(func() {
		defer close(over)
		received, receiveErr = a.receive(in, j)
	})
	wg.Wait()
	if err := errors.Join(sendErr, receiveErr); err != nil {
		return fmt.Errorf("sent %d, received %d: %w", sent.Bytes, received.Bytes, err)
	}
	if !receive && received.Bytes > 0 {
		return fmt.Errorf("%d bytes that nobody sent", received.Bytes)
	}
	a.say(describe(report{Kind: "done", Sent: sent, Received: received}, nc))
	return nil
}

// send writes the pattern until the job is done.
func (a *actor) send(nc net.Conn, j job) (tally, error) {
	var t tally
	began := time.Now()
	for {
		select {
		case <-a.stopped:
			return t, nil
		default:
		}
		if j.For > 0 && time.Since(began) >= j.For || j.Bytes > 0 && t.Bytes >= j.Bytes {
			return t, nil
		}
		b := pattern(t.Bytes)
		if j.Bytes > 0 {
			b = b[:min(int64(len(b)), j.Bytes-t.Bytes)]
		}
		if j.Rate > 0 {
			b = b[:16*kib]
			due := time.Duration(float64(t.Bytes) / float64(j.Rate) * 1e9)
			time.Sleep(due - time.Since(began))
		}
		n, err := nc.Write(b)
		t.Bytes += int64(n)
		t.Took = time.Since(began)
		if err != nil {
			return t, err
		}
	}
}

// receive reads until the end and checks every byte.
func (a *actor) receive(in *bufio.Reader, j job) (tally, error) {
	var t tally
	buf := make([]byte, 64*kib)
	var first, last time.Time
	for {
		n, err := in.Read(buf)
		now := time.Now()
		if n > 0 {
			if last.IsZero() {
				first, last = now, now
			}
			if gap := now.Sub(last); gap > t.Gap {
				t.Gap, t.GapEnd = gap, now.Sub(a.began)
			}
			last = now
			if t.Bytes == 0 {
				time.Sleep(j.Nap)
			}
			t.Took = last.Sub(first)
			if i := differs(t.Bytes, buf[:n]); i >= 0 && j.Damaged {
				t.Wrong++
			} else if i >= 0 {
				return t, fmt.Errorf("byte %d is wrong", t.Bytes+int64(i))
			}
			t.Bytes += int64(n)
		}
		switch {
		case err == nil:
		case strings.HasSuffix(err.Error(), "EOF"):
			return t, nil
		default:
			return t, err
		}
	}
}
