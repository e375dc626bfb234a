package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/httpx"
)

const getHelp = `
Downloads a file over every path between this machine and the server, or over plain TCP where the server speaks
nothing else. The bytes go to FILE.part, which becomes FILE once everything is there; an interrupted download goes on
where it stopped when the command is run again and the file on the server is still the same.

Examples:
  mptcp get http://files.example:8080/big.iso
  mptcp get -o - http://files.example:8080/notes.txt | less
  mptcp get -peer -paths "wlan*=backup" http://files.example:8080/big.iso    Wi-Fi only while the cable is out
  mptcp get -sha256 2c26b4... http://files.example:8080/big.iso

` + policyHelp

// getter is what the flags of get say.
type getter struct {
	dialFlags
	out     string
	sha256  string
	retries int
	force   bool
	quiet   bool
}

func runGet(ctx context.Context, e *env) error {
	c := e.flags("get [flags] URL", getHelp)
	var g getter
	g.register(c)
	c.StringVar(&g.out, "o", "", "write to `FILE`; - is standard output; default: the last part of the URL")
	c.StringVar(&g.sha256, "sha256", "", "fail unless the file has this `digest`")
	c.IntVar(&g.retries, "retries", 3, "go on this many `times` after a failure")
	c.BoolVar(&g.force, "f", false, "overwrite FILE")
	c.BoolVar(&g.quiet, "q", false, "print nothing but errors")
	args, err := c.parse(1, 1)
	if err != nil {
		return err
	}
	u, err := parseURL(args[0])
	if err != nil {
		return err
	}
	if err := g.check(u); err != nil {
		return err
	}
	return g.run(ctx, e, u)
}

func parseURL(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, usagef("%v", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, usagef("%q is not an http or https URL", text)
	}
	return u, nil
}

func (g *getter) check(u *url.URL) error {
	if g.sha256 = strings.ToLower(g.sha256); g.sha256 != "" {
		if b, err := hex.DecodeString(g.sha256); err != nil || len(b) != 32 {
			return usagef("-sha256: a digest has 64 hexadecimal digits")
		}
	}
	if g.retries < 0 {
		return usagef("-retries %d: it is a number of times", g.retries)
	}
	if g.out == "" {
		if g.out = path.Base(u.Path); g.out == "." || g.out == "/" || strings.HasSuffix(u.Path, "/") {
			return usagef("the URL names no file: say -o FILE")
		}
	}
	return nil
}

func (g *getter) run(ctx context.Context, e *env, u *url.URL) error {
	if g.out != "-" && !g.force {
		if _, err := os.Stat(g.out); err == nil {
			return fmt.Errorf("%s is there already; -f overwrites it, -o chooses another name", g.out)
		}
	}
	t := &mptcp.Transport{}
	defer closeTransport(t)
	dialer, err := g.dialer(e, t, peerOf(u))
	if err != nil {
		return err
	}
	base := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DisableCompression:    true, // what is resumed are the bytes of the file
		TLSHandshakeTimeout:   g.timeout,
		ResponseHeaderTimeout: time.Minute,
	}
	transport := httpx.NewTransport(dialer, base)
	transport.DialContext = withTimeout(dialer, g.timeout)
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	f := &fetch{url: u.String(), client: client, ledger: newLedger(), retries: g.retries, sum: g.sha256, screen: newScreen(e), stderr: e.stderr}
	if g.quiet {
		f.screen.term = nil
	}
	if g.out == "-" {
		err = f.toStream(ctx, e.stdout)
	} else {
		err = f.toFile(ctx, g.out)
	}
	if err == nil && !g.quiet {
		f.report(g.out)
	}
	return err
}

// peerOf is the URL's host as Config.Peers names it.
func peerOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		if port = "80"; u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}
