package main

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/scheduler"
)

var modes = map[string]mptcp.Mode{
	"auto": mptcp.ModeAuto, "stream": mptcp.ModeStream, "wire": mptcp.ModeWire, "kernel": mptcp.ModeKernel, "tcp": mptcp.ModeTCP,
}

// connFlags are the flags of every command that opens or accepts connections.
type connFlags struct {
	mode, scheduler, congestion string
	paths                       pathsFlag
	subflows                    int
	require                     bool
	secretFile                  string
	verbose                     bool
}

func (c *connFlags) register(fs *cli) {
	fs.StringVar(&c.mode, "mode", "auto", "what carries the data: `auto|stream|wire|kernel|tcp`")
	schedulers, controls := scheduler.Names(), congestion.Names()
	fs.StringVar(&c.scheduler, "scheduler", schedulers[0], "which path is next: `"+strings.Join(schedulers, "|")+"`")
	fs.StringVar(&c.congestion, "congestion", controls[0], "with -mode wire, congestion control: `"+strings.Join(controls, "|")+"`; lia, olia and balia are coupled")
	fs.Var(&c.paths, "paths", "`policy` of the paths, such as \"wlan*=backup,eth0=prefer,*=never\"")
	fs.IntVar(&c.subflows, "subflows", 0, "at most this many paths at once; 0: 8")
	fs.BoolVar(&c.require, "require", false, "fail rather than fall back to plain TCP")
	fs.StringVar(&c.secretFile, "secret-file", "", "`file` whose first line both ends share; only who knows it can connect")
	fs.BoolVar(&c.verbose, "v", false, "log every event of a connection")
}

// config is what the flags say.
func (c *connFlags) config(e *env) (mptcp.Config, error) {
	var cfg mptcp.Config
	mode, ok := modes[c.mode]
	if !ok {
		return cfg, usagef("-mode %s: choose auto, stream, wire, kernel or tcp", c.mode)
	}
	sched, err := scheduler.ByName(c.scheduler)
	if err != nil {
		return cfg, usagef("-scheduler %s: choose %s", c.scheduler, oneOf(scheduler.Names()))
	}
	cc, err := congestion.ByName(c.congestion)
	if err != nil {
		return cfg, usagef("-congestion %s: choose %s", c.congestion, oneOf(congestion.Names()))
	}
	if c.subflows < 0 {
		return cfg, usagef("-subflows %d: it is a number of paths", c.subflows)
	}
	cfg.Mode, cfg.Scheduler, cfg.Congestion, cfg.RequireMultipath = mode, sched, cc, c.require
	cfg.Paths.Rules, cfg.Paths.MaxSubflows = c.paths.rules, c.subflows
	if c.secretFile != "" {
		secret, err := readSecret(c.secretFile)
		if err != nil {
			return cfg, err
		}
		cfg.Secret = secret
	}
	if c.verbose {
		cfg.Logger = verboseLogger(e)
	}
	return cfg, nil
}

// oneOf is a choice in words: "a, b or c".
func oneOf(names []string) string {
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// verboseLogger writes everything to standard error.
func verboseLogger(e *env) *slog.Logger {
	return slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// discoveries are the values of -discover.
var discoveries = map[string]mptcp.Discovery{
	"private": mptcp.DiscoverPrivate, "all": mptcp.DiscoverAll, "none": mptcp.DiscoverNone,
}

// dialFlags are the flags of every command that dials.
type dialFlags struct {
	connFlags
	peer     bool
	discover string
	timeout  time.Duration
}

func (d *dialFlags) register(fs *cli) {
	d.connFlags.register(fs)
	fs.BoolVar(&d.peer, "peer", false, "the host is known to speak multipath: do not ask it first")
	fs.StringVar(&d.discover, "discover", "private", "unknown hosts to ask whether they speak multipath: `private|all|none`")
	fs.DurationVar(&d.timeout, "connect-timeout", 30*time.Second, "give up connecting after this `time`")
}

// dialer is what the flags say, for connections to host (as in Config.Peers) over t.
func (d *dialFlags) dialer(e *env, t *mptcp.Transport, host string) (*mptcp.Dialer, error) {
	cfg, err := d.config(e)
	if err != nil {
		return nil, err
	}
	discovery, ok := discoveries[d.discover]
	if !ok {
		return nil, usagef("-discover %s: choose private, all or none", d.discover)
	}
	if d.timeout <= 0 {
		return nil, usagef("-connect-timeout %v: it must be positive", d.timeout)
	}
	cfg.Discovery = discovery
	if d.peer {
		if host == "" || strings.HasPrefix(host, ":") {
			return nil, usagef("-peer: there is no host to know")
		}
		cfg.Peers = []string{host}
	}
	return &mptcp.Dialer{Config: cfg, Transport: t}, nil
}

// withTimeout is d.DialContext that gives up after a time.
func withTimeout(d *mptcp.Dialer, timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return d.DialContext(ctx, network, address)
	}
}

// farewell is how long a command that is done waits for the last bytes to be delivered.
const farewell = 10 * time.Second

// closeTransport delivers what was written, then ends everything. A userspace transport cannot deliver
// after the process has gone.
func closeTransport(t *mptcp.Transport) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = t.Shutdown(ctx)
	_ = t.Close()
}
