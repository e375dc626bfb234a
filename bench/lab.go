//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// lab is a set of network namespaces of our own.
type lab struct {
	prefix string
	names  []string
}

const labPrefix = "mptcpbench"

func (l *lab) ns(name string) string { return l.prefix + name }

// sh runs one command line without a shell; %NAME stands for the namespace NAME, and ~ for a space
// within an argument.
func (l *lab) sh(line string) error {
	f := strings.Fields(line)
	for i, w := range f {
		if n, ok := strings.CutPrefix(w, "%"); ok {
			f[i] = l.ns(n)
		}
		f[i] = strings.ReplaceAll(f[i], "~", " ")
	}
	// Cleaning up must work after the run was cancelled, so there is no context of the run here.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if b, err := exec.CommandContext(ctx, f[0], f[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(f, " "), err, bytes.TrimSpace(b))
	}
	return nil
}

func (l *lab) all(lines ...string) error {
	for _, s := range lines {
		if err := l.sh(s); err != nil {
			return err
		}
	}
	return nil
}

func newLab(names ...string) (*lab, error) {
	l := &lab{prefix: fmt.Sprintf("%s-%d-", labPrefix, os.Getpid())}
	for _, n := range names {
		if err := l.sh("ip netns add %" + n); err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.names = append(l.names, n)
		if err := l.sh("ip -n %" + n + " link set lo up"); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return l, nil
}

func (l *lab) close() error {
	var errs []error
	for _, n := range l.names {
		errs = append(errs, l.sh("ip netns del %"+n))
	}
	l.names = nil
	return errors.Join(errs...)
}

// sweep removes the namespaces of runs whose process was killed.
func sweep() {
	found, _ := filepath.Glob("/run/netns/" + labPrefix + "-*")
	for _, f := range found {
		name := filepath.Base(f)
		pid, _, _ := strings.Cut(strings.TrimPrefix(name, labPrefix+"-"), "-")
		if n, err := strconv.Atoi(pid); err == nil && n > 0 {
			if _, err := os.Stat("/proc/" + pid); errors.Is(err, os.ErrNotExist) {
				_ = (&lab{}).sh("ip netns del " + name)
			}
		}
	}
}

// setCC chooses the congestion control of every socket that is opened in the lab from now on.
func (l *lab) setCC(cc string) error {
	for _, n := range l.names {
		if err := l.sh("ip netns exec %" + n + " sysctl -qw net.ipv4.tcp_congestion_control=" + cc); err != nil {
			return err
		}
	}
	return nil
}

// loopback is one namespace in which both sides live.
func loopback() (*lab, error) {
	l, err := newLab("lo")
	if err != nil {
		return nil, err
	}
	err = l.sh("ip netns exec %lo sysctl -qw net.ipv4.ip_local_port_range=10240~65535")
	if err == nil && hasMPTCP() {
		err = l.sh("ip -n %lo mptcp limits set subflows 8 add_addr_accepted 8")
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// secondAddress is what the server of a work with two subflows announces.
const secondAddress = "127.0.0.2"

// setSubflows lets the kernel's MPTCP open this many on loopback.
func (l *lab) setSubflows(n int) error {
	if !hasMPTCP() {
		return nil
	}
	if err := l.sh("ip -n %lo mptcp endpoint flush"); err != nil || n < 2 {
		return err
	}
	return l.sh("ip -n %lo mptcp endpoint add " + secondAddress + " dev lo signal")
}

// Addresses of the links lab. The client c has two links to a router r, behind which is the server s
// with one address and a fast link.
const serverIP = "10.71.9.2"

func clientIP(link int) string { return fmt.Sprintf("10.71.%d.2", link) }

// links builds two links of these rates (Mbit/s) between client and router, limited in both directions
// by a token bucket with 100 ms of queue.
func links(rates []int) (*lab, error) {
	l, err := newLab("c", "r", "s")
	if err != nil {
		return nil, err
	}
	lines := []string{
		"ip link add name s1 netns %s type veth peer name r9 netns %r",
		"ip -n %s addr add " + serverIP + "/24 dev s1", "ip -n %s link set s1 up",
		"ip -n %r addr add 10.71.9.1/24 dev r9", "ip -n %r link set r9 up",
		"ip -n %s route add default via 10.71.9.1",
		"ip netns exec %r sysctl -qw net.ipv4.ip_forward=1",
		"ip netns exec %r sysctl -qw net.ipv4.conf.all.rp_filter=0",
		"ip netns exec %c sysctl -qw net.ipv4.conf.all.rp_filter=0",
	}
	for i, rate := range rates {
		n := i + 1
		lines = append(lines,
			fmt.Sprintf("ip link add name c%d netns %%c type veth peer name r%d netns %%r", n, n),
			fmt.Sprintf("ip -n %%c addr add %s/24 dev c%d", clientIP(n), n),
			fmt.Sprintf("ip -n %%r addr add 10.71.%d.1/24 dev r%d", n, n),
			fmt.Sprintf("ip -n %%c link set c%d up", n), fmt.Sprintf("ip -n %%r link set r%d up", n),
			fmt.Sprintf("ip -n %%c route add default via 10.71.%d.1 dev c%d metric %d", n, n, 100*n),
			fmt.Sprintf("ip -n %%c route add default via 10.71.%d.1 dev c%d table %d", n, n, 100+n),
			fmt.Sprintf("ip -n %%c rule add from %s table %d", clientIP(n), 100+n),
			fmt.Sprintf("tc -n %%c qdisc add dev c%d root tbf rate %dmbit burst 15k latency 100ms", n, rate),
			fmt.Sprintf("tc -n %%r qdisc add dev r%d root tbf rate %dmbit burst 15k latency 100ms", n, rate),
		)
	}
	if hasMPTCP() {
		lines = append(lines,
			"ip -n %c mptcp limits set subflows 8 add_addr_accepted 8",
			"ip -n %s mptcp limits set subflows 8 add_addr_accepted 8",
			"ip -n %c mptcp endpoint add "+clientIP(2)+" dev c2 subflow",
		)
	}
	if err := l.all(lines...); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// Addresses of the veth lab: the kernel's, and those of stacks that have their own.
const (
	vethClient, vethServer   = "10.72.0.1", "10.72.0.2"
	stackClient, stackServer = "10.72.0.11", "10.72.0.12"
)

// veth is a client and a server with one fast link between them.
func veth() (*lab, error) {
	l, err := newLab("c", "s")
	if err != nil {
		return nil, err
	}
	err = l.all(
		"ip link add name c1 netns %c type veth peer name s1 netns %s",
		"ip -n %c addr add "+vethClient+"/24 dev c1", "ip -n %c link set c1 up",
		"ip -n %s addr add "+vethServer+"/24 dev s1", "ip -n %s link set s1 up",
	)
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}
