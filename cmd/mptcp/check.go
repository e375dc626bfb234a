package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/internal/netmon"
	"github.com/mptcp-go/mptcp/internal/wire/check"
	wirelink "github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/rawip"
)

const checkHelp = `
Finds out, for every local address with a route to the server, what the network lets through of Multipath TCP on the wire:
MP_CAPABLE in SYN and SYN/ACK, data with DSS in both directions, payload unchanged (DSS checksums), ADD_ADDR, MP_JOIN, long
SYN options, gaps in the sequence numbers and SACK. For what fails it says what that means and what to do.

It needs raw sockets: Linux and CAP_NET_RAW ("mptcp info" says whether they are there, and how to get them). The server may be
Linux's own MPTCP, this program, or anything else that speaks it on TCP; from one that speaks plain TCP the box that strips
options cannot always be told, and the output says how to find out.

Some things need data of the server's, or its acknowledgment of ours. -send says what to ask for:
  auto   the default: http on ports 80, 8000, 8008, 8080 and 8888, tls on 443 and 8443, none elsewhere
  http   a HEAD request for /
  tls    a TLS handshake; the certificate is not checked
  none   nothing: the server's program sees a connection that says nothing and is closed
  TEXT   anything else is sent as it is, with \n, \r, \t, \\ and \xNN for bytes; the server must answer it
It is sent twice per path, once over plain TCP and once over MPTCP, on connections that are closed in order. Two more SYNs are
reset as soon as they are answered, before the server's program learns of them.

Exit codes: 0 everything that was tried came through on every path, 1 something did not, 2 wrong usage.

Examples:
  mptcp check server.example:443
  mptcp check -send 'EHLO me\r\n' mail.example:25
  mptcp check -i "wlan*" -json server.example:8080 | jq '.paths[].findings[] | select(.status == "failed")'`

// checker is what the flags of check say.
type checker struct {
	json    bool
	send    string
	timeout time.Duration
	ifaces  string
	v4, v6  bool
	target  string // HOST:PORT
}

// checkReport is the JSON.
type checkReport struct {
	Server string       `json:"server"`
	Paths  []*checkPath `json:"paths"`
}

// checkPath is what came out for one path.
type checkPath struct {
	Interface string          `json:"interface,omitempty"`
	Local     netip.Addr      `json:"local"`
	Remote    netip.AddrPort  `json:"remote"`
	Verdict   string          `json:"verdict"`
	Findings  []check.Finding `json:"findings"`
	facts     *check.Facts
}

func runCheck(ctx context.Context, e *env) error {
	c := e.flags("check [flags] HOST:PORT", checkHelp)
	var k checker
	c.BoolVar(&k.json, "json", false, "print JSON")
	c.StringVar(&k.send, "send", "auto", "what the server is asked: `auto|http|tls|none|TEXT`")
	c.DurationVar(&k.timeout, "timeout", 10*time.Second, "`time` for each attempt to connect, and for the answer")
	c.StringVar(&k.ifaces, "i", "", "only interfaces whose names match one of these `patterns`, separated by commas")
	c.BoolVar(&k.v4, "4", false, "IPv4 only")
	c.BoolVar(&k.v6, "6", false, "IPv6 only")
	args, err := c.parse(1, 1)
	if err != nil {
		return err
	}
	k.target = args[0]
	talk, err := k.valid()
	if err != nil {
		return err
	}
	t := &mptcp.Transport{}
	defer t.Close()
	if err := t.Capabilities().Wire; err != nil {
		return err
	}
	return k.run(ctx, e, talk)
}

// valid looks at the flags, and makes what -send says.
func (k *checker) valid() (func(net.Conn) error, error) {
	host, port, err := net.SplitHostPort(k.target)
	if err != nil || host == "" {
		return nil, usagef("%q is not of the form HOST:PORT", k.target)
	}
	if k.timeout <= 0 {
		return nil, usagef("-timeout %v: it must be positive", k.timeout)
	}
	if k.v4 && k.v6 {
		return nil, usagef("-4 and -6 exclude each other")
	}
	for _, p := range strings.Split(k.ifaces, ",") {
		if _, err := path.Match(p, ""); err != nil {
			return nil, usagef("-i: %q is no pattern", p)
		}
	}
	return request(k.send, host, port, k.timeout)
}

var errNothingToCheck = errors.New("no interface has a route to the server")

func (k *checker) run(ctx context.Context, e *env, talk func(net.Conn) error) error {
	remotes, err := k.resolve(ctx)
	if err != nil {
		return err
	}
	report := checkReport{Server: k.target, Paths: k.paths(remotes)}
	if len(report.Paths) == 0 {
		return errNothingToCheck
	}
	p := newCheckProgress(e, k.json, report.Paths)
	var work sync.WaitGroup
	for i, x := range report.Paths {
		work.Go(func() {
			x.facts = k.one(ctx, x, talk, func(step string) { p.show(i, step) })
			p.show(i, "done")
		})
	}
	work.Wait()
	p.screen.clear()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	failed := report.judge()
	if k.json {
		err = printJSON(e.stdout, report)
	} else {
		report.print(e.stdout)
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("not everything comes through, on %d of %d paths", failed, len(report.Paths))
	}
	return err
}

// one checks one path.
func (k *checker) one(ctx context.Context, x *checkPath, talk func(net.Conn) error, progress func(string)) *check.Facts {
	epoch := time.Now()
	return check.Run(ctx, check.Config{
		Timeout: k.timeout, Talk: talk, Progress: progress, Epoch: epoch,
		Open: func(s wirelink.Stack) (wirelink.Link, error) {
			// Each segment is to be seen as the network sees it.
			cfg := rawip.Config{Clock: func() time.Duration { return time.Since(epoch) }, Super: rawip.SuperOff}
			l, err := rawip.Open(cfg, s)
			if err != nil {
				return nil, err
			}
			return l, nil
		},
	}, check.Path{Local: x.Local, Interface: x.Interface, Remote: x.Remote})
}

// resolve finds one address of the server in each family.
func (k *checker) resolve(ctx context.Context) (list []netip.AddrPort, err error) {
	host, service, _ := net.SplitHostPort(k.target)
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil, err
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var have4, have6 bool
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		if a.Is4() && (have4 || k.v6) || a.Is6() && (have6 || k.v4) {
			continue
		}
		have4, have6 = have4 || a.Is4(), have6 || a.Is6()
		list = append(list, netip.AddrPortFrom(a, uint16(port)))
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no address of that version of IP", host)
	}
	return list, nil
}

// paths are the ways to the server: one for each local address that has a route.
func (k *checker) paths(remotes []netip.AddrPort) (list []*checkPath) {
	w := netmon.New(netmon.Options{})
	defer w.Close()
	addrs := w.Addrs()
	for _, r := range remotes {
		if r.Addr().IsLoopback() || ownAddress(addrs, r.Addr()) {
			if k.ifaces == "" {
				list = append(list, &checkPath{Remote: r, Local: r.Addr()})
			}
			continue
		}
		for _, a := range addrs {
			l := a.Local.Addr()
			if l.Is4() != r.Addr().Is4() || l.IsLinkLocalUnicast() != r.Addr().IsLinkLocalUnicast() || !k.wants(a.Interface) ||
				!w.HasRoute(a.IfIndex, r.Addr()) {
				continue
			}
			list = append(list, &checkPath{Interface: a.Interface, Local: l.WithZone(""), Remote: r})
		}
	}
	return list
}

func ownAddress(addrs []netmon.Addr, a netip.Addr) bool {
	for _, x := range addrs {
		if x.Local.Addr().WithZone("") == a {
			return true
		}
	}
	return false
}

// wants says whether -i lets an interface in.
func (k *checker) wants(name string) bool {
	if k.ifaces == "" {
		return true
	}
	for _, p := range strings.Split(k.ifaces, ",") {
		if ok, _ := path.Match(strings.TrimSpace(p), name); ok {
			return true
		}
	}
	return false
}

// checkProgress shows a line for each path.
type checkProgress struct {
	screen *screen
	mu     sync.Mutex
	lines  []string
	names  []string
}

func newCheckProgress(e *env, quiet bool, paths []*checkPath) *checkProgress {
	p := &checkProgress{screen: newScreen(e), lines: make([]string, len(paths))}
	if quiet {
		p.screen.term = nil
	}
	for _, x := range paths {
		p.names = append(p.names, x.name())
	}
	return p
}

func (p *checkProgress) show(i int, step string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines[i] = p.names[i] + ": " + step
	p.screen.progress(p.lines...)
}

// name is the path in words.
func (x *checkPath) name() string {
	return strings.TrimSpace(fmt.Sprintf("%s %v > %v", x.Interface, x.Local, x.Remote))
}
