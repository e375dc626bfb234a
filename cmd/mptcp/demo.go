package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const demoHelp = `
Downloads pseudo-random data over HTTP from a server in this process, over two emulated links, with a client
that is an ordinary http.Client on top of this library. On the way one link is cut without a word: what is sent
into it vanishes, and nothing is closed. Later it works again. Then the same data is downloaded over link 1 alone
with plain TCP, for comparison. Needs no privileges and no network.

Succeeds when every byte is right (SHA-256), each link carried at least 20 % of them, and the application never
waited longer than one second for the next byte.

Examples:
  mptcp demo                  the full show: 256 MiB, cut link 1, bring it back
  mptcp demo -cut 2           cut the other link
  mptcp demo -size 32MiB      a short one
  mptcp demo -cut 0           no accident`

// What a demo must reach.
const (
	minShare = 20 // percent of the bytes that each link carries
	maxStall = time.Second
	patience = 5 * time.Second // a download that gets no byte for this long has failed
)

// demo is one run of the command.
type demo struct {
	size    int64
	specs   []linkSpec
	script  []act
	compare bool
	limit   time.Duration // the longest stall that is allowed
	log     *slog.Logger  // nil: silent
	screen  *screen
	env     *env

	links  []*link
	server *demoServer
}

// act is something that happens to the links once a share of the bytes has been downloaded.
type act struct {
	at   float64 // 0 to 1
	say  string
	what func(links []*link)
}

// demoLinks differ in both rate and delay, and are slow enough that a slow machine keeps up with both.
func demoLinks() []linkSpec {
	return []linkSpec{
		{rate: 32 << 20, delay: 5 * time.Millisecond},
		{rate: 24 << 20, delay: 12 * time.Millisecond},
	}
}

func runDemo(ctx context.Context, e *env) error {
	c := e.flags("demo [flags]", demoHelp)
	size := sizeFlag(256 << 20)
	c.Var(&size, "size", "how much to download: a `size` such as 256MiB")
	cut := c.Int("cut", 1, "the `link` that fails on the way: 1, 2, or 0 for none")
	compare := c.Bool("compare", true, "download the same over one link with plain TCP")
	verbose := c.Bool("v", false, "log every event of the client's connections")
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	if *cut < 0 || *cut > 2 {
		return usagef("-cut %d: there are links 1 and 2", *cut)
	}
	if size < 1<<20 {
		return usagef("-size: less than 1 MiB shows nothing")
	}
	d := &demo{size: int64(size), specs: demoLinks(), script: accident(*cut), compare: *compare, limit: maxStall, env: e}
	if *verbose {
		d.log = verboseLogger(e)
	}
	return d.run(ctx)
}

// accident cuts a link at 35 % and brings it back at 60 %.
func accident(n int) []act {
	if n == 0 {
		return nil
	}
	return []act{
		{0.35, fmt.Sprintf("link %d is cut: it swallows everything and says nothing", n), func(l []*link) { l[n-1].cut() }},
		{0.60, fmt.Sprintf("link %d works again", n), func(l []*link) { l[n-1].restore() }},
	}
}

// run is the whole demo; nil when everything was as it must be.
func (d *demo) run(ctx context.Context) error {
	d.screen = newScreen(d.env)
	if err := d.build(ctx); err != nil {
		return err
	}
	defer d.demolish()
	d.screen.printf("%s over two links: link 1 with %s and %v delay each way, link 2 with %s and %v\n", formatSize(d.size),
		formatSize(d.specs[0].rate)+"/s", d.specs[0].delay, formatSize(d.specs[1].rate)+"/s", d.specs[1].delay)
	multi, err := d.multipath(ctx)
	if err != nil {
		return fmt.Errorf("the multipath download failed after %s of %s: %w", formatSize(multi.bytes), formatSize(d.size), err)
	}
	var plain outcome
	if d.compare {
		d.screen.printf("the same over link 1 alone, with plain TCP\n")
		if plain, err = d.plain(ctx); err != nil {
			d.table(multi, plain)
			return fmt.Errorf("the download with plain TCP failed after %s: %w", formatSize(plain.bytes), err)
		}
	}
	d.table(multi, plain)
	return errors.Join(multi.verdict(), plain.verdict())
}

// build sets up the links and the server behind them.
func (d *demo) build(ctx context.Context) error {
	for _, spec := range d.specs {
		l, err := openLink(spec)
		if err != nil {
			d.demolish()
			return err
		}
		d.links = append(d.links, l)
	}
	s, err := startDemoServer(ctx, d.links[1:])
	if err != nil {
		d.demolish()
		return err
	}
	d.server = s
	for _, l := range d.links {
		l.start(s.addr)
	}
	return nil
}

func (d *demo) demolish() {
	for _, l := range d.links {
		l.close()
	}
	if d.server != nil {
		d.server.close()
	}
}
