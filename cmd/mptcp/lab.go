package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/mptcp-go/mptcp/internal/netlab"
	"github.com/mptcp-go/mptcp/internal/onpath"
)

const labHelp = `
Emulates a path between two network namespaces with real packets: delay, rate, queue, loss, bursts, reordering,
duplication, corruption, and middleboxes that rewrite, split, merge, answer and forge. It needs Linux, root, ip(8) and
/dev/net/tun, and no netem. Each namespace gets an interface; the path lasts until Ctrl-C.

Clients are at the near end; what they send goes forward. -e adds a middlebox and may be repeated; the first stands next
to the near end, the link stands behind all of them. "back:" or "forward:" before a name limits it to one direction.

Example: a slow, lossy path whose firewall takes MPTCP options off SYNs.
  # ip netns add left; ip netns add right
  # mptcp lab path -near left -far right -rate 20M -delay 30ms -loss 0.5% -e strip=syn
  # ip netns exec right mptcp perf -s
  # ip netns exec left mptcp perf -c 10.99.0.2

Example: a second path beside it. To the system these interfaces are tunnels, which a server announces only when told to.
  # mptcp lab path -near left -far right -near-addr 10.98.0.1/24 -far-addr 10.98.0.2/24 -rate 10M -delay 10ms
  # ip netns exec right mptcp serve -announce 10.98.0.2 /srv
  # ip netns exec left mptcp get http://10.99.0.2:8080/file

Middleboxes:
`

// elementHelp lists the catalog.
func elementHelp() string {
	var b strings.Builder
	for _, e := range onpath.Catalog {
		fmt.Fprintf(&b, "  %-22s %s\n", e.Usage(), e.Help)
	}
	return b.String()
}

// labPath is what the flags of lab path say.
type labPath struct {
	near, far            netlab.End
	nearAddrs, farAddrs  prefixesFlag
	nearRoutes, farRoute prefixesFlag
	mtu                  int
	seed                 uint64

	rate, backRate   rateFlag
	queue            sizeFlag
	delay, backDelay time.Duration
	jitter           time.Duration

	loss, burst, reorder, duplicate, corrupt shareFlag
	burstLen                                 float64
	reorderBy                                time.Duration
	elements                                 listFlag
}

func runLab(ctx context.Context, e *env) error {
	switch {
	case len(e.args) == 0:
		return usagef("what kind of lab? There is \"mptcp lab path\"")
	case e.args[0] == "path":
		e.args = e.args[1:]
	case !strings.HasPrefix(e.args[0], "-"):
		return usagef("there is no lab %q; there is \"mptcp lab path\"", e.args[0])
	}
	p := labPath{
		nearAddrs: prefixesFlag{netip.MustParsePrefix("10.99.0.1/24")}, farAddrs: prefixesFlag{netip.MustParsePrefix("10.99.0.2/24")},
	}
	c := e.flags("lab path [flags]", labHelp+elementHelp())
	p.register(c)
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	if p.near.Namespace == p.far.Namespace {
		return usagef("-near and -far must name two namespaces: within one, packets take no detour")
	}
	elements, err := p.chain()
	if err != nil {
		return err
	}
	p.near.Addrs, p.near.Routes = p.nearAddrs, p.nearRoutes
	p.far.Addrs, p.far.Routes = p.farAddrs, p.farRoute
	lab, err := netlab.Start(netlab.Config{Near: p.near, Far: p.far, MTU: p.mtu, Elements: elements})
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: this needs root", err)
	} else if err != nil {
		return err
	}
	p.describe(e, lab)
	p.watch(ctx, e, lab)
	return lab.Close()
}

func (p *labPath) register(c *cli) {
	c.StringVar(&p.near.Namespace, "near", "", "`namespace` of the near end; empty: this one")
	c.StringVar(&p.far.Namespace, "far", "", "`namespace` of the far end; empty: this one")
	c.StringVar(&p.near.Name, "near-name", "", "`name` of the near end's interface; empty: lab0 or the next")
	c.StringVar(&p.far.Name, "far-name", "", "`name` of the far end's interface; empty: lab0 or the next")
	c.Var(&p.nearAddrs, "near-addr", "`prefixes` with the near end's addresses, separated by commas")
	c.Var(&p.farAddrs, "far-addr", "`prefixes` with the far end's addresses, separated by commas")
	c.Var(&p.nearRoutes, "near-route", "further `prefixes` that the near end reaches through the path")
	c.Var(&p.farRoute, "far-route", "further `prefixes` that the far end reaches through the path, such as the address of -e nat")
	c.IntVar(&p.mtu, "mtu", 1500, "MTU of both interfaces, in `bytes`")
	c.Var(&p.rate, "rate", "`bits` per second in each direction: 512K, 20M, 1G; 0: unlimited")
	c.Var(&p.backRate, "back-rate", "`bits` per second back, where it differs")
	c.Var(&p.queue, "queue", "`bytes` that wait at most; 0: what the rate sends in 100 ms, at least 64 KiB")
	c.DurationVar(&p.delay, "delay", 0, "`time` that each direction takes")
	c.DurationVar(&p.backDelay, "back-delay", 0, "`time` that the way back takes, where it differs")
	c.DurationVar(&p.jitter, "jitter", 0, "up to so much `time` more, another for each packet")
	c.Var(&p.loss, "loss", "`share` of packets that get lost: 0.5% or 0.005")
	c.Var(&p.burst, "burst-loss", "`share` of packets that get lost in bursts")
	c.Float64Var(&p.burstLen, "burst-length", 5, "mean `packets` of a burst")
	c.Var(&p.reorder, "reorder", "`share` of packets that are overtaken by later ones")
	c.DurationVar(&p.reorderBy, "reorder-by", 5*time.Millisecond, "`time` for which those are held")
	c.Var(&p.duplicate, "dup", "`share` of packets that come twice")
	c.Var(&p.corrupt, "corrupt", "`share` of packets of which a bit is inverted")
	c.Var(&p.elements, "e", "`middlebox` of the list above")
	c.Uint64Var(&p.seed, "seed", 0, "`number` that decides all chances; 0: another one each time")
}

// chain makes the elements.
func (p *labPath) chain() (list []onpath.Element, err error) {
	if p.seed == 0 {
		p.seed = rand.Uint64()
	}
	var key [32]byte
	for i := range 8 {
		key[i] = byte(p.seed >> (8 * i))
	}
	r := rand.NewChaCha8(key)
	for _, spec := range p.elements {
		made, err := onpath.Named(spec, r)
		if err != nil {
			return nil, usagef("-e: %v", err)
		}
		list = append(list, made)
	}
	if p.delay < 0 || p.backDelay < 0 || p.jitter < 0 || p.reorderBy < 0 || !(p.burstLen >= 1) {
		return nil, usagef("times must not be negative, and a burst has a packet at least")
	}
	if p.burst > 0 {
		toGood := 1 / p.burstLen
		list = append(list, &onpath.Bursts{
			ToBad: math.Min(1, float64(p.burst)*toGood/math.Max(1-float64(p.burst), 1e-9)), ToGood: toGood, LossBad: 1, Random: r,
		})
	}
	if p.loss > 0 {
		list = append(list, onpath.Loss(float64(p.loss), r))
	}
	if p.duplicate > 0 {
		list = append(list, onpath.Duplicate(onpath.Sometimes(float64(p.duplicate), r), 1))
	}
	if p.corrupt > 0 {
		list = append(list, onpath.Corrupt(onpath.Sometimes(float64(p.corrupt), r), r))
	}
	if p.reorder > 0 {
		list = append(list, &onpath.Reorder{Probability: float64(p.reorder), By: p.reorderBy, Random: r})
	}
	there := onpath.LinkConfig{Rate: int64(p.rate) / 8, Queue: int64(p.queue), Delay: p.delay, Jitter: p.jitter}
	back := there
	if p.backRate > 0 {
		back.Rate = int64(p.backRate) / 8
	}
	if p.backDelay > 0 {
		back.Delay = p.backDelay
	}
	link := onpath.NewLink(there, r)
	link.Set(onpath.Back, back)
	return append(list, link), nil
}

// describe says what the path does.
func (p *labPath) describe(e *env, lab *netlab.Lab) {
	near, far := lab.Names()
	place := func(ns string) string {
		if ns == "" {
			return "here"
		}
		return "in " + ns
	}
	fmt.Fprintf(e.stdout, "near end: %s %s, %v\n", near, place(p.near.Namespace), p.nearAddrs.String())
	fmt.Fprintf(e.stdout, "far end:  %s %s, %v\n", far, place(p.far.Namespace), p.farAddrs.String())
	say := []string{}
	add := func(ok bool, format string, args ...any) {
		if ok {
			say = append(say, fmt.Sprintf(format, args...))
		}
	}
	add(p.rate > 0, "%v bit/s", p.rate.String())
	add(p.backRate > 0, "%v bit/s back", p.backRate.String())
	add(p.delay > 0, "%v each way", p.delay)
	add(p.backDelay > 0, "%v back", p.backDelay)
	add(p.jitter > 0, "up to %v more", p.jitter)
	add(p.loss > 0, "%v lost", p.loss.String())
	add(p.burst > 0, "%v lost in bursts", p.burst.String())
	add(p.reorder > 0, "%v overtaken", p.reorder.String())
	add(p.duplicate > 0, "%v twice", p.duplicate.String())
	add(p.corrupt > 0, "%v corrupted", p.corrupt.String())
	add(len(p.elements) > 0, "middleboxes %s", strings.Join(p.elements, ", "))
	add(len(say) == 0, "nothing happens to packets")
	fmt.Fprintf(e.stdout, "path:     %s\nseed:     %d\n", strings.Join(say, "; "), p.seed)
}

// watch shows counters until the end.
func (p *labPath) watch(ctx context.Context, e *env, lab *netlab.Lab) {
	const period = 500 * time.Millisecond
	s := newScreen(e)
	defer s.clear()
	tick := time.NewTicker(period)
	defer tick.Stop()
	last := lab.Stats()
	for {
		select {
		case <-ctx.Done():
			s.clear()
			for _, l := range labLines(lab.Stats(), netlab.Stats{}, 0) {
				fmt.Fprintln(e.stdout, l)
			}
			return
		case <-lab.Done():
			return
		case <-tick.C:
			now := lab.Stats()
			s.progress(labLines(now, last, period)...)
			last = now
		}
	}
}

// labLines is a line for each direction; without a period, the whole.
func labLines(now, last netlab.Stats, period time.Duration) (lines []string) {
	for _, d := range []onpath.Dir{onpath.Forward, onpath.Back} {
		line := fmt.Sprintf("%-8s in %d packets, %s; out %d packets, %s; lost or under way %d",
			d, now.In[d].Packets, formatSize(now.In[d].Bytes), now.Out[d].Packets, formatSize(now.Out[d].Bytes), now.Missing(d))
		if period > 0 {
			bits := float64(now.Out[d].Bytes-last.Out[d].Bytes) * 8 / period.Seconds()
			line += fmt.Sprintf("; %.1f Mbit/s", bits/1e6)
		}
		lines = append(lines, line)
	}
	return lines
}

// rateFlag is a number of bits per second, in decimal units: "20M".
type rateFlag int64

func (r *rateFlag) String() string {
	n := int64(*r)
	for _, u := range []struct {
		factor int64
		unit   string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "K"}} {
		if n >= u.factor {
			return strconv.FormatFloat(float64(n)/float64(u.factor), 'g', 6, 64) + u.unit
		}
	}
	return strconv.FormatInt(n, 10)
}

func (r *rateFlag) Set(text string) error {
	number := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(text), "/S"), "BIT")
	factor := 1.0
	if n := len(number); n > 0 {
		if f, ok := map[byte]float64{'K': 1e3, 'M': 1e6, 'G': 1e9}[number[n-1]]; ok {
			factor, number = f, number[:n-1]
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0 && v*factor < 1e15) {
		return fmt.Errorf("%q is no rate: write 512K, 20M or 1G", text)
	}
	*r = rateFlag(v * factor)
	return nil
}

// shareFlag is a probability: "0.5%" or "0.005".
type shareFlag float64

func (s *shareFlag) String() string {
	if *s == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*s)*100, 'g', 6, 64) + "%"
}

func (s *shareFlag) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is no share: write 0.5%% or 0.005", text)
	}
	*s = shareFlag(v)
	return nil
}

// prefixesFlag is a list of addresses with prefix lengths, separated by commas. Setting it replaces the default.
type prefixesFlag []netip.Prefix

func (p *prefixesFlag) String() string {
	var list []string
	for _, x := range *p {
		list = append(list, x.String())
	}
	return strings.Join(list, ",")
}

func (p *prefixesFlag) Set(text string) error {
	*p = nil
	for _, part := range strings.Split(text, ",") {
		x, err := netip.ParsePrefix(strings.TrimSpace(part))
		if err != nil {
			return fmt.Errorf("%q is no address with a prefix length, such as 10.99.0.1/24", part)
		}
		*p = append(*p, x)
	}
	return nil
}

// listFlag may be repeated.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ",") }

func (l *listFlag) Set(text string) error {
	*l = append(*l, text)
	return nil
}
