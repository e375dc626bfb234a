package main

import (
	"os"
	"path/filepath"
	"strings"
)

// fastPath is a way on which the wire carrier could send super-segments: see internal/wire/rawip.
type fastPath struct {
	Name   string `json:"name"`
	Usable bool   `json:"usable"`
	Reason string `json:"reason,omitempty"` // with the remedy
}

// fastPaths looks at what decides below proc; nil where there is no Linux.
func fastPaths(proc string) []fastPath {
	on := func(name string) bool {
		b, err := os.ReadFile(filepath.Join(proc, "sys", filepath.FromSlash(name)))
		return err == nil && strings.TrimSpace(string(b)) != "0"
	}
	if _, err := os.Stat(filepath.Join(proc, "sys/net/ipv4/conf/lo")); err != nil {
		return nil
	}
	v4 := fastPath{Name: "IPv4 through lo", Usable: true}
	if !(on("net/ipv4/conf/lo/accept_local") || on("net/ipv4/conf/all/accept_local")) || !on("net/ipv4/conf/lo/forwarding") {
		v4.Usable, v4.Reason = false, "an administrator allows it: sysctl net.ipv4.conf.lo.accept_local=1 net.ipv4.conf.lo.forwarding=1"
	}
	v6 := fastPath{Name: "IPv6 through lo", Usable: true}
	if !on("net/ipv6/conf/lo/force_forwarding") && !on("net/ipv6/conf/all/forwarding") {
		v6.Usable, v6.Reason = false, "an administrator allows it: sysctl net.ipv6.conf.lo.force_forwarding=1 (Linux 6.17 or newer), "+
			"or net.ipv6.conf.all.forwarding=1, which makes the host a router"
	}
	device := fastPath{Name: "at the device", Usable: true}
	if on("net/netfilter/nf_conntrack_count") {
		device.Usable, device.Reason = false, "the host tracks connections, and its firewall would not see them"
	}
	return []fastPath{v4, v6, device}
}
