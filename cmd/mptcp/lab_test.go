package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
)

func TestLabHelpListsEveryMiddlebox(t *testing.T) {
	for _, args := range [][]string{{"lab", "-h"}, {"lab", "path", "-h"}, {"help", "lab"}} {
		r := invoke(t, args...)
		require.Equal(t, exitOK, r.code)
		for _, e := range onpath.Catalog {
			require.Contains(t, r.stdout, e.Usage())
			require.Contains(t, r.stdout, e.Help)
		}
		require.Contains(t, r.stdout, "-near-addr prefixes")
		require.Contains(t, r.stdout, "(default 10.99.0.1/24)")
	}
}

func TestLabUsage(t *testing.T) {
	two := []string{"lab", "path", "-near", "a", "-far", "b"}
	for want, args := range map[string][]string{
		"what kind of lab":           {"lab"},
		"no lab \"bench\"":           {"lab", "bench"},
		"two namespaces":             {"lab", "path"},
		"is no rate":                 append(two, "-rate", "fast"),
		"is no share":                append(two, "-loss", "120%"),
		"no address with a prefix":   append(two, "-near-addr", "10.0.0.1"),
		"no element is called":       append(two, "-e", "nonsense"),
		"it is written split=BYTES":  append(two, "-e", "split=x"),
		"must not be negative":       append(two, "-delay", "-1s"),
		"There is an argument too m": append(two, "more"),
	} {
		r := invoke(t, args...)
		require.Equal(t, exitUsage, r.code, "%v", args)
		require.Contains(t, r.stderr, want)
	}
}

func TestRatesAndShares(t *testing.T) {
	for text, want := range map[string]string{"512K": "512K", "20mbit": "20M", "1.5Gbit/s": "1.5G", "0": "0", "900": "900", "8000000": "8M"} {
		var r rateFlag
		require.NoError(t, r.Set(text))
		require.Equal(t, want, r.String())
	}
	for text, want := range map[string]float64{"0.5%": 0.005, "0.25": 0.25, "100%": 1} {
		var s shareFlag
		require.NoError(t, s.Set(text))
		require.InDelta(t, want, float64(s), 1e-12)
	}
	for _, bad := range []string{"", "-1", "x", "NaN", "2e300G"} {
		require.Error(t, new(rateFlag).Set(bad), bad)
		require.Error(t, new(shareFlag).Set(bad+"%"), bad)
	}
}

// The flags make the elements that they say, with the rates that they say.
func TestLabChain(t *testing.T) {
	e := &env{}
	var p labPath
	c := e.flags("lab path", "")
	p.register(c)
	e.args = []string{
		"-rate", "8M", "-back-rate", "16M", "-delay", "3ms", "-back-delay", "7ms", "-jitter", "1ms", "-loss", "1%", "-burst-loss", "1%", "-reorder", "1%",
		"-dup", "1%", "-corrupt", "1%", "-e", "split=500", "-e", "back:strip=nosyn", "-seed", "7", "-queue", "1M",
	}
	_, err := c.parse(0, 0)
	require.NoError(t, err)
	list, err := p.chain()
	require.NoError(t, err)
	require.Len(t, list, 8)
	link := list[7].(*onpath.Link)
	require.Equal(t, onpath.LinkConfig{Rate: 1e6, Queue: 1 << 20, Delay: 3 * time.Millisecond, Jitter: time.Millisecond}, link.Config(onpath.Forward))
	require.Equal(t, onpath.LinkConfig{Rate: 2e6, Queue: 1 << 20, Delay: 7 * time.Millisecond, Jitter: time.Millisecond}, link.Config(onpath.Back))
	b := list[2].(*onpath.Bursts)
	require.InDelta(t, 0.01, b.ToBad/(b.ToBad+b.ToGood), 1e-9)
	require.InDelta(t, 5, 1/b.ToGood, 1e-9)
}

// The command between two namespaces, until Ctrl-C; a ping in the kernel's own way, by TCP's handshake.
func TestNamespaceLab(t *testing.T) {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root on Linux")
	}
	var names []string
	for _, side := range []string{"near", "far"} {
		name := fmt.Sprintf("mptcplab-%d-%s", os.Getpid(), side)
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Skipf("no network namespace can be made here: %v: %s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", name).Run() })
		names = append(names, name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var stdout, stderr, screen buffer
	ended := make(chan int, 1)
	go func() {
		e := &env{stdout: &stdout, stderr: &stderr, term: &terminal{w: &screen, width: 200}}
		ended <- run(ctx, e, []string{"lab", "path", "-near", names[0], "-far", names[1], "-delay", "10ms", "-e", "renumber", "-seed", "3", "-near-name", "to"})
	}()
	require.Eventually(t, func() bool { return regexp.MustCompile(`seed: +3\n`).MatchString(stdout.String()) }, 20*time.Second, 10*time.Millisecond)
	out, err := exec.Command("ip", "-n", names[0], "route", "get", "10.99.0.2").CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "dev to")
	// A connection to a closed port: a SYN forward, a RST back.
	begin := time.Now()
	out, err = exec.Command("ip", "netns", "exec", names[0], "bash", "-c", "exec 3<>/dev/tcp/10.99.0.2/9").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "refused")
	require.GreaterOrEqual(t, time.Since(begin), 20*time.Millisecond)
	require.Eventually(t, func() bool {
		return regexp.MustCompile(`forward +in [1-9]\d* packets.*Mbit/s`).MatchString(screen.String())
	}, 20*time.Second, 10*time.Millisecond)
	cancel()
	require.Equal(t, exitOK, <-ended, stderr.String())
	require.Regexp(t, `near end: to in mptcplab-\d+-near, 10.99.0.1/24\nfar end:  lab0 in .*\npath: +10ms each way; middleboxes renumber\n`, stdout.String())
	require.Regexp(t, `back +in [1-9]\d* packets, .* out [1-9]`, stdout.String())
}
