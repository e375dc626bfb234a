package main

import (
	"context"
	"net"
	"strings"
	"time"
)

const perfHelp = `
Measures how fast data moves between two machines and over which paths, like iperf3. One machine runs the server; the
client runs a test and prints what moved. The last line counts, and waits for, what has arrived at the other side. With
-mode wire the client's TCP is ours: those of its counters follow that are not 0 (with -json all), under the names of
RFC 4898 and, those of Multipath TCP, of Linux ("nstat -az 'MPTcpExt*'").

Examples:
  server$ mptcp perf -s
  client$ mptcp perf -c server.example                 ten seconds, client to server
  client$ mptcp perf -c server.example -R -t 30        server to client
  client$ mptcp perf -c server.example -bidir -P 4     both ways at once, four connections
  client$ mptcp perf -c server.example -n 1GiB -json   a fixed amount, as JSON
  client$ mptcp perf -c server.example -mode tcp       plain TCP, for comparison

` + policyHelp

const perfPort = "5252"

// Bounds on what a client may ask of a server.
const (
	perfMaxTime    = time.Hour
	perfMaxStreams = 128
	perfChunk      = 128 << 10
)

// perf is what the flags of perf say.
type perf struct {
	dialFlags
	server   bool
	client   string
	addr     string
	duration time.Duration
	bytes    sizeFlag
	reverse  bool
	bidir    bool
	streams  int
	interval time.Duration
	json     bool
	clients  int
	announce addrsFlag
}

func runPerf(ctx context.Context, e *env) error {
	c := e.flags("perf -s [flags] | perf -c HOST[:PORT] [flags]", perfHelp)
	var p perf
	p.register(c)
	c.BoolVar(&p.server, "s", false, "be the server")
	c.StringVar(&p.addr, "addr", ":"+perfPort, "the server listens on this `address`")
	c.IntVar(&p.clients, "max", perfMaxStreams, "the server serves at most this `many` connections at once")
	c.Var(&p.announce, "announce", "the server tells clients of these `addresses`, instead of those found; separated by commas")
	c.StringVar(&p.client, "c", "", "be a client of this `host`")
	c.DurationVar(&p.duration, "t", 10*time.Second, "measure for this `time`; 10 means ten seconds too")
	c.Var(&p.bytes, "n", "send this `much` instead, such as 1GiB")
	c.BoolVar(&p.reverse, "R", false, "the server sends")
	c.BoolVar(&p.bidir, "bidir", false, "both send")
	c.IntVar(&p.streams, "P", 1, "over this `many` connections at once")
	c.DurationVar(&p.interval, "i", time.Second, "report every so `often`; 0: at the end only")
	c.BoolVar(&p.json, "json", false, "print the result as JSON")
	e.args = plainSeconds(e.args, "t", "i")
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	if p.server {
		return p.serve(ctx, e)
	}
	return p.measure(ctx, e)
}

// plainSeconds turns "-t 10" into "-t 10s", as users of iperf3 write it.
func plainSeconds(args []string, names ...string) []string {
	out := append([]string(nil), args...)
	for i, a := range out {
		name, value, joined := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if !strings.HasPrefix(a, "-") {
			continue
		}
		for _, n := range names {
			switch {
			case name == n && joined && isNumber(value):
				out[i] = a + "s"
			case name == n && !joined && i+1 < len(out) && isNumber(out[i+1]):
				out[i+1] += "s"
			}
		}
	}
	return out
}

func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-") // which is refused with the reason
	return s != "" && strings.Trim(s, "0123456789.") == ""
}

func (p *perf) check() error {
	switch {
	case p.server == (p.client != ""):
		return usagef("either -s or -c HOST")
	case p.reverse && p.bidir:
		return usagef("-R and -bidir exclude each other")
	case p.streams < 1 || p.streams > perfMaxStreams:
		return usagef("-P %d: from 1 to %d connections", p.streams, perfMaxStreams)
	case p.duration <= 0 || p.duration > perfMaxTime:
		return usagef("-t %v: more than 0, at most %v", p.duration, perfMaxTime)
	case p.interval < 0 || p.interval > 0 && p.interval < 50*time.Millisecond:
		return usagef("-i %v: 0, or at least 50ms", p.interval)
	case p.clients < 1:
		return usagef("-max %d: at least one connection", p.clients)
	}
	if p.client != "" {
		if _, _, err := net.SplitHostPort(p.client); err != nil {
			p.client = net.JoinHostPort(strings.Trim(p.client, "[]"), perfPort)
		}
	}
	return nil
}

// direction of a test, as the client sees it.
func (p *perf) direction() string {
	switch {
	case p.bidir:
		return "both"
	case p.reverse:
		return "down"
	}
	return "up"
}
