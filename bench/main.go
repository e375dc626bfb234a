//go:build linux

// Command bench compares this library with kernel TCP, kernel MPTCP and Go's multiplexers on the same
// work. Every contender runs in processes of its own (a server and a client), the contenders take
// turns (A B C A B C) so that a noisy machine hurts all of them alike, and what is printed is medians,
// ranges and ratios of medians within one run. It makes its own network namespaces and needs root.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	works      string
	contenders string
	rounds     int
	cc         string
	linkCC     string
	subflows   int
	dead       string
	upload     bool
	quick      bool
	from       string
	json       string
	svg        string
	md         string
	timeout    time.Duration
}

func parseFlags(args []string) (*options, error) {
	o := new(options)
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&o.works, "work", "all", "comma-separated `list` of works or groups (see below)")
	fs.StringVar(&o.contenders, "contenders", "all", "comma-separated `list` of contenders")
	fs.IntVar(&o.rounds, "rounds", 7, "rounds per work; the contenders take turns within each")
	fs.StringVar(&o.cc, "cc", "bbr,reno", "congestion controls for the works on loopback")
	fs.StringVar(&o.linkCC, "link-cc", "", "congestion controls for the works on emulated links (default: the machine's own)")
	fs.IntVar(&o.subflows, "subflows", 0, "subflows for the works on loopback, 1 or 2 (default: as each work says)")
	fs.StringVar(&o.dead, "dead", "alternate", "link that dies in the failover works: 1, 2, or alternate by round")
	fs.BoolVar(&o.upload, "upload", false, "works on links: the client sends (default: the server does)")
	fs.BoolVar(&o.quick, "quick", false, "less work and 3 rounds: a check of the harness, not a measurement")
	fs.StringVar(&o.from, "from", "", "comma-separated `list` of files that -json wrote: show what they say, in this order, and run nothing")
	fs.StringVar(&o.json, "json", "", "write all values as JSON to `FILE`")
	fs.StringVar(&o.svg, "svg", "", "write a chart to `FILE`")
	fs.StringVar(&o.md, "md", "", "write the tables as Markdown, with the command that made them, to `FILE`")
	fs.DurationVar(&o.timeout, "timeout", 3*time.Minute, "ceiling for one run of one contender")
	fs.Usage = func() { usage(fs) }
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("bench: unexpected argument %q; see bench -h", fs.Arg(0))
	}
	if o.quick && !isSet(fs, "rounds") {
		o.rounds = 3
	}
	if o.rounds < 1 {
		return nil, errors.New("bench: -rounds must be at least 1")
	}
	return o, nil
}

func isSet(fs *flag.FlagSet, name string) (set bool) {
	fs.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

func usage(fs *flag.FlagSet) {
	w := fs.Output()
	fmt.Fprint(w, "bench compares contenders on the same work, in separate processes, in turn. It needs root.\n\n"+
		"  go run . -work bulk,pingpong1 -contenders ours,tcp,mptcp -json out.json -svg out.svg\n\nFlags:\n")
	fs.PrintDefaults()
	fmt.Fprint(w, "\nContenders:\n")
	for _, c := range contenders {
		fmt.Fprintf(w, "  %-12s %s\n", c.name, c.about)
	}
	fmt.Fprint(w, "\nWorks:\n")
	for _, k := range works {
		fmt.Fprintf(w, "  %-12s %s\n", k.name, k.about)
	}
	fmt.Fprint(w, "\nGroups: all, loop (on loopback), links (on emulated links), agg, fail, wire (the wire carrier; A>B: A dials B and sends).\n")
}

// childFlag as the first argument makes this program one of its own children; what follows is a task.
const childFlag = "-child"

func main() {
	if len(os.Args) == 3 && os.Args[1] == childFlag {
		if err := childMain(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "bench child:", err)
			os.Exit(1)
		}
		return
	}
	switch err := parentMain(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func parentMain(args []string) error {
	o, err := parseFlags(args)
	if err != nil {
		return err
	}
	if o.from != "" {
		rep, err := load(strings.Split(o.from, ","))
		if err != nil {
			return err
		}
		rep.writeText(os.Stdout)
		return rep.save(o)
	}
	if os.Geteuid() != 0 {
		return errors.New("bench: needs root, for its own network namespaces")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	command := strings.TrimSpace("go run . " + strings.Join(args, " "))
	rep, err := runAll(ctx, o, command)
	if rep != nil && len(rep.Tables) > 0 {
		rep.writeText(os.Stdout)
		err = errors.Join(err, rep.save(o))
	}
	return err
}

// load reads saved reports into one.
func load(files []string) (*report, error) {
	all := new(report)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		r := new(report)
		if err := json.Unmarshal(b, r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if all.Command != "" {
			all.Command += "\n    "
		}
		all.Command += r.Command
		all.Machine, all.Time = r.Machine, r.Time
		all.Quick = all.Quick || r.Quick
		all.Tables = append(all.Tables, r.Tables...)
	}
	return all, nil
}

// save writes the files that were asked for.
func (r *report) save(o *options) error {
	var errs []error
	if o.json != "" {
		b, err := json.MarshalIndent(r, "", "\t")
		errs = append(errs, err, os.WriteFile(o.json, append(b, '\n'), 0o644))
	}
	for name, write := range map[string]func(io.Writer){o.svg: r.writeSVG, o.md: r.writeMarkdown} {
		if name == "" {
			continue
		}
		f, err := os.Create(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		write(f)
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
