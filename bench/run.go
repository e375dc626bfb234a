//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// leg is one contender's turn in a work, or that of two of them with each other.
type leg struct {
	name  string
	c     *contender
	s     *contender // at the server's end; nil: c as well
	alone bool       // TCP alone on each link at once: the yardstick of aggregation
}

func (l leg) server() *contender {
	if l.s != nil {
		return l.s
	}
	return l.c
}

// aloneName is the leg with which aggregation is compared.
const aloneName = "tcp alone"

// legs are the turns of a work among the contenders that were chosen.
func (k *work) legs(chosen []*contender) (l []leg) {
	if k.links != nil && !k.fails {
		l = append(l, leg{name: aloneName, c: tcp, alone: true})
	}
	for _, p := range k.pairs {
		if slices.Contains(chosen, p.client) && slices.Contains(chosen, p.server) {
			l = append(l, leg{name: p.String(), c: p.client, s: p.server})
		}
	}
	for _, c := range chosen {
		if k.pairs != nil || c.raw || slices.Contains(k.skip, c.name) || k.links != nil && c == tcp {
			continue
		}
		l = append(l, leg{name: c.name, c: c})
	}
	return l
}

// baseline is the leg that ratios refer to.
func (k *work) baseline() string {
	switch {
	case k.fails:
		return mptcpKernel.name
	case k.links != nil:
		return aloneName
	case k.pairs != nil:
		return k.pairs[0].String()
	}
	return tcp.name
}

// run is one run of the whole program.
type run struct {
	*options
	rep     *report
	lab     *lab
	port    int
	started time.Time
}

func runAll(ctx context.Context, o *options, command string) (*report, error) {
	todo, err := choose(o.works, func(name string) []*work {
		return slices.DeleteFunc(slices.Clone(works), func(k *work) bool { return !k.in(name) })
	})
	if err != nil {
		return nil, fmt.Errorf("bench: no work is called %w; see -h", err)
	}
	chosen, err := choose(o.contenders, func(name string) []*contender {
		return slices.DeleteFunc(slices.Clone(contenders), func(c *contender) bool { return name != "all" && c.name != name })
	})
	if err != nil {
		return nil, fmt.Errorf("bench: no contender is called %w; see -h", err)
	}
	if !hasMPTCP() {
		fmt.Fprintln(os.Stderr, "the kernel's MPTCP is absent or off (net.mptcp.enabled): left out")
		chosen = slices.DeleteFunc(chosen, func(c *contender) bool { return c == mptcpKernel })
	}
	todo = slices.DeleteFunc(todo, func(k *work) bool { return len(k.legs(chosen)) == 0 })
	if len(todo) == 0 {
		return nil, errors.New("bench: the contenders do none of the works; see -h")
	}
	sweep()
	r := &run{options: o, rep: newReport(command, o), started: time.Now()}
	for _, k := range todo {
		if err := r.work(ctx, k, chosen); err != nil {
			return r.rep, err
		}
	}
	return r.rep, nil
}

// choose resolves a comma-separated list, without repetition, in the order in which it names things.
func choose[T comparable](list string, find func(string) []T) (all []T, err error) {
	for name := range strings.SplitSeq(list, ",") {
		found := find(strings.TrimSpace(name))
		if len(found) == 0 {
			return nil, fmt.Errorf("%q", name)
		}
		for _, f := range found {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	return all, nil
}

// work runs all rounds of one work under each congestion control.
func (r *run) work(ctx context.Context, k *work, chosen []*contender) (err error) {
	switch {
	case k.links != nil:
		r.lab, err = links(k.links)
	case k.pairs != nil:
		r.lab, err = veth()
	default:
		r.lab, err = loopback()
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.lab.close()) }()
	for _, cc := range r.controls(k) {
		if k.pairs == nil {
			if err := r.lab.setCC(cc); err != nil {
				return err
			}
		}
		legs := k.legs(chosen)
		tables := r.rep.open(k, cc, legs)
		for round := range r.rounds {
			for i, l := range legs {
				v, states, err := r.turn(ctx, k, l, round)
				if ctx.Err() != nil {
					return errInterrupted
				}
				r.progress(k, cc, l, round, v, err)
				tables.add(i, v, states, err)
			}
		}
	}
	return nil
}

// pairsCC is what our own TCP and gVisor's have, so that the kernel's sockets get it too.
const pairsCC = "cubic"

// controls are the congestion controls under which a work runs.
func (r *run) controls(k *work) []string {
	list := r.cc
	if k.pairs != nil {
		list = pairsCC
	} else if k.links != nil {
		list = r.linkCC
		if list == "" {
			list = kernelSetting("net/ipv4/tcp_congestion_control")
		}
	}
	known := strings.Fields(kernelSetting("net/ipv4/tcp_available_congestion_control"))
	return slices.DeleteFunc(strings.Split(list, ","), func(cc string) bool {
		missing := !slices.Contains(known, cc)
		if missing {
			fmt.Fprintf(os.Stderr, "%s: this kernel has no %s (it has %s): left out\n", k.name, cc, strings.Join(known, ", "))
		}
		return missing
	})
}

// kernelSetting reads a sysctl; "" when there is no such thing.
func kernelSetting(name string) string {
	b, _ := os.ReadFile("/proc/sys/" + name)
	return strings.TrimSpace(string(b))
}

// hasMPTCP says whether the kernel speaks MPTCP itself.
func hasMPTCP() bool { return kernelSetting("net/mptcp/enabled") == "1" }

func (r *run) progress(k *work, cc string, l leg, round int, v values, err error) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s %s  round %d/%d  %-13s", time.Since(r.started).Seconds(), k.name, cc, round+1, r.rounds, l.name)
	for _, m := range k.metrics {
		if x, ok := v[m.name]; ok {
			fmt.Fprintf(os.Stderr, "  %s %s", m.name, figure(x))
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "  FAILED: %v", err)
	}
	fmt.Fprintln(os.Stderr)
}

// turn is one run of one contender: a server, a client (two for the yardstick of aggregation) and,
// when a link is to die, a watcher in the middle.
func (r *run) turn(ctx context.Context, k *work, l leg, round int) (v values, states [2]connState, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	base := r.base(k, l)
	srv := *base
	srv.Role, srv.Addr, srv.Contender, srv.Device = "server", r.listenAddr(k, base), l.server().name, "s1"
	if k.apart() {
		srv.Control = serverAddr(k) + ":0"
	}
	server, err := spawn(ctx, r.lab.ns(serverNS(k)), &srv)
	if err != nil {
		return nil, states, err
	}
	defer server.kill()
	hello, err := server.answer()
	if err != nil {
		return nil, states, fmt.Errorf("server: %w", err)
	}
	var watcher *process
	if k.fails {
		if watcher, err = r.watch(ctx, k, round); err != nil {
			return nil, states, err
		}
		defer watcher.kill()
	}
	v, states[0], err = r.clients(ctx, k, l, base, hello.Control)
	if err != nil {
		return nil, states, err
	}
	bye, err := server.finish()
	states[1] = bye.State
	if err != nil {
		return nil, states, fmt.Errorf("server: %w", err)
	}
	if watcher != nil {
		seen, err := watcher.finish()
		if err != nil {
			return nil, states, fmt.Errorf("watcher: %w", err)
		}
		for name, x := range seen.Values {
			v[name] = x
		}
	}
	return v, states, nil
}

// base is the task that both sides of a turn share.
func (r *run) base(k *work, l leg) *task {
	r.port = 5001 + (r.port-5000)%5000
	t := &task{Contender: l.c.name, Work: k.name, Upload: r.upload || k.links != nil && k.pairs != nil, Device: "c1"}
	if k.pairs != nil {
		t.CC = pairsCC
	}
	if k.links != nil {
		t.Addr = fmt.Sprintf("%s:%d", serverIP, r.port)
		t.Subflows = 2
		return t
	}
	k.fill(t, r.quick)
	if k.pairs != nil {
		t.Subflows = k.subflows
		t.Addr = fmt.Sprintf("%s:%d", vethServer, r.port)
		if l.server().stack {
			t.Addr = fmt.Sprintf("%s:%d", stackServer, r.port)
		}
		return t
	}
	t.Addr = fmt.Sprintf("127.0.0.1:%d", r.port)
	if t.Subflows = k.subflows; r.subflows > 0 {
		t.Subflows = r.subflows
	}
	if t.Subflows > 1 {
		t.Announce = []string{fmt.Sprintf("%s:%d", secondAddress, r.port)}
	}
	return t
}

// listenAddr covers the second address as well where there is one.
func (r *run) listenAddr(k *work, t *task) string {
	if !k.apart() && t.Subflows > 1 {
		return fmt.Sprintf("0.0.0.0:%d", r.port)
	}
	return t.Addr
}

// apart says whether client and server have namespaces of their own.
func (k *work) apart() bool { return k.links != nil || k.pairs != nil }

// serverAddr is where the server of such a work can be reached beside what is measured.
func serverAddr(k *work) string {
	if k.links != nil {
		return serverIP
	}
	return vethServer
}

func serverNS(k *work) string {
	if k.apart() {
		return "s"
	}
	return "lo"
}

func clientNS(k *work) string {
	if k.apart() {
		return "c"
	}
	return "lo"
}

// clients runs the client, or one per link, and adds up.
func (r *run) clients(ctx context.Context, k *work, l leg, base *task, control string) (values, connState, error) {
	if !k.apart() {
		if err := r.lab.setSubflows(base.Subflows); err != nil {
			return nil, connState{}, err
		}
	}
	var procs []*process
	start := func(t task) error {
		t.Role, t.Control = "client", control
		p, err := spawn(ctx, r.lab.ns(clientNS(k)), &t)
		if err == nil {
			procs = append(procs, p)
		}
		return err
	}
	defer func() {
		for _, p := range procs {
			p.kill()
		}
	}()
	if !l.alone {
		t := *base
		if k.links != nil {
			t.Bytes = k.bytes(r.quick, k.links...)
		}
		if err := start(t); err != nil {
			return nil, connState{}, err
		}
	} else {
		for i, rate := range k.links {
			t := *base
			t.Local, t.Bytes = clientIP(i+1), k.bytes(r.quick, rate)
			if err := start(t); err != nil {
				return nil, connState{}, err
			}
		}
	}
	sum := make(values)
	var state connState
	for _, p := range procs {
		a, err := p.result()
		if err != nil {
			return nil, state, fmt.Errorf("client: %w", err)
		}
		state = a.State
		for name, x := range a.Values {
			sum[name] += x
		}
	}
	if l.alone { // of two connections: no such thing
		delete(sum, "stall")
		delete(sum, "gap_p99")
	}
	return sum, state, nil
}

// When a link dies, and when it works again.
const (
	dropAt = 4 * time.Second
	backAt = 8 * time.Second
)

// bytes is the work on links of these rates: what TCP carries in the time that the work should take.
func (k *work) bytes(quick bool, rates ...int) int64 {
	seconds := pick(quick, 30.0, 5.0)
	switch {
	case k.fails && k.forGood:
		seconds = pick(quick, 9.0, 6.0)
	case k.fails:
		seconds = pick(quick, 14.0, 11.0)
	}
	var sum int
	for _, r := range rates {
		sum += r
	}
	return int64(float64(sum) * 1e6 / 8 * 0.955 * seconds)
}

// watch starts the watcher, whose clock runs from now.
func (r *run) watch(ctx context.Context, k *work, round int) (*process, error) {
	link := round%2 + 1
	switch r.dead {
	case "1":
		link = 1
	case "2":
		link = 2
	}
	// An earlier turn may have left its rule behind.
	_ = r.lab.sh("ip netns exec %r nft delete table inet bench")
	t := &task{Role: "watch", Device: fmt.Sprintf("r%d", link), DropAt: dropAt}
	if !k.forGood {
		t.BackAt = backAt
	}
	p, err := spawn(ctx, r.lab.ns("r"), t)
	if err != nil {
		return nil, err
	}
	if _, err := p.stdin.Write([]byte{1}); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// machine says where this ran.
func machine() string {
	return fmt.Sprintf("%d CPUs, Linux %s, %s", runtime.NumCPU(), kernelSetting("kernel/osrelease"), runtime.Version())
}
