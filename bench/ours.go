//go:build linux

package main

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// ours is this library as a program would use it: a known peer, and no option that a user would not
// set. On loopback the listener announces a second address where a work wants two subflows.
var ours = &contender{
	name:  "ours",
	about: "this library, stream carrier, known peer",
	listen: func(t *task) (net.Listener, error) {
		lc := &mptcp.ListenConfig{Config: mptcp.Config{Mode: mptcp.ModeStream}}
		for _, s := range t.Announce {
			a, err := netip.ParseAddrPort(s)
			if err != nil {
				return nil, err
			}
			lc.Announce = append(lc.Announce, a)
		}
		return lc.Listen(context.Background(), "tcp", t.Addr)
	},
	dialer: func(t *task) (dialFunc, error) {
		d := &mptcp.Dialer{Config: mptcp.Config{Mode: mptcp.ModeStream, Peers: []string{t.Addr}}}
		return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", t.Addr) }, nil
	},
	look: lookOurs,
	flush: func(ctx context.Context, c net.Conn) error {
		return c.(*mptcp.Conn).Flush(ctx)
	},
}

// The wire carrier: as it is, without super-segments, and with DSS checksums. The peer's buffers are the kernel's,
// which grow to 6 MiB as ours do.
var (
	wire    = onWire("wire", "this library, wire carrier", mptcp.SuperSegmentsAuto, false)
	wireMTU = onWire("wire-mtu", "the same without super-segments", mptcp.SuperSegmentsOff, false)
	wireSum = onWire("wire-sum", "the same with DSS checksums", mptcp.SuperSegmentsAuto, true)
)

func onWire(name, about string, super mptcp.SuperSegments, sum bool) *contender {
	tr := sync.OnceValue(func() *mptcp.Transport { return &mptcp.Transport{SuperSegments: super} })
	config := mptcp.Config{Mode: mptcp.ModeWire, Checksum: sum}
	return &contender{
		name: name, about: about, raw: true,
		listen: func(t *task) (net.Listener, error) {
			lc := &mptcp.ListenConfig{Config: config, Transport: tr()}
			return lc.Listen(context.Background(), "tcp", t.Addr)
		},
		dialer: func(t *task) (dialFunc, error) {
			d := &mptcp.Dialer{Config: config, Transport: tr()}
			return func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", t.Addr) }, nil
		},
		look:  lookOurs,
		flush: ours.flush,
	}
}

func lookOurs(c net.Conn) (s connState) {
	m, ok := c.(*mptcp.Conn)
	if !ok {
		return s
	}
	if !m.Multipath() {
		return connState{CC: "fell back to TCP", Subflows: 1}
	}
	var names []string
	for _, f := range m.Subflows() {
		if f.State == extapi.StateActive || f.State == extapi.StateStale {
			s.Subflows++
		}
		if !slices.Contains(names, f.Congestion) {
			names = append(names, f.Congestion)
		}
	}
	s.CC = strings.Join(names, "+")
	return s
}
