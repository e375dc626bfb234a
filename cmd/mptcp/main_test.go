package main

import (
	"bytes"
	"context"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/mptcp-go/mptcp/congestion"
	"github.com/mptcp-go/mptcp/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

// invoke runs the command line to its end.
func invoke(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr buffer
	code := run(ctx, &env{stdout: &stdout, stderr: &stderr}, args)
	return result{code, stdout.String(), stderr.String()}
}

// The flags in the examples of the help texts are flags that there are.
func TestExamplesInHelp(t *testing.T) {
	example := regexp.MustCompile(`mptcp (\w+)(?: path)?((?: .*)?)$`)
	seen := 0
	for _, name := range []string{"demo", "serve", "get", "forward", "perf", "info", "lab"} {
		help := invoke(t, name, "-h").stdout
		for _, line := range strings.Split(help, "\n") {
			m := example.FindStringSubmatch(line)
			if m == nil || !strings.HasPrefix(line, "  ") {
				continue
			}
			flags := help
			if m[1] != name {
				flags = invoke(t, m[1], "-h").stdout
			}
			seen++
			args, _, _ := strings.Cut(m[2], " | ")
			for _, arg := range strings.Fields(args) {
				if len(arg) > 1 && arg[0] == '-' {
					require.Contains(t, flags, "\n  "+arg+" ", line)
				}
			}
		}
	}
	require.Greater(t, seen, 20)
}

// Every scheduler and congestion control that there is can be chosen, and the help and who mistypes one are told so.
func TestNamesAreOffered(t *testing.T) {
	help := invoke(t, "serve", "-h").stdout
	for flag, names := range map[string][]string{"scheduler": scheduler.Names(), "congestion": congestion.Names()} {
		line := regexp.MustCompile(`(?m)^  -` + flag + ` .*$`).FindString(help)
		require.Contains(t, line, " (default "+names[0]+")")
		wrong := invoke(t, "serve", "-"+flag, "none", ".")
		require.Equal(t, exitUsage, wrong.code)
		for _, name := range names {
			require.Regexp(t, `\b`+name+`\b`, line)
			require.Regexp(t, `\b`+name+`\b`, wrong.stderr)
		}
	}
}

// service runs a command that serves, and returns its address. At the end of the test it is stopped as
// by Ctrl-C and must have ended well.
func service(t *testing.T, args ...string) (addr string, stdout *buffer) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listening := make(chan net.Addr, 1)
	stdout = new(buffer)
	var stderr buffer
	e := &env{stdout: stdout, stderr: &stderr, listening: func(a net.Addr) { listening <- a }}
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, e, args) }()
	t.Cleanup(func() {
		cancel()
		select {
		case code := <-ended:
			require.Equal(t, exitOK, code, stderr.String())
		case <-time.After(30 * time.Second):
			t.Error("the command does not end")
		}
	})
	select {
	case a := <-listening:
		return a.String(), stdout
	case <-time.After(10 * time.Second):
		t.Fatal("the command does not listen: " + stderr.String())
	case code := <-ended:
		ended <- code
		t.Fatal("the command ended: " + stderr.String())
	}
	return "", nil
}

func TestUsage(t *testing.T) {
	for _, line := range []string{
		"", "dance", "demo -cut 3", "demo -size 1", "demo -size much", "demo extra", "demo -no-such-flag",
		"serve", "serve a b", "serve -tls-cert x .", "serve -mode wires .", "serve -scheduler fast .", "serve -congestion slow .",
		"get", "get ftp://host/file", "get http://host/", "get http://host/f -sha256 12", "get http://host/f -retries -1",
		"get http://host/f -paths wlan0", "get http://host/f -discover some", "get http://host/f -connect-timeout 0s",
		"forward", "forward -listen :0", "forward -listen :0 -to :1 -max 0", "forward -listen :0 -to :1 -peer",
		"perf", "perf -s -c host", "perf -c host -R -bidir", "perf -c host -P 0", "perf -c host -t 2h", "perf -c host -i 1ms",
		"info extra",
	} {
		r := invoke(t, strings.Fields(line)...)
		require.Equal(t, exitUsage, r.code, line)
		require.NotEmpty(t, r.stderr, line)
		require.Empty(t, r.stdout, line)
	}
}

func TestHelp(t *testing.T) {
	r := invoke(t, "-h")
	require.Equal(t, exitOK, r.code)
	for _, c := range commands {
		require.Contains(t, r.stdout, c.name)
		for _, line := range [][]string{{c.name, "-h"}, {"help", c.name}} {
			h := invoke(t, line...)
			require.Equal(t, exitOK, h.code, c.name)
			require.Contains(t, h.stdout, "Usage: mptcp "+c.name)
			require.Contains(t, h.stdout, "Example")
			require.Contains(t, h.stdout, "Flags:")
			require.Empty(t, h.stderr)
		}
	}
}

func TestFailuresSayWhatToDo(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	taken := ln.Addr().String()
	r := invoke(t, "serve", "-addr", taken, t.TempDir())
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "Another program has that port")

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := closed.Addr().String()
	closed.Close()
	r = invoke(t, "perf", "-c", addr)
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "Is the server running")

	r = invoke(t, "serve", t.TempDir()+"/none")
	require.Equal(t, exitFailure, r.code)
}
