// Command mptcp shows Multipath TCP at work and puts it to use: a demo, a file server and a downloader, a
// forwarder for programs that know nothing of it, a speed test, what this machine offers and what the network lets
// through, and a look at single segments.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// env is everything that a command has of the world, so that tests can give it another one.
type env struct {
	args           []string  // without the names of program and command
	stdin          io.Reader // nil: there is nothing
	stdout, stderr io.Writer
	term           *terminal      // of stderr; nil: not a terminal, and no progress is shown
	listening      func(net.Addr) // told once a server listens; nil: nobody asks
}

func (e *env) announceListening(a net.Addr) {
	if e.listening != nil {
		e.listening(a)
	}
}

// command is one subcommand.
type command struct {
	name    string
	summary string
	run     func(context.Context, *env) error
}

var commands = []command{
	{"demo", "two emulated links, one of which fails, in one process", runDemo},
	{"serve", "serve a directory over HTTP on every path", runServe},
	{"get", "download a file over every path", runGet},
	{"forward", "give multipath to programs that know only TCP", runForward},
	{"perf", "measure speed, like iperf3", runPerf},
	{"info", "what this machine offers", runInfo},
	{"check", "what the network lets through of Multipath TCP, path by path", runCheck},
	{"trace", "show a connection's segments and events, and write them for Wireshark", runTrace},
	{"lab", "a path with delays, losses and middleboxes between two namespaces", runLab},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	e := &env{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, term: openTerminal(os.Stderr)}
	os.Exit(run(ctx, e, os.Args[1:]))
}

// run finds the command and turns what it returns into an exit code.
func run(ctx context.Context, e *env, args []string) int {
	if len(args) == 0 {
		overview(e.stderr)
		return exitUsage
	}
	name := args[0]
	switch name {
	case "-h", "-help", "--help", "help":
		if name == "help" && len(args) > 1 {
			return run(ctx, e, []string{args[1], "-h"})
		}
		overview(e.stdout)
		return exitOK
	}
	for _, c := range commands {
		if c.name == name {
			e.args = args[1:]
			return e.finish(name, c.run(ctx, e))
		}
	}
	fmt.Fprintf(e.stderr, "mptcp: there is no command %q. Run \"mptcp -h\" for the list.\n", name)
	return exitUsage
}

func overview(w io.Writer) {
	fmt.Fprint(w, "mptcp uses every path between two machines at once.\n\nUsage: mptcp COMMAND [flags] [arguments]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nStart with \"mptcp demo\". \"mptcp COMMAND -h\" explains a command, with examples.\n"+
		"Exit codes: 0 success, 1 failure, 2 wrong usage.\n")
}

// finish reports err and chooses the exit code.
func (e *env) finish(name string, err error) int {
	var u *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &u):
		fmt.Fprintf(e.stderr, "mptcp %s: %v\nRun \"mptcp %s -h\" for help.\n", name, err, name)
		return exitUsage
	}
	fmt.Fprintf(e.stderr, "mptcp %s: %v\n", name, err)
	if hint := advice(err); hint != "" {
		fmt.Fprintln(e.stderr, hint)
	}
	return exitFailure
}
