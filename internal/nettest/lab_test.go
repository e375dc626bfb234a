package nettest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lab is a set of network namespaces of one test: c is the client's, s the server's, r a router's.
type lab struct {
	t      *testing.T
	prefix string

	mu       sync.Mutex
	names    []string
	programs []*program
}

// newLab makes namespaces. They, and what runs in them, are gone after the test however it ends.
func newLab(t *testing.T, names ...string) *lab {
	t.Helper()
	need(t)
	l := &lab{t: t}
	l.prefix = fmt.Sprintf("%s-%d-%d-", nsPrefix, os.Getpid(), labs.enter(l))
	t.Cleanup(l.close)
	for _, n := range names {
		out, err := exec.Command("ip", "netns", "add", l.prefix+n).CombinedOutput()
		require.NoError(t, err, "ip netns add: %s", out)
		l.names = append(l.names, n)
		l.do(n, "ip link set lo up")
		// bbr, the default on some machines, takes seconds to find the rate of a short queue.
		l.do(n, "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.tcp_congestion_control=reno")
		// A router finds its neighbours from its link-local address, and not before that is known to be unique.
		l.do(n, "sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.dad_transmits=0")
	}
	return l
}

func (l *lab) close() {
	l.tearDown()
	labs.leave(l)
}

// tearDown may run beside the test, when the process was told to end.
func (l *lab) tearDown() {
	l.mu.Lock()
	programs, names := l.programs, l.names
	l.programs, l.names = nil, nil
	l.mu.Unlock()
	if l.t.Failed() {
		l.look(names)
	}
	for _, p := range programs {
		p.end()
	}
	for _, n := range names {
		removeNamespace(l.prefix + n)
	}
}

// look tells what the namespaces of a test that has failed are like: addresses, ways, what the router swallows, and the kernel's
// sockets, whose queues and sequence numbers tell who waits for what.
func (l *lab) look(names []string) {
	for _, ns := range names {
		for _, line := range []string{
			"ip -br addr", "ip rule", "ip route show table all type unicast", "ip mptcp endpoint", "nft list ruleset",
			"ss -HOtniem state connected", "ss -HOMnie state connected", "nstat -as Tcp* MPTcp*",
		} {
			out, _ := l.command(ns, strings.Fields(line)...).Output()
			l.t.Logf("%s: %s\n%s", ns, line, out)
		}
	}
}

// removeNamespace deletes a namespace of ours. A program in it keeps the network alive, but not the name.
func removeNamespace(name string) { _ = exec.Command("ip", "netns", "del", name).Run() }

// do runs one command line in a namespace; its words are separated by spaces.
func (l *lab) do(ns, line string) string {
	l.t.Helper()
	return l.feed(ns, line, "")
}

// feed is do with an input.
func (l *lab) feed(ns, line, input string) string {
	l.t.Helper()
	cmd := l.command(ns, strings.Fields(line)...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(l.t, err, "%s: %s: %s", ns, line, stderr.Bytes())
	return string(out)
}

// command is a command that will run in a namespace.
func (l *lab) command(ns string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", l.prefix + ns}, args...)...)
}

// counters are what an interface has carried.
type counters struct {
	Rx struct {
		Bytes, Packets uint64
	}
	Tx struct {
		Bytes, Packets uint64
	}
}

// counters reads an interface's.
func (l *lab) counters(ns, iface string) counters {
	l.t.Helper()
	var list []struct{ Stats64 counters }
	out := l.do(ns, "ip -s -j link show dev "+iface)
	require.NoError(l.t, json.Unmarshal([]byte(out), &list), "%s", out)
	require.Len(l.t, list, 1)
	return list[0].Stats64
}

// eventually polls cond, which must hold within d; it returns how long that took.
func (l *lab) eventually(d time.Duration, what string, cond func() bool) time.Duration {
	l.t.Helper()
	began := time.Now()
	for !cond() {
		require.Less(l.t, time.Since(began), d, "never: %s", what)
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

const (
	kib = 1 << 10
	mib = 1 << 20
)
