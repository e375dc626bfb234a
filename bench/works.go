//go:build linux

package main

import (
	"strings"
	"time"
)

// metric is one figure of a work.
type metric struct {
	name   string
	unit   string
	higher bool // is better
}

// work is one thing that contenders do.
type work struct {
	name     string
	about    string
	links    []int // rates of the emulated links in Mbit/s; nil: on loopback
	subflows int   // on loopback
	fails    bool  // a link dies
	forGood  bool  // and stays dead
	metrics  []metric
	client   func(*client) (values, error)
	fill     func(t *task, quick bool)
	skip     []string // contenders that cannot do it
	pairs    []pair   // who does it with whom, over a veth pair if there are no links; the first is the baseline
}

// pair is a contender that dials and one that listens. The one that dials sends.
type pair struct{ client, server *contender }

func (p pair) String() string { return p.client.name + ">" + p.server.name }

// A stall is the longest time between two reads of a transfer that brought bytes, gap_p99 the 99th
// percentile of all of them, and reused the time from the return of a link until it carries data.
var (
	transferMetrics = []metric{{"goodput", "Mbit/s", true}, {"stall", "ms", false}, {"gap_p99", "ms", false}}
	failMetrics     = []metric{{"stall", "ms", false}, {"reused", "s", false}, {"gap_p99", "ms", false}, {"goodput", "Mbit/s", true}}
)

// singlePath are the contenders that the works on links leave out.
var singlePath = []string{"yamux", "smux", "quic"}

var works = []*work{
	{
		name: "bulk", about: "one direction over loopback, 64-KiB writes, 2 subflows; CPU and allocations with it", subflows: 2,
		metrics: []metric{
			{"goodput", "Gbit/s", true}, {"write_p99", "µs", false}, {"cpu", "s/GB", false},
			{"allocs_send", "per 64 KiB", false}, {"allocs_recv", "per 64 KiB", false},
		},
		client: bulk, fill: sized(3<<30, 384<<20),
	},
	{
		name: "duplex", about: "both directions at once over loopback, 64-KiB writes, 2 subflows", subflows: 2,
		metrics: []metric{{"goodput", "Gbit/s each way", true}, {"write_p99", "µs", false}, {"cpu", "s/GB", false}},
		client:  bothWays, fill: sized(1<<30, 128<<20),
	},
	{
		name: "pingpong1", about: "1 byte there and back", subflows: 1,
		metrics: latencyMetrics, client: pingpong, fill: counted(30000, 3000, 1),
	},
	{
		name: "pingpong1k", about: "1 KiB there and back", subflows: 1,
		metrics: latencyMetrics, client: pingpong, fill: counted(30000, 3000, 1024),
	},
	{
		name: "pingpong1x2", about: "1 byte there and back on a connection with 2 subflows", subflows: 2,
		metrics: latencyMetrics, client: pingpong, fill: counted(30000, 3000, 1),
	},
	{
		name: "connrate", about: "dial a known peer, 1 byte there and back, close; one after another", subflows: 1,
		metrics: []metric{{"rate", "1/s", true}, {"p50", "µs", false}, {"p99", "µs", false}},
		client:  connectionRate, fill: counted(6000, 600, 1),
	},
	{
		name: "http32", about: "32 HTTP clients, small GETs on kept connections", subflows: 1,
		metrics: []metric{{"rate", "1/s", true}, {"p50", "µs", false}, {"p99", "µs", false}},
		client:  httpGets, fill: counted(64000, 6400, 128),
	},
	{
		name: "http200", about: "HTTP download of 200 MB, 2 subflows", subflows: 2,
		metrics: []metric{{"goodput", "Gbit/s", true}, {"cpu", "s/GB", false}},
		client:  httpDownload, fill: sized(200e6, 50e6),
	},
	{
		name: "idle", about: "1,000 idle connections with 2 subflows: heap and stacks per side, CPU", subflows: 2,
		metrics: idleMetrics, client: idle, fill: idling,
	},
	{
		name: "ackdelay", about: "1 KiB until it is acknowledged (Flush) while the other direction is saturated, 2 subflows", subflows: 2,
		metrics: latencyMetrics, client: ackDelay, fill: sized(2<<30, 256<<20),
		skip: []string{"tcp", "mptcp", "yamux", "smux", "quic"},
	},
	aggregation("agg50+50", 50, 50), aggregation("agg100+20", 100, 20), aggregation("agg50+5", 50, 5),
	{
		name: "fail4", about: "50+50 Mbit/s, one link silently dead from 4 s to 8 s", links: []int{50, 50}, fails: true,
		metrics: failMetrics, client: transfer, skip: singlePath,
	},
	{
		name: "failgood", about: "50+50 Mbit/s, one link silently dead from 4 s on", links: []int{50, 50}, fails: true, forGood: true,
		metrics: []metric{failMetrics[0], failMetrics[2], failMetrics[3]}, client: transfer, skip: singlePath,
	},
	{
		name: "wirebulk", about: "one direction over a veth pair, 64-KiB writes: the wire carrier, the kernel's MPTCP and gVisor with each other, and both with the kernel's TCP", subflows: 1,
		metrics: []metric{{"goodput", "Gbit/s", true}, {"cpu", "s/GB", false}, {"allocs_send", "per 64 KiB", false}, {"allocs_recv", "per 64 KiB", false}},
		client:  bulk, fill: sized(2<<30, 128<<20),
		pairs: bulkPairs,
	},
	{
		name: "wirebulk256", about: "the same with 256-KiB writes and reads", subflows: 1,
		metrics: []metric{{"goodput", "Gbit/s", true}, {"cpu", "s/GB", false}},
		client:  bulk, fill: inPieces(256<<10, sized(2<<30, 128<<20)),
		pairs: bulkPairs,
	},
	{
		name: "wiremtu", about: "the same with segments of 1500 bytes: no super-segments", subflows: 1,
		metrics: []metric{{"goodput", "Gbit/s", true}, {"cpu", "s/GB", false}},
		client:  bulk, fill: sized(384<<20, 64<<20),
		pairs: []pair{{gvisorMTU, tcp}, {wireMTU, mptcpKernel}, {gvisorMTU, gvisorMTU}, {wireMTU, wireMTU}},
	},
	{
		name: "wiresum", about: "the wire carrier without and with DSS checksums", subflows: 1,
		metrics: []metric{{"goodput", "Gbit/s", true}, {"cpu", "s/GB", false}},
		client:  bulk, fill: sized(2<<30, 128<<20), pairs: []pair{{wire, wire}, {wireSum, wireSum}},
	},
	{
		name: "wireping", about: "1 byte there and back over a veth pair", subflows: 1,
		metrics: latencyMetrics, client: pingpong, fill: counted(30000, 3000, 1),
		pairs: []pair{{mptcpKernel, mptcpKernel}, {wire, mptcpKernel}, {mptcpKernel, wire}, {wire, wire}, {gvisor, tcp}},
	},
	{
		name: "wireidle", about: "1,000 idle connections of the wire carrier over a veth pair: heap and stacks per side, CPU", subflows: 1,
		metrics: idleMetrics, client: idle, fill: idling, pairs: []pair{{wire, wire}, {gvisor, gvisor}},
	},
	wireAggregation("wireagg50+50", 50, 50), wireAggregation("wireagg100+20", 100, 20), wireAggregation("wireagg50+5", 50, 5),
}

var bulkPairs = []pair{
	{mptcpKernel, mptcpKernel}, {wire, mptcpKernel}, {mptcpKernel, wire}, {wire, wire},
	{gvisor, tcp}, {tcp, gvisor}, {gvisor, gvisor}, {wire, tcp}, {tcp, wire},
}

func wireAggregation(name string, rates ...int) *work {
	k := aggregation(name, rates...)
	k.about = "30 s over two links of so many Mbit/s, the wire carrier and the kernel's MPTCP with each other"
	k.pairs = []pair{{mptcpKernel, mptcpKernel}, {wire, mptcpKernel}, {mptcpKernel, wire}, {wire, wire}}
	return k
}

var idleMetrics = []metric{
	{"client", "KB each", false}, {"server", "KB each", false},
	{"server_stacks", "KB of these: the goroutines that wait in Read, the program's own", false},
	{"cpu_client", "ms/s per 1,000", false}, {"cpu_server", "ms/s per 1,000", false},
}

func idling(t *task, quick bool) {
	t.Count, t.Hold = pick(quick, 1000, 100), pick(quick, 5*time.Second, time.Second)
}

var latencyMetrics = []metric{{"p50", "µs", false}, {"p99", "µs", false}}

func aggregation(name string, rates ...int) *work {
	return &work{
		name: name, about: "30 s from dial to last byte over two links of so many Mbit/s", links: rates,
		metrics: transferMetrics, client: transfer, skip: singlePath,
	}
}

func pick[T any](quick bool, whole, small T) T {
	if quick {
		return small
	}
	return whole
}

func sized(whole, small int64) func(*task, bool) {
	return func(t *task, quick bool) { t.Bytes, t.Piece = pick(quick, whole, small), chunk }
}

// inPieces is fill with other writes.
func inPieces(piece int, fill func(*task, bool)) func(*task, bool) {
	return func(t *task, quick bool) {
		fill(t, quick)
		t.Piece = piece
	}
}

func counted(whole, small, size int) func(*task, bool) {
	return func(t *task, quick bool) { t.Count, t.Size = pick(quick, whole, small), size }
}

func findWork(name string) *work {
	for _, k := range works {
		if k.name == name {
			return k
		}
	}
	return nil
}

// in says whether the group, or the name, covers this work.
func (k *work) in(group string) bool {
	switch group {
	case "all":
		return true
	case "loop":
		return !k.apart()
	case "links":
		return k.links != nil && k.pairs == nil
	case "wire":
		return k.pairs != nil
	case "agg":
		return strings.HasPrefix(k.name, "agg")
	case "fail":
		return k.fails
	}
	return k.name == group
}
