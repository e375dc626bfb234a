package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/internal/wire/check"
)

func TestCheckUsage(t *testing.T) {
	for line, want := range map[string]string{
		"check":                         "an argument is missing",
		"check host":                    "not of the form HOST:PORT",
		"check :80":                     "not of the form HOST:PORT",
		"check -timeout 0s h:1":         "must be positive",
		"check -4 -6 h:1":               "exclude each other",
		"check -i [ h:1":                "is no pattern",
		`check -send \q h:1`:            "has an escape",
		"check -send x h:1":             "two bytes at least",
		"check h:1 more":                "an argument too many",
		"check -no-such-thing h:1":      "flag provided but not defined",
		"check -timeout soon 127.0.0.1": "invalid value",
	} {
		r := invoke(t, strings.Fields(line)...)
		require.Equal(t, exitUsage, r.code, line)
		require.Contains(t, r.stderr, want, line)
	}
	r := invoke(t, "check", "-h")
	require.Equal(t, exitOK, r.code)
	require.Contains(t, r.stdout, "CAP_NET_RAW")
	require.Contains(t, r.stdout, "Exit codes: 0 everything")
}

// Without raw sockets the command says what it takes. With them, it says that nothing listens.
func TestCheckNeedsRawSockets(t *testing.T) {
	tr := &mptcp.Transport{}
	defer tr.Close()
	wire := tr.Capabilities().Wire
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := ln.Addr().String()
	require.NoError(t, ln.Close())
	r := invoke(t, "check", "-timeout", "5s", addr)
	require.Equal(t, exitFailure, r.code)
	if wire != nil {
		require.Contains(t, r.stderr, wire.Error())
		require.Contains(t, r.stderr, "-mode wire needs")
		return
	}
	require.Contains(t, r.stdout, "no connection\n  failed    TCP: the connection is refused")
	require.Contains(t, r.stderr, "on 1 of 1 paths")
}

// What -send says reaches a server of its kind, and is answered.
func TestCheckRequests(t *testing.T) {
	for _, tc := range []struct{ send, port string }{{"auto", "8080"}, {"http", "1"}, {"auto", "443"}, {"tls", "1"}, {`a\r\n\x41"\\`, "1"}} {
		talk, err := request(tc.send, "server.example", tc.port, 5*time.Second)
		require.NoError(t, err)
		requests := make(chan string, 1)
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { requests <- r.Method + " " + r.Host }))
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		secure := tc.send == "tls" || tc.port == "443"
		switch {
		case secure:
			srv.TLS = &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				requests <- h.ServerName
				return nil, nil
			}}
			srv.StartTLS()
		default:
			srv.Start()
		}
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		require.NoError(t, talk(c), "%v", tc)
		switch {
		case secure:
			require.Equal(t, "server.example", <-requests)
		case tc.send == "auto" || tc.send == "http":
			require.Equal(t, "HEAD server.example:"+tc.port, <-requests)
		}
		_, err = c.Write([]byte("\n"))
		require.NoError(t, err, "it was not closed")
		c.Close()
		srv.Close()
	}
	for send, port := range map[string]string{"auto": "25", "none": "80"} {
		talk, err := request(send, "h", port, time.Second)
		require.NoError(t, err)
		require.Nil(t, talk)
	}
	a, b := net.Pipe()
	talk, err := request(`a\r\n\x41"\\`, "h", "1", time.Second)
	require.NoError(t, err)
	go func() { _ = talk(a); a.Close() }()
	got := make([]byte, 6)
	_, err = io.ReadFull(b, got)
	require.NoError(t, err)
	require.Equal(t, "a\r\nA\"\\", string(got))
	b.Close()
}

func TestCheckReport(t *testing.T) {
	seen := func(option bool) *check.Seen {
		return &check.Seen{
			Handshake: check.Handshake{OptionSYNs: 1, Answer: check.Accepted, Option: option, Timestamps: true, SACK: true, Scale: true},
			Data:      check.Data{Sent: 5, Acked: 5, DataAcked: 6, DSS: 2, Mapped: 1, Checksums: 1},
			Signals:   check.Signals{Reason: -1, ThirdSent: true, Fourth: true, Echoed: true},
			Hole:      check.Hole{Made: true, Hints: 1, Filled: true},
		}
	}
	remote := netip.MustParseAddrPort("192.0.2.1:80")
	path := func(name string, multipath bool) *checkPath {
		x := &checkPath{Interface: name, Local: netip.MustParseAddr("10.0.0.1"), Remote: remote}
		x.facts = &check.Facts{Plain: seen(false), Capable: seen(multipath), Join: seen(true), Long: seen(true), Talked: true}
		return x
	}
	good, bad, down := path("eth0", true), path("wlan0", false), path("wwan0", true)
	down.facts.Plain.Answer = check.NoAnswer
	joins := path("eth1", true)
	joins.facts.Join.Answer = check.NoAnswer
	late := path("eth2", true)
	late.facts.Capable.DSS, late.facts.Capable.DataAcked, late.facts.Join = 0, -1, nil
	r := checkReport{Paths: []*checkPath{good, bad, down, joins, late}}
	require.Equal(t, 4, r.judge())
	require.Equal(t, []string{
		"MPTCP works", "plain TCP only", "no connection", "MPTCP works, not all of it", "connections begin as MPTCP and fall back to plain TCP",
	}, []string{good.Verdict, bad.Verdict, down.Verdict, joins.Verdict, late.Verdict})
	var out bytes.Buffer
	r.print(&out)
	text := out.String()
	require.Contains(t, text, "eth0 10.0.0.1 > 192.0.2.1:80: MPTCP works\n  ok        TCP\n")
	require.Contains(t, strings.Join(strings.Fields(text), " "), "while the server speaks MPTCP over another path", "wlan0 is compared with the others")
	require.Contains(t, text, "            > Have the firewall or proxy of this network")
	for _, l := range strings.Split(text, "\n") {
		require.LessOrEqual(t, len(l), checkWidth+1)
	}
}

// Each path has a line of its own on a terminal; with -json there is none.
func TestCheckProgress(t *testing.T) {
	paths := []*checkPath{
		{Interface: "eth0", Local: netip.MustParseAddr("10.0.0.1"), Remote: netip.MustParseAddrPort("192.0.2.1:80")},
		{Local: netip.MustParseAddr("::1"), Remote: netip.MustParseAddrPort("[::1]:80")},
	}
	var screen, stdout buffer
	e := &env{stdout: &stdout, term: &terminal{w: &screen, width: 80}}
	p := newCheckProgress(e, false, paths)
	p.show(1, "TCP")
	p.show(0, "MP_JOIN")
	require.Contains(t, screen.String(), "eth0 10.0.0.1 > 192.0.2.1:80: MP_JOIN\x1b[K\n\r::1 > [::1]:80: TCP")
	before := screen.String()
	newCheckProgress(e, true, paths).show(0, "TCP")
	require.Equal(t, before, screen.String())
	require.Empty(t, stdout.String())
}
